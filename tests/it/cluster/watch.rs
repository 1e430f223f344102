//! The source of an API server, against a real one.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

use postern::{
    resource::{Group, Kind, ObjectKey, ResourceSet, Unavailable},
    source::{
        Change,
        kube::{Kube, KubeError, connect},
    },
    telemetry::{
        health::{Health, Part},
        watches::WatchMetrics,
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{
    platform::{apply, crds, namespace, own, run, shared},
    server::{ADMIN_TOKEN, POSTERN_TOKEN},
};

/// Of everything that is waited for; the machine may be busy.
const LIMIT: Duration = Duration::from_secs(40);

/// A source that runs, and the set that its changes make.
struct Watching {
    set: ResourceSet,
    versions: Vec<Arc<str>>,
    deleted: Vec<ObjectKey>,
    synced: bool,
    changes: mpsc::Receiver<Vec<Change>>,
    wanted: watch::Sender<Arc<BTreeSet<ObjectKey>>>,
    health: Health,
    task: JoinHandle<Result<(), KubeError>>,
}

impl Watching {
    async fn start(kubeconfig: &Path, namespaces: &[&str]) -> Self {
        let connection = connect(Some(kubeconfig)).await.unwrap();
        let health = Health::new();
        let kube = Kube {
            selector: postern::config::Selector::default(),
            spares_own_kinds: false,
            client: connection.client,
            secret_namespaces: Vec::new(),
            secret_names: Vec::new(),
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
            own_namespace: connection.namespace.unwrap(),
            health: health.clone(),
            metrics: WatchMetrics::default(),
            state: None,
        };
        let (sender, changes) = mpsc::channel(16);
        let (wanted, receiver) = watch::channel(Arc::default());
        Self {
            set: ResourceSet::default(),
            versions: Vec::new(),
            deleted: Vec::new(),
            synced: false,
            changes,
            wanted,
            health,
            task: tokio::spawn(kube.run(sender, receiver)),
        }
    }

    /// Takes changes in until the condition holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !holds(self) {
                let batch = self.changes.recv().await.expect("the source must go on");
                for change in batch {
                    match &change {
                        Change::Version(watch, _) => self.versions.push(watch.clone()),
                        Change::Synced => self.synced = true,
                        Change::Delete(key) => self.deleted.push(key.clone()),
                        _ => {}
                    }
                    change.apply(&mut self.set);
                }
            }
        };
        let result = timeout(LIMIT, waiting).await;
        assert!(
            result.is_ok(),
            "not within {LIMIT:?}: {what}; {:?}",
            self.health.readiness()
        );
    }

    async fn until_synced(&mut self) {
        self.until("every kind is listed", |w| w.synced).await;
    }

    /// Waits for what the health says, while no change need come.
    async fn until_health(&self, says: &str) {
        let waiting = async {
            while !format!("{:?}", self.health.readiness()).contains(says) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let result = timeout(LIMIT, waiting).await;
        assert!(
            result.is_ok(),
            "no {says:?} in {:?}",
            self.health.readiness()
        );
    }

    fn want(&self, keys: impl IntoIterator<Item = ObjectKey>) {
        let keys: BTreeSet<_> = keys.into_iter().collect();
        self.wanted.send_replace(Arc::new(keys));
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === objects ===

fn mapping(group: Group, namespace: &str, name: &str, prefix: &str) -> String {
    let version = if group == Group::Postern {
        "v1alpha1"
    } else {
        "v3alpha1"
    };
    format!(
        "{{apiVersion: {}/{version}, kind: Mapping, metadata: {{namespace: {namespace}, name: {name}}}, \
         spec: {{prefix: {prefix}, service: quote}}}}",
        group.name()
    )
}

fn key(group: Group, kind: Kind, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey::new(group, kind, namespace, name)
}

fn prefix(set: &ResourceSet, key: &ObjectKey) -> Option<String> {
    set.mappings.get(key)?.spec.read().prefix
}

// === the tests ===

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_there_is_listed_and_what_changes_follows() {
    let server = shared();
    namespace(server, "live");
    apply(server, &mapping(Group::Postern, "live", "first", "/first"));
    let mut watching = Watching::start(&server.kubeconfig(POSTERN_TOKEN, "live"), &[]).await;
    watching.until_synced().await;
    let (first, second) = (
        key(Group::Postern, Kind::Mapping, "live", "first"),
        key(Group::Postern, Kind::Mapping, "live", "second"),
    );
    assert_eq!(prefix(&watching.set, &first).as_deref(), Some("/first"));
    assert!(
        watching
            .set
            .namespaces
            .contains_key(&key(Group::Core, Kind::Namespace, "", "live"))
    );
    let service = key(Group::Core, Kind::Service, "default", "kubernetes");
    assert!(watching.set.services.contains_key(&service));
    for watch in [
        "mappings.postern.dev",
        "services",
        "endpointslices.discovery.k8s.io",
    ] {
        assert!(
            watching.versions.iter().any(|v| **v == *watch),
            "no version of {watch}"
        );
    }

    apply(
        server,
        &mapping(Group::Postern, "live", "second", "/second"),
    );
    watching
        .until("a new object", |w| w.set.mappings.contains_key(&second))
        .await;
    apply(server, &mapping(Group::Postern, "live", "first", "/other"));
    watching
        .until("a changed object", |w| {
            prefix(&w.set, &first).as_deref() == Some("/other")
        })
        .await;
    run(
        server,
        &["delete", "mappings.postern.dev", "-n", "live", "first"],
        "",
    );
    watching
        .until("a deleted object", |w| !w.set.mappings.contains_key(&first))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_object_in_bad_shape_hides_no_other() {
    let server = shared();
    namespace(server, "shapes");
    apply(
        server,
        "{apiVersion: getambassador.io/v3alpha1, kind: Mapping, metadata: {namespace: shapes, name: bad}, \
         spec: [not, {an: object}]}",
    );
    apply(server, &mapping(Group::Emissary, "shapes", "good", "/good"));
    apply(
        server,
        "apiVersion: v1\nkind: Service\nmetadata:\n  namespace: shapes\n  name: quote\n  annotations:\n    \
         getambassador.io/config: |\n      apiVersion: getambassador.io/v3alpha1\n      kind: Mapping\n      \
         name: written\n      prefix: /written\n      service: quote\n      hostname: '*'\n      ---\n      \
         what: is this\nspec:\n  ports: [{port: 80}]\n",
    );
    let mut watching = Watching::start(&server.kubeconfig(POSTERN_TOKEN, "shapes"), &[]).await;
    watching.until_synced().await;
    let of = |name| key(Group::Emissary, Kind::Mapping, "shapes", name);
    assert_eq!(prefix(&watching.set, &of("good")).as_deref(), Some("/good"));
    assert!(!watching.set.mappings[&of("bad")].problems.is_empty());
    assert_eq!(
        prefix(&watching.set, &of("written")).as_deref(),
        Some("/written")
    );
    let problems = &watching.set.files["Service shapes/quote"];
    assert_eq!(problems.len(), 1, "{problems:?}");

    run(server, &["delete", "service", "-n", "shapes", "quote"], "");
    watching
        .until("what was in the annotation goes with it", |w| {
            !w.set.mappings.contains_key(&of("written")) && w.set.files.is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_secret_is_read_while_it_is_wanted() {
    let server = shared();
    namespace(server, "vault");
    let create = |name: &str, value: &str| {
        apply(
            server,
            &format!(
                "{{apiVersion: v1, kind: Secret, metadata: {{namespace: vault, name: {name}}}, stringData: {{token: {value}}}}}"
            ),
        );
    };
    create("wanted", "one");
    create("other", "two");
    let mut watching = Watching::start(&server.kubeconfig(POSTERN_TOKEN, "vault"), &[]).await;
    watching.until_synced().await;
    assert!(watching.set.secrets.is_empty(), "nothing was wanted");

    let of = |name| key(Group::Core, Kind::Secret, "vault", name);
    let value = |w: &Watching, name| {
        let secret = w.set.secrets.get(&of(name))?;
        let bytes = secret.spec.data.get("token")?;
        Some(String::from_utf8_lossy(&bytes.0).into_owned())
    };
    watching.want([of("wanted"), of("missing")]);
    watching
        .until("the body that is wanted", |w| {
            value(w, "wanted").as_deref() == Some("one")
        })
        .await;
    watching
        .until("what does not exist is said to", |w| {
            w.set.absent_secrets.contains(&of("missing"))
        })
        .await;
    assert_eq!(watching.set.secrets.len(), 1);

    create("wanted", "three");
    watching
        .until("the new body", |w| {
            value(w, "wanted").as_deref() == Some("three")
        })
        .await;
    create("missing", "four");
    watching
        .until("a Secret that comes later", |w| {
            value(w, "missing").as_deref() == Some("four")
        })
        .await;
    assert!(watching.set.absent_secrets.is_empty());
    run(server, &["delete", "secret", "-n", "vault", "missing"], "");
    watching
        .until("a Secret that is deleted", |w| {
            !w.set.secrets.contains_key(&of("missing"))
                && w.set.absent_secrets.contains(&of("missing"))
        })
        .await;
    watching.want([]);
    watching
        .until("what is not wanted is withdrawn", |w| {
            w.set.secrets.is_empty() && w.set.absent_secrets.is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn with_a_list_of_namespaces_nothing_else_is_asked_for() {
    let server = shared();
    for name in ["own", "given", "foreign"] {
        namespace(server, name);
        apply(server, &mapping(Group::Postern, name, "here", "/here"));
        let role = format!(
            "apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: watch, namespace: {name}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: postern}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: restricted}}]
"
        );
        if name != "foreign" {
            apply(server, &role);
        }
    }
    // The administrator in the clothes of a user who may read two namespaces.
    let path = server.kubeconfig(ADMIN_TOKEN, "own");
    let text = std::fs::read_to_string(&path).unwrap();
    let path = path.with_extension("restricted");
    std::fs::write(
        &path,
        text.replace("user: {token:", "user: {as: restricted, token:"),
    )
    .unwrap();

    let mut watching = Watching::start(&path, &["given"]).await;
    watching.until_synced().await;
    let set = &watching.set;
    let namespaces: BTreeSet<_> = set.mappings.keys().map(|key| &*key.namespace).collect();
    assert_eq!(namespaces, BTreeSet::from(["given", "own"]));
    let namespaces: BTreeSet<_> = set.namespaces.keys().map(|key| &*key.name).collect();
    assert_eq!(namespaces, BTreeSet::from(["given", "own"]));
    let claims = set.unavailable.get(&Kind::RouteClaim);
    assert_eq!(claims, Some(&Unavailable::Forbidden));
    let labels = set.unavailable.get(&Kind::Namespace);
    assert_eq!(labels, Some(&Unavailable::Forbidden));
    assert!(
        watching
            .versions
            .iter()
            .any(|v| &**v == "given/mappings.postern.dev")
    );
    watching.health.satisfied(Part::Resources);
    watching
        .until_health("cannot watch namespaces, routeclaims.postern.dev: no permission")
        .await;

    let foreign = key(Group::Core, Kind::Secret, "foreign", "tls");
    watching.want([foreign.clone()]);
    watching
        .until("a Secret elsewhere is as good as absent", |w| {
            w.set.absent_secrets.contains(&foreign)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[expect(
    clippy::await_holding_lock,
    reason = "the lock is held by one test after the other, never by two tasks of one"
)]
async fn kinds_come_and_go_while_it_runs() {
    let server = own();
    let _gone = server
        .kubectl()
        .args(["delete", "crd", "--all", "--wait=true"])
        .output()
        .unwrap();
    let mut watching = Watching::start(&server.kubeconfig(POSTERN_TOKEN, "default"), &[]).await;
    watching.until_health("kubectl apply -f crds/").await;
    crds(&server, Group::Postern);
    watching.until_synced().await;

    crds(&server, Group::Emissary);
    apply(
        &server,
        &mapping(Group::Emissary, "default", "late", "/late"),
    );
    let late = key(Group::Emissary, Kind::Mapping, "default", "late");
    watching
        .until("a kind that was installed later", |w| {
            w.set.mappings.contains_key(&late)
        })
        .await;

    run(&server, &["delete", "crd", "mappings.getambassador.io"], "");
    watching
        .until("a kind that was deleted", |w| w.set.mappings.is_empty())
        .await;
    crds(&server, Group::Emissary);
    apply(
        &server,
        &mapping(Group::Emissary, "default", "late", "/again"),
    );
    watching
        .until("a kind that is there again", |w| {
            prefix(&w.set, &late).as_deref() == Some("/again")
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[expect(
    clippy::await_holding_lock,
    reason = "the lock is held by one test after the other, never by two tasks of one"
)]
async fn an_api_server_that_goes_away_takes_nothing_with_it() {
    let mut server = own();
    crds(&server, Group::Postern);
    crds(&server, Group::Emissary);
    apply(
        &server,
        &mapping(Group::Postern, "default", "kept", "/kept"),
    );
    let secret = key(Group::Core, Kind::Secret, "default", "kept");
    apply(
        &server,
        "{apiVersion: v1, kind: Secret, metadata: {namespace: default, name: kept}, stringData: {a: b}}",
    );
    let mut watching = Watching::start(&server.kubeconfig(POSTERN_TOKEN, "default"), &[]).await;
    watching.want([secret.clone()]);
    watching.until_synced().await;
    watching
        .until("the Secret", |w| w.set.secrets.contains_key(&secret))
        .await;
    watching.health.satisfied(Part::Resources);

    server.stop_apiserver();
    watching.until_health("cannot watch").await;
    server.start_apiserver();
    apply(
        &server,
        &mapping(Group::Postern, "default", "after", "/after"),
    );
    let after = key(Group::Postern, Kind::Mapping, "default", "after");
    watching
        .until("it catches up", |w| w.set.mappings.contains_key(&after))
        .await;
    assert_eq!(watching.deleted, [], "nothing was ever taken away");
    let kept = key(Group::Postern, Kind::Mapping, "default", "kept");
    assert!(watching.set.mappings.contains_key(&kept));
    assert!(watching.set.secrets.contains_key(&secret));
    assert!(!watching.task.is_finished());
}
