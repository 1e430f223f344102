use super::*;
use crate::{
    report::replica::ANNOTATION,
    resource::{Group, Kind},
    status::{name::Names, testing::lease},
};

const EXPIRY: Duration = Duration::from_secs(30);

fn key() -> ObjectKey {
    ObjectKey::new(Group::Postern, Kind::Mapping, "apps", "quote")
}

/// A fleet whose leader, `me`, is ready and has reached version 100.
fn fleet(now: Instant) -> Fleet {
    let mut fleet = Fleet::new(Names::new("default", "me").replica(), EXPIRY);
    fleet.observe(Event::Init, now);
    fleet.observe(Event::InitApply(lease("me", true, "100", 0)), now);
    fleet.observe(Event::InitDone, now);
    fleet
}

#[tokio::test(start_paused = true)]
async fn a_generation_is_everywhere_when_every_ready_replica_has_reached_it() {
    let now = Instant::now();
    for (other, mark, expected) in [
        (lease("b", true, "100", 0), "100", Rollout::Everywhere),
        (lease("b", true, "99", 0), "100", Rollout::Waiting),
        (lease("b", true, "99", 0), "99", Rollout::Everywhere),
        (lease("b", false, "1", 0), "100", Rollout::Everywhere),
        (lease("b", true, "1000", 0), "101", Rollout::Waiting),
    ] {
        let mut fleet = fleet(now);
        fleet.observe(Event::Apply(other.clone()), now);
        assert_eq!(
            fleet.rollout(&key(), mark, now),
            Some(expected),
            "{mark} and {other:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_are_told_of_ready_replicas() {
    let now = Instant::now();
    let mut fleet = fleet(now);
    assert!(fleet.nodes(now).is_empty());
    for (name, ready, node) in [
        ("b", true, "10.0.0.2"),
        ("c", true, "10.0.0.1"),
        ("d", true, "10.0.0.2"),
        ("e", false, "10.0.0.3"),
    ] {
        let mut lease = lease(name, ready, "100", 0);
        let annotations = lease.metadata.annotations.as_mut().unwrap();
        let said = annotations.get_mut(ANNOTATION).unwrap();
        let mut replica: Replica = serde_json::from_str(said).unwrap();
        replica.nodes = vec![node.parse().unwrap()];
        *said = serde_json::to_string(&replica).unwrap();
        fleet.observe(Event::Apply(lease), now);
    }
    let nodes: Vec<_> = fleet.nodes(now).iter().map(ToString::to_string).collect();
    assert_eq!(nodes, ["10.0.0.1", "10.0.0.2"]);
    assert!(fleet.nodes(now + EXPIRY).is_empty());
}

#[tokio::test(start_paused = true)]
async fn ports_that_replicas_could_not_bind_are_told_while_they_live() {
    let now = Instant::now();
    let mut fleet = fleet(now);
    for (name, ready, ports) in [("b", true, &[80][..]), ("c", false, &[80, 443][..])] {
        let mut lease = lease(name, ready, "100", 0);
        let annotations = lease.metadata.annotations.as_mut().unwrap();
        let said = annotations.get_mut(ANNOTATION).unwrap();
        let mut replica: Replica = serde_json::from_str(said).unwrap();
        assert!(!said.contains("unbound"), "{said}");
        replica.unbound = ports.iter().copied().collect();
        *said = serde_json::to_string(&replica).unwrap();
        fleet.observe(Event::Apply(lease), now);
    }
    let told = |fleet: &Fleet, now| {
        let unbound = fleet.unbound(now)?.into_values();
        let told = unbound.map(|at| format!("{} {} {}", at.port, at.replica, at.others));
        Some(told.collect::<Vec<_>>())
    };
    let both = ["80 postern-default-b 1", "443 postern-default-c 0"];
    let both = both.map(str::to_owned).to_vec();
    assert_eq!(told(&fleet, now), Some(both));
    // A watch that shows not even the own Lease tells nothing of the others.
    let late = now + EXPIRY;
    assert_eq!(told(&fleet, late), None);
    fleet.observe(Event::Apply(lease("me", true, "100", 30)), late);
    assert_eq!(told(&fleet, late), Some(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stopped_holds_back_until_its_lease_expires() {
    let now = Instant::now();
    let mut fleet = fleet(now);
    fleet.observe(Event::Apply(lease("stopped", true, "50", 0)), now);
    // The leader goes on with its heartbeats.
    let before = now + EXPIRY - Duration::from_millis(1);
    fleet.observe(Event::Apply(lease("me", true, "100", 29)), before);
    assert_eq!(fleet.rollout(&key(), "100", before), Some(Rollout::Waiting));
    assert_eq!(fleet.changes_at(before), Some(now + EXPIRY));
    assert_eq!(
        fleet.rollout(&key(), "100", now + EXPIRY),
        Some(Rollout::Everywhere)
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_dead_lets_nobody_expire() {
    let now = Instant::now();
    let mut fleet = fleet(now);
    fleet.observe(Event::Apply(lease("b", true, "50", 0)), now);
    // The own heartbeat is the last that is seen.
    let last = now + Duration::from_secs(10);
    fleet.observe(Event::Apply(lease("me", true, "100", 10)), last);
    for second in 0..120 {
        let at = now + Duration::from_secs(second);
        let rollout = fleet.rollout(&key(), "100", at);
        assert_ne!(rollout, Some(Rollout::Everywhere), "after {second} s");
    }
}

#[tokio::test(start_paused = true)]
async fn seeing_the_same_lease_again_does_not_make_it_younger() {
    let now = Instant::now();
    let mut fleet = fleet(now);
    fleet.observe(Event::Apply(lease("stopped", true, "50", 0)), now);
    let late = now + EXPIRY;
    fleet.observe(Event::Init, late);
    fleet.observe(Event::InitApply(lease("me", true, "100", 30)), late);
    fleet.observe(Event::InitApply(lease("stopped", true, "50", 0)), late);
    fleet.observe(Event::InitDone, late);
    assert_eq!(
        fleet.rollout(&key(), "100", late),
        Some(Rollout::Everywhere)
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_while_the_own_lease_is_not_seen() {
    let now = Instant::now();
    let mut fleet = Fleet::new("postern-default-me".to_owned(), EXPIRY);
    assert_eq!(fleet.rollout(&key(), "1", now), None);
    fleet.observe(Event::Apply(lease("other", true, "100", 0)), now);
    assert_eq!(fleet.rollout(&key(), "1", now), None);
    assert!(!fleet.is_dark(now + EXPIRY * 2));
}

#[tokio::test(start_paused = true)]
async fn replicas_are_counted_by_what_became_of_them() {
    let now = Instant::now();
    let mut fleet = fleet(now);
    fleet.observe(Event::Apply(lease("loading", false, "1", 0)), now);
    let late = now + EXPIRY;
    fleet.observe(Event::Apply(lease("me", true, "100", 30)), late);
    fleet.observe(Event::Apply(lease("new", false, "100", 30)), late);
    let census = Census {
        ready: 1,
        unready: 1,
        expired: 1,
    };
    assert_eq!(fleet.census(late), census);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_holds_nothing_back() {
    let now = Instant::now();
    let mut fleet = fleet(now);
    fleet.observe(Event::Apply(lease("b", true, "1", 0)), now);
    fleet.observe(Event::Delete(lease("b", true, "1", 0)), now);
    assert_eq!(fleet.rollout(&key(), "100", now), Some(Rollout::Everywhere));
}

#[tokio::test(start_paused = true)]
async fn without_a_ready_replica_nothing_is_served_and_after_a_while_it_is_dark() {
    let now = Instant::now();
    let mut fleet = fleet(now);
    fleet.observe(Event::Apply(lease("me", false, "100", 1)), now);
    assert_eq!(
        fleet.rollout(&key(), "1", now),
        Some(Rollout::NoReadyReplica)
    );
    assert!(!fleet.is_dark(now));
    let later = now + EXPIRY;
    fleet.observe(Event::Apply(lease("me", false, "100", 30)), later);
    assert!(fleet.is_dark(later));
    fleet.observe(Event::Apply(lease("me", true, "100", 31)), later);
    assert!(!fleet.is_dark(later));
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_another_language_is_of_a_replica_that_is_not_ready() {
    let now = Instant::now();
    let mut fleet = fleet(now);
    let mut odd = lease("odd", true, "1", 0);
    odd.metadata.annotations = None;
    fleet.observe(Event::Apply(odd), now);
    assert_eq!(fleet.rollout(&key(), "100", now), Some(Rollout::Everywhere));
}

#[tokio::test(start_paused = true)]
async fn only_leases_that_nobody_renews_are_abandoned() {
    let now = Instant::now();
    let mut fleet = fleet(now);
    fleet.observe(Event::Apply(lease("gone", true, "1", 0)), now);
    let late = now + EXPIRY * 10;
    fleet.observe(Event::Apply(lease("alive", true, "1", 299)), late);
    assert_eq!(
        fleet.abandoned(late),
        [("postern-default-gone".to_owned(), "1".to_owned())]
    );
}
