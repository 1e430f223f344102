mod kept;

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    mock::{LONG, Reply, client, list, object},
    *,
};
use crate::resource::{Group, Kind, ResourceSet, Unavailable, key::KINDS};

/// What the API server answers, by path. What is not there is a list of nothing, and a watch of which nothing is heard.
#[derive(Clone, Default)]
struct Cluster(Arc<Mutex<BTreeMap<String, Reply>>>);

impl Cluster {
    /// With Postern's kinds, and without all others that have to be installed.
    fn new() -> Self {
        let cluster = Self::default();
        for path in [
            "/apis/getambassador.io/v3alpha1",
            "/apis/gateway.networking.k8s.io/v1",
            "/apis/gateway.networking.k8s.io/v1beta1",
        ] {
            cluster.set(path, Reply::Status(404, "no such group"));
        }
        cluster.install();
        cluster
    }

    fn install(&self) {
        let resources = KINDS.iter().filter(|row| row.0 == Group::Postern);
        let resources: Vec<_> = resources
            .map(|row| json!({"name": row.3, "namespaced": true, "verbs": ["list", "watch"]}))
            .collect();
        let list = Reply::Json(json!({"resources": resources}));
        self.set("/apis/postern.dev/v1alpha1", list);
    }

    fn set(&self, path: &str, reply: Reply) {
        self.0.lock().insert(path.to_owned(), reply);
    }

    fn clear(&self, path: &str) {
        self.0.lock().remove(path);
    }

    /// Whatever it is asked, it answers this.
    fn set_all(&self, reply: Reply) {
        self.set("*", reply);
    }

    fn start(&self, namespaces: &[&str]) -> Source {
        self.start_with(namespaces, None)
    }

    /// In the place of an Emissary Deployment.
    fn start_in_place(&self) -> Source {
        self.start_as(&[], None, true)
    }

    fn start_with(&self, namespaces: &[&str], state: Option<StateDir>) -> Source {
        self.start_as(namespaces, state, false)
    }

    fn start_as(
        &self,
        namespaces: &[&str],
        state: Option<StateDir>,
        spares_own_kinds: bool,
    ) -> Source {
        let replies = self.0.clone();
        let client = client(move |uri| {
            let reply = {
                let replies = replies.lock();
                replies
                    .get("*")
                    .or_else(|| replies.get(uri.path()))
                    .cloned()
            };
            let is_watch = uri
                .query()
                .is_some_and(|query| query.contains("watch=true"));
            match reply {
                Some(Reply::Json(_)) | None if is_watch => Reply::Quiet,
                Some(reply) => reply,
                None => Reply::Json(list(1, &[])),
            }
        });
        let health = Health::new();
        let kube = Kube {
            selector: Selector::default(),
            spares_own_kinds,
            client,
            secret_namespaces: Vec::new(),
            secret_names: Vec::new(),
            namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
            own_namespace: "postern".to_owned(),
            health: health.clone(),
            metrics: WatchMetrics::default(),
            state,
        };
        let (sender, changes) = mpsc::channel(4);
        let (wanted, receiver) = channel::channel(Arc::default());
        tokio::spawn(kube.run(sender, receiver));
        Source {
            set: ResourceSet::default(),
            synced: false,
            changes,
            wanted,
            health,
        }
    }
}

struct Source {
    set: ResourceSet,
    synced: bool,
    changes: mpsc::Receiver<Vec<Change>>,
    wanted: channel::Sender<Arc<BTreeSet<ObjectKey>>>,
    health: Health,
}

impl Source {
    async fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            let batch = timeout(LONG, self.changes.recv()).await;
            for change in batch.expect("a change must come").unwrap() {
                self.synced |= matches!(change, Change::Synced);
                change.apply(&mut self.set);
            }
        }
    }

    /// Takes in what comes for a while.
    async fn pause(&mut self, time: Duration) {
        let until = tokio::time::Instant::now() + time;
        while let Ok(Some(batch)) = tokio::time::timeout_at(until, self.changes.recv()).await {
            for change in batch {
                self.synced |= matches!(change, Change::Synced);
                change.apply(&mut self.set);
            }
        }
    }

    fn says(&self) -> String {
        format!("{:?}", self.health.readiness())
    }
}

fn path(kind: Kind) -> String {
    let (group, plural) = KINDS
        .iter()
        .find(|row| row.1 == kind)
        .map(|row| (row.0, row.3))
        .unwrap();
    let version = resource::versions(group)[0];
    format!("{}/{plural}", resource::group_path(group, version))
}

