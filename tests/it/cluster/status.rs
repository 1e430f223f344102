//! Status in a real API server, written with the shipped role and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use postern::{
    report::{Code, Diagnostic, ObjectReport, Report},
    resource::{Group, Kind, ObjectKey, Origin, Revision},
    status::{Options, Snapshot, Status, StatusMetrics, Timing},
    telemetry::health::{Health, Part},
};
use serde_json::{Value, json};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    installation::{condition, is_ready},
    platform::{apply, namespace, own, shared},
    server::{ADMIN_TOKEN, POSTERN_TOKEN, Server},
};

const LIMIT: Duration = Duration::from_secs(20);

/// A client of whoever has this token.
pub(super) async fn client(server: &Server, token: &str) -> Client {
    let path = server.kubeconfig(token, "postern");
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// A namespace with Mappings of its own, and an installation of its own: tests share the server.
struct Bench {
    group: Group,
    namespace: String,
    mappings: Api<DynamicObject>,
    leases: Api<Lease>,
}

/// A replica that runs until it is stopped.
struct Running {
    stop: oneshot::Sender<()>,
    snapshots: watch::Sender<Option<Snapshot>>,
    task: JoinHandle<()>,
}

impl Bench {
    async fn new(namespace: &str, mappings: &[&str]) -> Self {
        let server = tokio::task::spawn_blocking(shared).await.unwrap();
        Self::on(server, namespace, mappings).await
    }

    async fn on(server: &Server, namespace: &str, mappings: &[&str]) -> Self {
        self::namespace(server, namespace);
        for name in mappings {
            let mapping = json!({
                "apiVersion": "postern.dev/v1alpha1",
                "kind": "Mapping",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"hostname": "example.com", "prefix": format!("/{name}/"), "service": "quote"},
            });
            apply(server, &mapping.to_string());
        }
        let admin = client(server, ADMIN_TOKEN).await;
        Self {
            group: Group::Postern,
            mappings: mappings_of(admin.clone(), Group::Postern, namespace),
            leases: Api::namespaced(admin, "postern"),
            namespace: namespace.to_owned(),
        }
    }

    /// From now on the Mappings of this group are meant.
    async fn watch_group(&mut self, group: Group) {
        let admin = client(shared(), ADMIN_TOKEN).await;
        self.group = group;
        self.mappings = mappings_of(admin, group, &self.namespace);
    }

    /// What a compiler would say of all Mappings of the namespace now.
    async fn snapshot(&self, bad: &[&str]) -> Snapshot {
        let list = self.mappings.list(&ListParams::default()).await.unwrap();
        let version = list.metadata.resource_version.unwrap();
        let objects = list.items.into_iter().map(|object| {
            let name = object.metadata.name.unwrap();
            let problem = Diagnostic::new(
                Code::ServiceNotFound,
                "spec.service",
                "there is no Service quote",
                "Create it",
            );
            Arc::new(ObjectReport {
                key: ObjectKey::new(self.group, Kind::Mapping, &self.namespace, &name),
                origin: Origin::Cluster,
                revision: Arc::new(Revision {
                    uid: object.metadata.uid.unwrap().into(),
                    generation: object.metadata.generation.unwrap(),
                    resource_version: object.metadata.resource_version.unwrap().into(),
                    created: None,
                }),
                diagnostics: bad
                    .contains(&name.as_str())
                    .then_some(problem)
                    .into_iter()
                    .collect(),
                in_graph: true,
                serves: [format!("example.com/{name}/").into()].into(),
                asks: None,
                settled: postern::report::Settled::default(),
                certificate_not_after: None,
            })
        });
        Snapshot {
            report: Arc::new(Report {
                objects: objects.collect(),
                ..Report::default()
            }),
            versions: Arc::new(BTreeMap::from([(
                format!("mappings.{}", self.group.name()).into(),
                version.as_str().into(),
            )])),
            generation: 1,
        }
    }

    /// Starts a ready replica, as the user `postern`.
    async fn start(&self, installation: &str, replica: &str, snapshot: Snapshot) -> Running {
        let client = client(shared(), POSTERN_TOKEN).await;
        start(client, options(installation, replica), snapshot)
    }

    async fn get(&self, name: &str) -> Value {
        serde_json::to_value(self.mappings.get(name).await.unwrap()).unwrap()
    }

    /// Waits until the object is as wanted.
    async fn until(&self, name: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let object = self.get(name).await;
            if wanted(&object["status"]) {
                return object;
            }
            assert!(Instant::now() < deadline, "{what}: {:#}", object["status"]);
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn holder(&self, installation: &str) -> Option<String> {
        let name = format!("postern-{installation}-leader");
        let lease = self.leases.get_opt(&name).await.unwrap()?;
        lease.spec?.holder_identity
    }

    async fn until_leads(&self, installation: &str, replica: &str) -> Duration {
        let began = Instant::now();
        let wanted = Some(format!("postern-{installation}-{replica}"));
        while self.holder(installation).await != wanted {
            assert!(began.elapsed() < LIMIT, "{replica} does not lead");
            sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    }
}

impl Running {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

pub(super) fn mappings_of(client: Client, group: Group, namespace: &str) -> Api<DynamicObject> {
    let version = match group {
        Group::Emissary => "v3alpha1",
        _ => "v1alpha1",
    };
    let kind = GroupVersionKind::gvk(group.name(), version, "Mapping");
    let resource = ApiResource::from_gvk_with_plural(&kind, "mappings");
    Api::namespaced_with(client, namespace, &resource)
}

fn start(client: Client, options: Options, snapshot: Snapshot) -> Running {
    let (stop, stopped) = oneshot::channel();
    let (snapshots, receiver) = watch::channel(Some(snapshot));
    let task = tokio::spawn(async move {
        let stop = async {
            let _dropped = stopped.await;
        };
        Status::run(client, options, receiver, stop).await.unwrap();
    });
    Running {
        stop,
        snapshots,
        task,
    }
}

fn options(installation: &str, replica: &str) -> Options {
    let health = Health::new();
    for part in [
        Part::Resources,
        Part::Configuration,
        Part::Certificates,
        Part::Listeners,
    ] {
        health.satisfied(part);
    }
    Options {
        installation: installation.to_owned(),
        namespace: "postern".to_owned(),
        replica: replica.to_owned(),
        pod_uid: None,
        namespaces: Vec::new(),
        silent: Vec::new(),
        publish: None,
        preset: None,
        node_addresses: Vec::new(),
        build: "test".to_owned(),
        digest: Box::new(|| "digest".to_owned()),
        unbound: Box::new(BTreeSet::new),
        health,
        metrics: StatusMetrics::default(),
        timing: Timing {
            heartbeat: Duration::from_millis(500),
            replica_expiry: Duration::from_secs(3),
            lease_write_interval: Duration::from_millis(100),
            settle: Duration::from_millis(300),
            ..Timing::default()
        },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conditions_appear_with_the_shipped_role_and_a_second_run_writes_nothing() {
    let bench = Bench::new("status-conditions", &["good", "bad"]).await;
    let snapshot = bench.snapshot(&["bad"]).await;
    let running = bench.start("st-cond", "pod-1", snapshot.clone()).await;
    let good = bench.until("good", "good is ready", is_ready).await;
    assert_eq!(good["status"]["observedGeneration"], 1);
    assert_eq!(
        good["status"]["installations"][0]["serves"],
        json!(["example.com/good/"])
    );
    let bad = bench
        .until("bad", "bad says why", |status| {
            condition(status, "ResolvedRefs")["status"] == "False"
        })
        .await;
    let ready = condition(&bad["status"], "Ready");
    assert_eq!(ready["reason"], "ServiceNotFound");
    assert_eq!(
        ready["message"],
        "PST3002 at spec.service: there is no Service quote. Create it."
    );
    let lease = bench.leases.get("postern-st-cond-pod-1").await.unwrap();
    let annotations = lease.metadata.annotations.unwrap();
    let told: Value = serde_json::from_str(&annotations["postern.dev/replica"]).unwrap();
    assert_eq!(
        (&told["ready"], &told["digest"]),
        (&json!(true), &json!("digest"))
    );
    running.stop().await;
    assert!(
        bench
            .leases
            .get_opt("postern-st-cond-pod-1")
            .await
            .unwrap()
            .is_none(),
        "a replica that stops leaves no Lease"
    );

    let before = [bench.get("good").await, bench.get("bad").await];
    let again = bench.start("st-cond", "pod-2", snapshot).await;
    bench.until_leads("st-cond", "pod-2").await;
    sleep(Duration::from_secs(2)).await;
    let after = [bench.get("good").await, bench.get("bad").await];
    again.stop().await;
    assert_eq!(before, after, "nothing changed, so nothing may be written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_leads_and_the_other_takes_over_when_it_stops() {
    let bench = Bench::new("status-leader", &["a"]).await;
    let snapshot = bench.snapshot(&[]).await;
    let first = bench.start("st-lead", "pod-1", snapshot.clone()).await;
    bench.until_leads("st-lead", "pod-1").await;
    let second = bench.start("st-lead", "pod-2", snapshot).await;
    bench.until("a", "the leader writes", is_ready).await;
    assert_eq!(
        bench.holder("st-lead").await.as_deref(),
        Some("postern-st-lead-pod-1")
    );
    // The new leader has something to write.
    let changed = bench.snapshot(&["a"]).await;
    second.snapshots.send_replace(Some(changed));
    first.stop().await;
    let took = bench.until_leads("st-lead", "pod-2").await;
    assert!(took < Duration::from_secs(2), "took over after {took:?}");
    bench
        .until("a", "the new leader writes", |status| {
            condition(status, "Ready")["reason"] == "ServiceNotFound"
        })
        .await;
    second.stop().await;
    assert_eq!(bench.holder("st-lead").await, None, "it was given back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stopped_holds_programmed_back_until_its_lease_expires() {
    let bench = Bench::new("status-expiry", &["a"]).await;
    let state = json!({"build": "test", "ready": true, "digest": "",
        "versions": {"mappings.postern.dev": "1"}});
    let stopped = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": "postern-st-exp-stopped",
            "labels": {"postern.dev/installation": "st-exp", "postern.dev/role": "replica"},
            "annotations": {"postern.dev/replica": state.to_string()},
        },
        "spec": {"holderIdentity": "stopped", "renewTime": "2026-01-01T00:00:00.000000Z"},
    });
    bench
        .leases
        .patch(
            "postern-st-exp-stopped",
            &PatchParams::apply("test").force(),
            &Patch::Apply(stopped),
        )
        .await
        .unwrap();
    let snapshot = bench.snapshot(&[]).await;
    let began = Instant::now();
    let running = bench.start("st-exp", "pod-1", snapshot).await;
    let waiting = bench
        .until("a", "a waits", |status| {
            condition(status, "Programmed")["reason"] == "Pending"
        })
        .await;
    assert_eq!(condition(&waiting["status"], "Accepted")["status"], "True");
    assert_eq!(condition(&waiting["status"], "Ready")["status"], "False");
    bench.until("a", "a is programmed", is_ready).await;
    assert!(
        began.elapsed() >= Duration::from_secs(3),
        "it must not be programmed before the Lease expires: {:?}",
        began.elapsed()
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_installations_share_an_object_without_fighting() {
    let bench = Bench::new("status-shared", &["a"]).await;
    let good = bench.snapshot(&[]).await;
    let bad = bench.snapshot(&["a"]).await;
    let one = bench.start("st-one", "pod-1", good).await;
    let two = bench.start("st-two", "pod-1", bad).await;
    let shared = bench
        .until("a", "both say something", |status| {
            let entries = status["installations"].as_array();
            entries.is_some_and(|entries| entries.len() == 2)
        })
        .await;
    let ready = condition(&shared["status"], "Ready");
    assert_eq!(ready["status"], "False", "the worst speaks for all");
    let message = ready["message"].as_str().unwrap();
    assert!(
        message.starts_with("Installation st-two: PST3002"),
        "{message}"
    );
    sleep(Duration::from_secs(2)).await;
    assert_eq!(
        bench.get("a").await["metadata"]["resourceVersion"],
        shared["metadata"]["resourceVersion"],
        "nobody may write when both are content"
    );

    // The second one does not serve it any more: its entry goes, and the first one's is all there is.
    two.snapshots.send_replace(Some(Snapshot {
        report: Arc::default(),
        versions: Arc::default(),
        generation: 2,
    }));
    let alone = bench.until("a", "one is left", is_ready).await;
    assert_eq!(alone["status"]["installations"][0]["name"], "st-one");
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::await_holding_lock,
    reason = "the lock is held by one test after the other, never by two tasks of one"
)]
async fn what_changed_while_the_api_server_was_away_is_written_when_it_is_back() {
    let mut own = own();
    let bench = Bench::on(&own, "status-away", &["a"]).await;
    let good = bench.snapshot(&[]).await;
    let bad = bench.snapshot(&["a"]).await;
    let mut options = options("st-away", "pod-1");
    options.timing.lease = Duration::from_secs(3);
    options.timing.renew_deadline = Duration::from_secs(2);
    options.timing.renew = Duration::from_millis(500);
    options.timing.retry = Duration::from_millis(200);
    let user = client(&own, POSTERN_TOKEN).await;
    let running = start(user, options, good);
    bench.until("a", "a is ready", is_ready).await;

    own.stop_apiserver();
    running.snapshots.send_replace(Some(bad));
    // Long enough to lose the leadership.
    sleep(Duration::from_secs(4)).await;
    own.start_apiserver();
    bench
        .until("a", "the change is written", |status| {
            condition(status, "Ready")["reason"] == "ServiceNotFound"
        })
        .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mapping_of_emissary_gets_state_and_reason() {
    let mut bench = Bench::new("status-emissary", &[]).await;
    let mapping = json!({
        "apiVersion": "getambassador.io/v3alpha1",
        "kind": "Mapping",
        "metadata": {"name": "a", "namespace": bench.namespace},
        "spec": {"hostname": "*", "prefix": "/a/", "service": "quote"},
    });
    apply(shared(), &mapping.to_string());
    bench.watch_group(Group::Emissary).await;
    let bad = bench.snapshot(&["a"]).await;
    let good = bench.snapshot(&[]).await;
    let running = bench.start("st-emi", "pod-1", bad).await;
    let inactive = bench
        .until("a", "a is inactive", |status| status["state"] == "Inactive")
        .await;
    assert_eq!(
        inactive["status"]["reason"],
        "PST3002 at spec.service: there is no Service quote. Create it."
    );
    running.snapshots.send_replace(Some(good));
    let active = bench
        .until("a", "a is running", |status| status["state"] == "Running")
        .await;
    assert_eq!(active["status"], json!({"state": "Running"}));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_role_writes_status_and_leases_and_nothing_else() {
    let bench = Bench::new("status-rbac", &["a"]).await;
    let postern = client(shared(), POSTERN_TOKEN).await;
    let allowed = async |verb: &str, group: &str, resource: &str, namespace: &str| {
        let (resource, sub) = resource.split_once('/').unwrap_or((resource, ""));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": verb, "group": group, "resource": resource,
                "subresource": sub, "namespace": namespace}},
        });
        let request = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
            .header("content-type", "application/json")
            .body(review.to_string().into_bytes())
            .unwrap();
        let answer: Value = postern.request(request).await.unwrap();
        answer["status"]["allowed"] == true
    };
    let own = "postern";
    let other = bench.namespace.as_str();
    for (verb, group, resource, namespace, expected) in [
        ("list", "postern.dev", "mappings", other, true),
        ("patch", "postern.dev", "mappings/status", other, true),
        ("patch", "postern.dev", "hosts/status", other, true),
        ("patch", "getambassador.io", "mappings/status", other, true),
        ("watch", "", "services", other, true),
        ("get", "", "secrets", other, true),
        (
            "watch",
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            "",
            true,
        ),
        ("create", "coordination.k8s.io", "leases", own, true),
        ("get", "", "pods", own, true),
        ("create", "coordination.k8s.io", "leases", other, false),
        ("get", "coordination.k8s.io", "leases", other, false),
        ("get", "", "pods", other, false),
        ("patch", "postern.dev", "mappings", other, false),
        ("update", "postern.dev", "mappings", other, false),
        ("delete", "getambassador.io", "mappings", other, false),
        ("patch", "", "services", other, false),
        ("create", "", "secrets", own, false),
        (
            "delete",
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            "",
            false,
        ),
        ("get", "", "configmaps", own, false),
    ] {
        assert_eq!(
            allowed(verb, group, resource, namespace).await,
            expected,
            "{verb} {resource}.{group} in {namespace:?}"
        );
    }
    // And the API server means it.
    let mappings = mappings_of(postern.clone(), Group::Postern, other);
    let patch = Patch::Merge(json!({"spec": {"service": "other"}}));
    let refused = mappings.patch("a", &PatchParams::default(), &patch).await;
    assert!(
        matches!(&refused, Err(kube::Error::Api(status)) if status.code == 403),
        "{refused:?}"
    );
}
