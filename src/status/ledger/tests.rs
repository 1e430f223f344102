use super::*;
use crate::{
    report::{Code, Diagnostic, Report, ReportList},
    resource::{Kind, Revision},
    status::{condition::Installation, name::Names, objects::Found, replica::Replica},
};
use kube::runtime::watcher::Event;

use super::tracked::MAX_BACK_OFF;
use std::time::Duration;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A ledger with a fleet of one replica, which is the leader, and a clock.
struct Desk {
    ledger: Ledger,
    fleet: Fleet,
    now: Instant,
    beats: i64,
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(Group::Postern, Kind::Mapping, "apps", name)
}

fn report(name: &str, generation: i64) -> ObjectReport {
    ObjectReport {
        key: key(name),
        origin: Origin::Cluster,
        revision: Arc::new(Revision {
            uid: "u".into(),
            generation,
            resource_version: "1".into(),
            created: None,
        }),
        diagnostics: Box::default(),
        in_graph: true,
        serves: Box::default(),
        asks: None,
        settled: crate::report::Settled::default(),
        certificate_not_after: None,
    }
}

fn at(resource_version: &str, mut report: ObjectReport) -> ObjectReport {
    Arc::make_mut(&mut report.revision).resource_version = resource_version.into();
    report
}

fn broken(name: &str, generation: i64) -> ObjectReport {
    ObjectReport {
        diagnostics: [Diagnostic::new(Code::UnknownField, "spec.x", "m", "n")].into(),
        ..report(name, generation)
    }
}

impl Desk {
    /// The replica is ready and has reached version 1.
    fn new() -> Self {
        let me = Names::new("default", "me").replica();
        let mut desk = Self {
            ledger: Ledger::new("default".into(), Timing::default()),
            fleet: Fleet::new(me, Timing::default().replica_expiry),
            now: Instant::now(),
            beats: 0,
        };
        desk.replica_reaches("1");
        desk
    }

    fn replica_reaches(&mut self, version: &str) {
        self.replica_says(&Replica {
            ready: true,
            versions: [("mappings.postern.dev".into(), version.into())].into(),
            ..Replica::default()
        });
    }

    /// It has all Listeners of version 1, and could not bind these ports.
    fn replica_lacks(&mut self, ports: &[u16]) {
        self.now += MS(5_000);
        self.replica_says(&Replica {
            ready: true,
            versions: [("listeners.postern.dev".into(), "1".into())].into(),
            unbound: ports.iter().copied().collect(),
            ..Replica::default()
        });
    }

    fn replica_says(&mut self, replica: &Replica) {
        self.beats += 1;
        let lease = replica.lease(
            &Names::new("default", "me"),
            None,
            &Timing::default(),
            Timestamp::from_second(self.beats).unwrap(),
        );
        self.fleet.observe(Event::Apply(lease), self.now);
        self.ledger.fleet_changed(&self.fleet, self.now);
    }

    /// A snapshot of objects that are all of this version.
    fn apply(&mut self, version: &str, reports: Vec<ObjectReport>) {
        let reports = reports.into_iter().map(|report| at(version, report));
        self.apply_same(version, reports.map(Arc::new).collect());
    }

    fn apply_same(&mut self, version: &str, objects: ReportList) {
        let snapshot = Snapshot {
            report: Arc::new(Report {
                objects,
                ..Report::default()
            }),
            versions: Arc::new([("mappings.postern.dev".into(), version.into())].into()),
            generation: 1,
        };
        self.ledger.apply(&snapshot, self.now);
    }

    fn next(&mut self) -> Option<Job> {
        let now = Now {
            instant: self.now,
            wall: Timestamp::from_second(1_780_000_000).unwrap(),
        };
        self.ledger.next(&self.fleet, now)
    }

    /// Carries out everything that is due, and returns how often each object was written.
    fn write_all(&mut self) -> Vec<String> {
        let mut written = Vec::new();
        while let Some(job) = self.next() {
            written.push(job.key.name.to_string());
            self.ledger.finished(&job, &Outcome::Written, self.now);
        }
        written
    }