fn mapping(name: &str) -> Value {
    let mut object = object(name, 3);
    object["spec"] = json!({"prefix": "/a", "service": "s"});
    object
}

#[tokio::test(start_paused = true)]
async fn without_its_kinds_it_waits_and_says_what_to_apply() {
    let cluster = Cluster::new();
    cluster.set(
        "/apis/postern.dev/v1alpha1",
        Reply::Status(404, "no such group"),
    );
    let mut source = cluster.start(&[]);
    source.pause(Duration::from_secs(20)).await;
    assert!(!source.synced);
    assert!(
        source.says().contains("kubectl apply -f crds/"),
        "{}",
        source.says()
    );
    cluster.install();
    source.until(|source| source.synced).await;
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_refused_stops_no_other_and_is_waited_for() {
    let cluster = Cluster::new();
    cluster.set(&path(Kind::Mapping), Reply::Json(list(5, &[mapping("a")])));
    cluster.set(&path(Kind::Host), Reply::Status(403, "hosts is forbidden"));
    let mut source = cluster.start(&[]);
    source.until(|source| source.set.mappings.len() == 1).await;
    source.pause(Duration::from_secs(20)).await;
    assert!(!source.synced);
    let says = source.says();
    assert!(
        says.contains("the first list of hosts.postern.dev: no permission: hosts is forbidden"),
        "{says}"
    );
    cluster.clear(&path(Kind::Host));
    source.until(|source| source.synced).await;
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_degrades_and_changes_nothing() {
    let cluster = Cluster::new();
    cluster.set(&path(Kind::Mapping), Reply::Json(list(5, &[mapping("a")])));
    let mut source = cluster.start(&[]);
    source.until(|source| source.synced).await;
    source
        .health
        .satisfied(crate::telemetry::health::Part::Resources);

    let before = cluster.0.lock().clone();
    for kind in [Kind::Mapping, Kind::Host, Kind::Service] {
        cluster.set(&path(kind), Reply::Status(503, "away"));
    }
    cluster.set("/apis/postern.dev/v1alpha1", Reply::Status(503, "away"));
    source.pause(Duration::from_mins(10)).await;
    let says = source.says();
    assert!(says.contains("cannot watch"), "{says}");
    assert!(
        says.contains("hosts.postern.dev, mappings.postern.dev, services"),
        "{says}"
    );
    assert_eq!(source.set.mappings.len(), 1);
    *cluster.0.lock() = before;
    source.pause(Duration::from_mins(2)).await;
    let readiness = source.health.readiness();
    assert!(readiness.degraded.is_empty(), "{readiness:?}");
}

#[tokio::test(start_paused = true)]
async fn a_kind_whose_crd_is_deleted_becomes_empty() {
    let cluster = Cluster::new();
    cluster.set(&path(Kind::Mapping), Reply::Json(list(5, &[mapping("a")])));
    let mut source = cluster.start(&[]);
    source.until(|source| source.synced).await;
    assert_eq!(source.set.mappings.len(), 1);
    source
        .health
        .satisfied(crate::telemetry::health::Part::Resources);
    cluster.set(
        "/apis/postern.dev/v1alpha1",
        Reply::Status(404, "no such group"),
    );
    source.pause(Duration::from_mins(3)).await;
    assert_eq!(source.set.mappings.len(), 1, "its watch still gets answers");
    cluster.set(&path(Kind::Mapping), Reply::Status(404, "no such kind"));
    source.until(|source| source.set.mappings.is_empty()).await;
    sleep(Duration::from_millis(1)).await;
    assert!(
        source.says().contains("kubectl apply -f crds/"),
        "{}",
        source.says()
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_may_not_be_read_is_absent_and_the_reason_is_said() {
    let cluster = Cluster::new();
    let secrets = "/api/v1/secrets";
    cluster.set(secrets, Reply::Json(list(5, &[object("tls", 2)])));
    let body = "/api/v1/namespaces/apps/secrets/tls";
    cluster.set(body, Reply::Status(403, "secrets is forbidden"));
    let mut source = cluster.start(&[]);
    source.until(|source| source.synced).await;
    source
        .health
        .satisfied(crate::telemetry::health::Part::Resources);
    let key = ObjectKey::new(Group::Core, Kind::Secret, "apps", "tls");
    source
        .wanted
        .send_replace(Arc::new(BTreeSet::from([key.clone()])));
    source
        .until(|source| source.set.absent_secrets.contains(&key))
        .await;
    let says = source.says();
    assert!(
        says.contains("cannot read Secret apps/tls: no permission"),
        "{says}"
    );

    let mut whole = object("tls", 2);
    whole["data"] = json!({"token": "c2VjcmV0"});
    cluster.set(body, Reply::Json(whole));
    source
        .until(|source| source.set.secrets.contains_key(&key))
        .await;
    assert!(source.set.absent_secrets.is_empty());
    source.wanted.send_replace(Arc::default());
    source.until(|source| source.set.secrets.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn without_the_list_of_secrets_all_of_them_are_absent() {
    let cluster = Cluster::new();
    cluster.set(
        "/api/v1/secrets",
        Reply::Status(403, "secrets is forbidden"),
    );
    let mut source = cluster.start(&[]);
    let key = ObjectKey::new(Group::Core, Kind::Secret, "apps", "tls");
    source
        .wanted
        .send_replace(Arc::new(BTreeSet::from([key.clone()])));
    source
        .until(|source| source.synced && source.set.absent_secrets.contains(&key))
        .await;
}

#[tokio::test(start_paused = true)]
async fn with_a_list_of_namespaces_each_has_its_watches() {
    let cluster = Cluster::new();
    cluster.set(
        "/api/v1/namespaces",
        Reply::Status(403, "namespaces is forbidden"),
    );
    let mut source = cluster.start(&["apps"]);
    let of = "/apis/postern.dev/v1alpha1/namespaces/apps/mappings";
    cluster.set(of, Reply::Json(list(5, &[mapping("a")])));
    cluster.set(
        &path(Kind::Mapping),
        Reply::Status(500, "nobody may ask for all"),
    );
    source.until(|source| source.synced).await;
    assert_eq!(source.set.mappings.len(), 1);
    let names: Vec<_> = source.set.namespaces.keys().map(|key| &*key.name).collect();
    assert_eq!(names, ["apps", "postern"]);
}

#[tokio::test(start_paused = true)]
async fn in_the_place_of_another_gateway_own_kinds_may_be_forbidden_and_no_claim_holds() {
    let cluster = Cluster::new();
    let own = |cluster: &Cluster, but: &[Kind]| {
        for row in KINDS.iter().filter(|row| row.0 == Group::Postern) {
            let path = path(row.1);
            if but.contains(&row.1) {
                cluster.clear(&path);
            } else {
                cluster.set(&path, Reply::Status(403, "it is forbidden"));
            }
        }
    };
    own(&cluster, &[]);
    let mut source = cluster.start_in_place();
    source.until(|source| source.synced).await;
    let forbidden =
        |source: &Source, kind| source.set.unavailable.get(&kind) == Some(&Unavailable::Forbidden);
    assert!(forbidden(&source, Kind::RouteClaim) && forbidden(&source, Kind::GatewaySettings));
    assert!(!forbidden(&source, Kind::Mapping), "Emissary has some, too");
    let readiness = source.health.readiness();
    assert!(readiness.degraded.is_empty(), "{readiness:?}");

    own(&cluster, &[Kind::RouteClaim]);
    source
        .until(|source| !forbidden(source, Kind::RouteClaim))
        .await;

    // Claims without the settings that say how high the walls are: it waits.
    let mut source = cluster.start_in_place();
    source.pause(Duration::from_mins(1)).await;
    assert!(!source.synced);
    assert!(
        source.says().contains("gatewaysettings"),
        "{}",
        source.says()
    );
    own(&cluster, &[Kind::RouteClaim, Kind::GatewaySettings]);
    source.until(|source| source.synced).await;

    // Whoever is no other's place waits as ever.
    own(&cluster, &[]);
    let mut source = cluster.start(&[]);
    source.pause(Duration::from_mins(1)).await;
    assert!(!source.synced);
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_takes_its_changes() {
    let kube = Kube {
        selector: Selector::default(),
        spares_own_kinds: false,
        client: client(|_| Reply::Hang),
        secret_namespaces: Vec::new(),
        secret_names: Vec::new(),
        namespaces: Vec::new(),
        own_namespace: "postern".to_owned(),
        health: Health::new(),
        metrics: WatchMetrics::default(),
        state: None,
    };
    let (sender, changes) = mpsc::channel(1);
    let (_wanted, receiver) = channel::channel(Arc::default());
    let running = tokio::spawn(kube.run(sender, receiver));
    sleep(Duration::from_secs(1)).await;
    drop(changes);
    assert!(timeout(LONG, running).await.unwrap().unwrap().is_ok());
}
