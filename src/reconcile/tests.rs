use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::sleep;

use super::*;
use crate::{
    report::ObjectReport,
    resource::{AnyObject, Group, Kind, Meta, Object, Origin, Positions},
    telemetry::metrics,
};

const HOLD_OFF: Duration = Duration::from_millis(3);

struct Harness {
    changes: mpsc::Sender<Vec<Change>>,
    published: watch::Receiver<Option<Arc<Published>>>,
    wanted: watch::Receiver<Arc<BTreeSet<ObjectKey>>>,
    health: Health,
    compiles: Arc<AtomicUsize>,
    task: JoinHandle<Result<(), JoinError>>,
}

/// Reports every namespace of the set as an object; panics when there is one named `panic`.
fn compile(resources: &ResourceSet) -> (Arc<Graph>, Arc<Report>) {
    assert!(
        !resources.namespaces.keys().any(|key| &*key.name == "panic"),
        "a bug"
    );
    let objects = resources.namespaces.values().map(|object| {
        Arc::new(ObjectReport {
            key: object.key.clone(),
            origin: object.origin.clone(),
            revision: object.meta.revision.clone(),
            diagnostics: Box::default(),
            in_graph: true,
            serves: Box::default(),
            asks: None,
            settled: crate::report::Settled::default(),
            certificate_not_after: None,
        })
    });
    let wanted = resources
        .namespaces
        .keys()
        .map(|key| secret(&key.name))
        .collect();
    (
        Arc::default(),
        Arc::new(Report {
            objects: objects.collect(),
            wanted_secrets: wanted,
            ..Report::default()
        }),
    )
}

type OtherEnds = (
    mpsc::Sender<Vec<Change>>,
    watch::Receiver<Option<Arc<Published>>>,
    watch::Receiver<Arc<BTreeSet<ObjectKey>>>,
);

fn ends() -> (Ends, OtherEnds) {
    let (changes, receiver) = mpsc::channel(64);
    let (published_sender, published) = watch::channel(None);
    let (wanted_sender, wanted) = watch::channel(Arc::default());
    let ends = Ends {
        changes: receiver,
        published: published_sender,
        wanted: wanted_sender,
        hold_off: HOLD_OFF,
        health: Health::new(),
        metrics: ConfigMetrics::register(&mut metrics::registry()),
    };
    (ends, (changes, published, wanted))
}

fn start() -> Harness {
    let (ends, (changes, published, wanted)) = ends();
    let health = ends.health.clone();
    let compiles = Arc::new(AtomicUsize::new(0));
    let count = compiles.clone();
    let reconciler = Reconciler::new(ends, move || {
        let count = count.clone();
        move |resources: &ResourceSet| {
            count.fetch_add(1, Ordering::Relaxed);
            compile(resources)
        }
    });
    Harness {
        changes,
        published,
        wanted,
        health,
        compiles,
        task: tokio::spawn(reconciler.run()),
    }
}

fn namespace(name: &str) -> Change {
    Change::Put(AnyObject::Namespace(Arc::new(Object {
        key: ObjectKey::new(Group::Core, Kind::Namespace, "", name),
        origin: Origin::Cluster,
        meta: Meta::default(),
        spec: (),
        problems: Box::default(),
        positions: Positions::default(),
    })))
}

fn secret(namespace: &str) -> ObjectKey {
    ObjectKey::new(Group::Core, Kind::Secret, namespace, "tls")
}

impl Harness {
    async fn send(&self, changes: impl IntoIterator<Item = Change>) {
        self.changes
            .send(changes.into_iter().collect())
            .await
            .unwrap();
    }

    async fn next(&mut self) -> Arc<Published> {
        self.published.changed().await.unwrap();
        self.published.borrow_and_update().clone().unwrap()
    }