    fn found(&mut self, name: &str, generation: i64, says: Wanted) {
        let found = Found {
            key: key(name),
            uid: "u".to_owned(),
            generation,
            says,
            consistent: true,
        };
        self.ledger.found(vec![found], self.now, self.now);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_served_everywhere_is_written_at_once_and_only_once() {
    let mut desk = Desk::new();
    let objects = ["a", "b"].map(|name| Arc::new(report(name, 1)));
    let objects: ReportList = objects.into_iter().collect();
    desk.apply_same("1", objects.clone());
    assert_eq!(desk.write_all(), ["a", "b"]);
    assert_eq!(desk.ledger.unsettled(), 0);
    desk.apply_same("2", objects);
    desk.replica_reaches("2");
    desk.now += MS(60_000);
    assert_eq!(desk.write_all(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_replicas_is_written_once_when_they_come_soon() {
    let mut desk = Desk::new();
    desk.apply("5", vec![report("a", 1)]);
    assert_eq!(desk.write_all(), [""; 0]);
    desk.now += MS(900);
    desk.replica_reaches("5");
    let job = desk.next().unwrap();
    assert_eq!(job.wanted.programmed_at(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_long_says_so_and_then_that_it_is_there() {
    let mut desk = Desk::new();
    desk.apply("5", vec![report("a", 1)]);
    assert!(desk.next().is_none());
    assert_eq!(
        desk.ledger.next_due(),
        Some(desk.now + Timing::default().settle)
    );
    desk.now += Timing::default().settle;
    let job = desk.next().unwrap();
    assert_eq!(job.wanted.programmed_at(), None);
    desk.ledger.finished(&job, &Outcome::Written, desk.now);
    desk.now += MS(5_000);
    desk.replica_reaches("5");
    assert_eq!(desk.next().unwrap().wanted.programmed_at(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_changes_to_one_object_is_one_write_of_the_newest() {
    let mut desk = Desk::new();
    for generation in 1..=1000 {
        desk.apply("1", vec![broken("a", generation)]);
    }
    let job = desk.next().unwrap();
    assert!(desk.next().is_none(), "one write at a time for an object");
    let Wanted::Entry(entry) = &job.wanted else {
        panic!("{job:?}");
    };
    assert_eq!(entry.observed_generation, 1000);
    // While it is under way a thousand more arrive: they are one more write, and not at once.
    for generation in 1001..=2000 {
        desk.apply("1", vec![broken("a", generation)]);
    }
    desk.ledger.finished(&job, &Outcome::Written, desk.now);
    assert!(desk.next().is_none());
    desk.now += Timing::default().object_write_interval;
    assert_eq!(desk.write_all(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_objects_that_change_at_once_are_written_once_each() {
    let mut desk = Desk::new();
    let all = |generation| (0..1000).map(move |n| report(&format!("m{n:04}"), generation));
    desk.apply("1", all(1).collect());
    desk.replica_reaches("1");
    desk.apply("1", all(2).collect());
    assert_eq!(desk.write_all().len(), 1000);
    desk.now += MS(60_000);
    assert_eq!(desk.write_all().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_writes_nothing_where_the_status_is_right() {
    let mut desk = Desk::new();
    desk.apply("100", vec![report("a", 3)]);
    let entry = verdict::entry(
        &report("a", 3),
        "default",
        Rollout::Everywhere,
        Timestamp::from_second(1_780_000_000).unwrap(),
    );
    desk.found("a", 3, Wanted::Entry(entry));
    // Even though the only replica is not known to have come as far as the leader's watch.
    desk.now += MS(10_000);
    assert_eq!(desk.write_all(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_replica_need_not_have_come_further_than_the_object() {
    let mut desk = Desk::new();
    desk.replica_reaches("7");
    // The leader has just listed at version 100; nothing happened to the kind since 7.
    let objects = [Arc::new(at("7", report("a", 1)))].into_iter().collect();
    desk.apply_same("100", objects);
    assert_eq!(desk.next().unwrap().wanted.programmed_at(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_generation_counts_from_the_first_version_that_was_seen_of_it() {
    let mut desk = Desk::new();
    desk.apply("5", vec![broken("a", 1)]);
    assert_eq!(desk.write_all(), ["a"]);
    desk.now += MS(5_000);
    // What is wrong is mended elsewhere; meanwhile a label has made another version of the object.
    desk.apply("9", vec![report("a", 1)]);
    desk.replica_reaches("5");
    let job = desk.next().unwrap();
    assert_eq!(job.wanted.programmed_at(), Some(1));
    desk.ledger.finished(&job, &Outcome::Written, desk.now);
    assert_eq!(&*desk.ledger.newest()["mappings.postern.dev"], "5");
    // The next generation waits for its own.
    desk.now += MS(1_000);
    desk.apply("12", vec![report("a", 2)]);
    desk.replica_reaches("11");
    assert!(desk.next().is_none());
    desk.replica_reaches("12");
    assert_eq!(desk.next().unwrap().wanted.programmed_at(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_listener_says_who_cannot_bind_its_port_until_everybody_can() {
    let listener = |name: &str, place: &str| ObjectReport {
        key: ObjectKey::new(Group::Postern, Kind::Listener, "postern", name),
        serves: [place.into()].into(),
        ..report(name, 1)
    };
    let mut desk = Desk::new();
    desk.replica_lacks(&[]);
    desk.apply("1", vec![listener("a", ":80"), listener("b", ":81")]);
    assert_eq!(desk.write_all(), ["a", "b"]);

    desk.replica_lacks(&[80]);
    let job = desk.next().unwrap();
    assert_eq!(&*job.key.name, "a");
    let Wanted::Entry(entry) = &job.wanted else {
        panic!("{job:?}");
    };
    for condition in ["Programmed", "Ready"] {
        let condition = entry.condition(condition).unwrap();
        assert_eq!(condition.reason, "PortUnavailable");
        assert!(condition.message.contains("postern-default-me"));
    }
    desk.ledger.finished(&job, &Outcome::Written, desk.now);
    assert!(desk.next().is_none(), "the other one is bound");

    desk.replica_lacks(&[]);
    let job = desk.next().unwrap();
    assert_eq!((&*job.key.name, job.wanted.programmed_at()), ("a", Some(1)));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_not_ours_any_more_loses_our_entry() {
    let mut desk = Desk::new();
    desk.apply("1", vec![report("a", 1), report("b", 1)]);
    desk.write_all();
    desk.apply("1", vec![report("a", 1)]);
    let job = desk.next().unwrap();
    assert_eq!((&*job.key.name, &job.wanted), ("b", &Wanted::Nothing));
    desk.ledger.finished(&job, &Outcome::Written, desk.now);
    assert!(!desk.ledger.objects.contains_key(&key("b")));
    assert_eq!(desk.write_all(), [""; 0]);

    // The same for an entry that an earlier leader left behind.
    let left = Installation {
        name: "default".to_owned(),
        ..Installation::default()
    };
    desk.found("c", 1, Wanted::Entry(left));
    assert_eq!(desk.next().unwrap().wanted, Wanted::Nothing);
    desk.found("d", 1, Wanted::Nothing);
    assert!(!desk.ledger.objects.contains_key(&key("d")));
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_waits_and_is_then_the_newest() {
    let mut desk = Desk::new();
    desk.apply("1", vec![broken("a", 1)]);
    let away = Outcome::Unavailable("away".to_owned());
    for _ in 0..20 {
        let job = desk.next().unwrap();
        desk.ledger.finished(&job, &away, desk.now);
        desk.apply("1", vec![broken("a", 2)]);
        assert!(desk.next().is_none(), "a change must not shorten the pause");
        let due = desk.ledger.next_due().unwrap();
        assert!(due <= desk.now + MAX_BACK_OFF && due > desk.now);
        desk.now = due;
        desk.replica_reaches("1");
    }
    let job = desk.next().unwrap();
    let Wanted::Entry(entry) = &job.wanted else {
        panic!("{job:?}");
    };
    assert_eq!(entry.observed_generation, 2);
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_tried_again_only_when_it_is_different() {
    let mut desk = Desk::new();
    let refused = Outcome::Refused("no".to_owned());
    desk.apply("1", vec![broken("a", 1)]);
    let job = desk.next().unwrap();
    assert!(desk.ledger.finished(&job, &refused, desk.now), "news");
    desk.now += MS(60_000);
    assert!(desk.next().is_none());
    desk.replica_reaches("1");
    desk.apply("1", vec![broken("a", 2)]);
    let job = desk.next().unwrap();
    assert!(desk.ledger.finished(&job, &refused, desk.now), "news again");
}

#[tokio::test(start_paused = true)]
async fn a_recreated_object_is_written_anew() {
    let mut desk = Desk::new();
    desk.apply("1", vec![report("a", 1)]);
    assert_eq!(desk.write_all(), ["a"]);
    desk.now += MS(5_000);
    let mut recreated = report("a", 1);
    Arc::make_mut(&mut recreated.revision).uid = "v".into();
    desk.apply("1", vec![recreated]);
    assert_eq!(desk.write_all(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn objects_without_a_status_are_left_alone() {
    let mut desk = Desk::new();
    let mut annotated = report("a", 1);
    annotated.origin = Origin::Annotation {
        of: ObjectKey::new(Group::Core, Kind::Service, "apps", "quote"),
        at: crate::resource::Position { line: 1, column: 1 },
    };
    let mut module = report("b", 1);
    module.key = ObjectKey::new(Group::Emissary, Kind::Module, "apps", "ambassador");
    desk.apply("1", vec![annotated, module]);
    assert!(desk.next().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_looked_at_when_it_comes_near_its_end() {
    let mut desk = Desk::new();
    let mut host = report("a", 1);
    host.certificate_not_after = Some(1_780_000_000 + 14 * 24 * 3600 + 60);
    desk.apply("1", vec![host]);
    assert_eq!(desk.write_all(), ["a"]);
    assert_eq!(desk.ledger.next_due(), Some(desk.now + MS(61_000)));
}