    fn compiles(&self) -> usize {
        self.compiles.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_compiled_before_the_list_is_whole() {
    let mut harness = start();
    harness.send([namespace("a")]).await;
    sleep(Duration::from_mins(1)).await;
    assert_eq!(harness.compiles(), 0);
    assert!(!harness.health.is_ready());

    harness.send([namespace("b"), Change::Synced]).await;
    let published = harness.next().await;
    assert_eq!(published.generation, 1);
    assert_eq!(published.report.objects.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_the_list_to_be_whole_grows_no_larger_than_the_set() {
    let mut reconciler = Reconciler::new(ends().0, || compile);
    for number in 0..1000 {
        let version = number.to_string().as_str().into();
        reconciler.receive(vec![namespace("a"), Change::Version("w".into(), version)]);
    }
    assert!(reconciler.waiting.changes.is_empty());
    let desk = reconciler.desk.unwrap();
    assert_eq!(desk.resources.namespaces.len(), 1);
    assert_eq!(&*desk.versions["w"], "999");
}

#[tokio::test(start_paused = true)]
async fn changes_within_the_hold_off_are_one_compile() {
    let mut harness = start();
    harness.send([Change::Synced]).await;
    harness.next().await;
    for name in ["a", "b", "c", "d"] {
        harness.send([namespace(name)]).await;
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(harness.next().await.report.objects.len(), 4);
    assert_eq!(harness.compiles(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_changes_cannot_hold_a_change_off_for_long() {
    let mut harness = start();
    harness.send([Change::Synced]).await;
    harness.next().await;
    let began = Instant::now();
    for number in 0..100 {
        harness.send([namespace(&format!("n{number}"))]).await;
        sleep(Duration::from_millis(1)).await;
        if harness.published.has_changed().unwrap() {
            break;
        }
    }
    let waited = began.elapsed();
    assert!(waited >= MAX_HOLD_OFF, "applied after {waited:?}");
    assert!(
        waited <= MAX_HOLD_OFF + Duration::from_millis(20),
        "applied after {waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_keeps_the_last_snapshot_and_the_next_change_is_compiled() {
    let mut harness = start();
    harness.send([namespace("a"), Change::Synced]).await;
    let good = harness.next().await;

    harness.send([namespace("panic")]).await;
    while harness.compiles() < 2 || harness.health.readiness().degraded.is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(!harness.published.has_changed().unwrap());
    let degraded = harness.health.readiness().degraded;
    assert!(
        degraded[&Part::Configuration].contains("a bug"),
        "{degraded:?}"
    );
    assert_eq!(good.generation, 1);

    harness
        .send([
            Change::Delete(ObjectKey::new(Group::Core, Kind::Namespace, "", "panic")),
            namespace("b"),
        ])
        .await;
    let published = harness.next().await;
    assert_eq!(published.generation, 2);
    assert_eq!(published.report.objects.len(), 2, "changes got lost");
    assert!(harness.health.readiness().degraded.is_empty());
}

#[tokio::test(start_paused = true)]
async fn versions_are_never_published_with_a_graph_that_lacks_them() {
    let version = |version: &str| Change::Version("namespaces".into(), version.into());
    let mut harness = start();
    harness
        .send([namespace("a"), version("1"), Change::Synced])
        .await;
    harness.next().await;

    harness.send([namespace("panic"), version("2")]).await;
    while harness.health.readiness().degraded.is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    harness.send([version("3")]).await;
    sleep(2 * MAX_HOLD_OFF).await;
    assert_eq!(harness.compiles(), 3);
    assert!(
        !harness.published.has_changed().unwrap(),
        "no replica may say that it serves what it could not compile"
    );

    harness
        .send([Change::Delete(ObjectKey::new(
            Group::Core,
            Kind::Namespace,
            "",
            "panic",
        ))])
        .await;
    let published = harness.next().await;
    assert_eq!(
        published.versions.get("namespaces").map(|v| &**v),
        Some("3")
    );
}

#[tokio::test(start_paused = true)]
async fn versions_alone_are_published_without_a_compile() {
    let mut harness = start();
    harness.send([namespace("a"), Change::Synced]).await;
    let before = harness.next().await;
    harness
        .send([Change::Version("mappings.postern.dev".into(), "7".into())])
        .await;
    let after = harness.next().await;
    assert_eq!(after.generation, before.generation);
    assert_eq!(
        after.versions.get("mappings.postern.dev").map(|v| &**v),
        Some("7")
    );
    assert_eq!(harness.compiles(), 1);
}

#[tokio::test(start_paused = true)]
async fn certificates_are_there_when_every_wanted_secret_was_looked_for() {
    let mut harness = start();
    harness
        .send([namespace("a"), namespace("b"), Change::Synced])
        .await;
    harness.next().await;
    assert_eq!(
        **harness.wanted.borrow(),
        BTreeSet::from([secret("a"), secret("b")])
    );
    let missing = harness.health.readiness().missing;
    assert!(
        missing[&Part::Certificates].contains("Secret a/tls"),
        "{missing:?}"
    );

    harness
        .send([
            Change::AbsentSecret(secret("a")),
            Change::AbsentSecret(secret("b")),
        ])
        .await;
    harness.next().await;
    let missing = harness.health.readiness().missing;
    assert!(!missing.contains_key(&Part::Certificates), "{missing:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_left_is_compiled_when_the_source_ends() {
    let mut harness = start();
    harness.send([namespace("a"), Change::Synced]).await;
    let task = harness.task;
    drop(harness.changes);
    task.await.unwrap().unwrap();
    let published = harness.published.borrow_and_update().clone();
    assert_eq!(published.map(|p| p.report.objects.len()), Some(1));
}
