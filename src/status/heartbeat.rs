//! Keeps the Lease of this replica: written when something in it changes, at most once in a while, and now and then anyway.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::OwnerReference,
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, warn};

use super::{Options, Snapshot, Timing, name::Names, replica::Replica, stopped};
use crate::report::replica::{Late, WORTH_A_WARNING};

/// Readiness has no channel: it is looked at this often.
const LOOK: Duration = Duration::from_millis(200);

pub(super) struct Heartbeat<'o> {
    pub(super) client: Client,
    pub(super) names: Names,
    pub(super) options: &'o Options,
    pub(super) snapshots: watch::Receiver<Option<Snapshot>>,
}

/// When to write what.
#[derive(Debug, Default)]
struct Schedule {
    written: Option<(Replica, Instant)>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Heartbeat<'_> {
    /// Runs until it is told to stop; then the Lease is deleted, so that nobody waits for this replica.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.options.namespace);
        let owner = self.owner().await;
        let mut schedule = Schedule::default();
        // Of the generation for which it was made: making one costs as much as the graph is large.
        let mut digest = (0, String::new());
        let mut applied = Applied::default();
        loop {
            let now = Instant::now();
            applied.see(self.generation(), Timestamp::now());
            let mut replica = self.state(&digest, applied);
            if schedule.is_due(&replica, &self.options.timing, now) {
                digest = self.digest(digest);
                replica = self.state(&digest, applied);
                let written = match self.write(&leases, &replica, owner.as_ref()).await {
                    Ok(()) => true,
                    Err(why) if schedule.failures == 0 => {
                        warn!(
                            why,
                            "The Lease of this replica cannot be written: what is programmed is not known"
                        );
                        false
                    }
                    Err(_) => false,
                };
                schedule.finished(written.then_some(replica), &self.options.timing, now);
            }
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                changed = self.snapshots.changed(), if schedule.may_write(&self.options.timing, Instant::now()) => {
                    if changed.is_err() {
                        stopped(&mut stop).await;
                        break;
                    }
                }
                () = sleep_until(schedule.wake_at(&self.options.timing, Instant::now())) => {}
            }
        }
        let name = self.names.replica();
        let params = DeleteParams::default();
        let deleted = timeout(self.options.timing.request, leases.delete(&name, &params));
        if !matches!(deleted.await, Ok(Ok(_))) {
            debug!("The Lease of this replica cannot be deleted: it expires");
        }
    }

    fn state(&self, digest: &(u64, String), applied: Applied) -> Replica {
        let snapshot = self.snapshots.borrow();
        Replica {
            build: self.options.build.clone(),
            ready: snapshot.is_some() && self.options.health.is_ready(),
            digest: digest.1.clone(),
            versions: snapshot
                .as_ref()
                .map(|snapshot| (*snapshot.versions).clone())
                .unwrap_or_default(),
            preset: self.options.preset.clone(),
            applied: applied.at.map(Timestamp::as_second),
            nodes: self.options.node_addresses.clone(),
            unbound: (self.options.unbound)(),
            behind: self.behind(),
        }
    }

    /// What only a leader knows.
    fn behind(&self) -> BTreeMap<String, Late> {
        let wall = Timestamp::now().as_second();
        let late = self.options.metrics.late(WORTH_A_WARNING).into_iter();
        let late = late.map(|(name, late)| {
            let seconds = i64::try_from(late.since.elapsed().as_secs()).unwrap_or(i64::MAX);
            let told = Late {
                since: wall.saturating_sub(seconds),
                watch: late.watch.to_string(),
            };
            (name.to_string(), told)
        });
        late.collect()
    }

    fn generation(&self) -> Option<u64> {
        self.snapshots.borrow().as_ref().map(|s| s.generation)
    }

    fn digest(&self, before: (u64, String)) -> (u64, String) {
        match self.generation() {
            Some(generation) if generation != before.0 => (generation, (self.options.digest)()),
            _ => before,
        }
    }

    async fn write(
        &self,
        leases: &Api<Lease>,
        replica: &Replica,
        owner: Option<&OwnerReference>,
    ) -> Result<(), String> {
        let lease = replica.lease(&self.names, owner, &self.options.timing, Timestamp::now());
        let params = PatchParams::apply(&self.names.field_manager()).force();
        let patch = Patch::Apply(json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": lease.metadata,
            "spec": lease.spec,
        }));
        let name = self.names.replica();
        let patched = leases.patch(&name, &params, &patch);
        match timeout(self.options.timing.request, patched).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_elapsed) => Err("no answer in time".to_owned()),
        }
    }

    /// The pod of this replica, if it runs in one: the Lease goes away with it.
    async fn owner(&self) -> Option<OwnerReference> {
        let name = self.options.replica.clone();
        let uid = if let Some(uid) = &self.options.pod_uid {
            uid.clone()
        } else {
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.options.namespace);
            let pod = timeout(self.options.timing.request, pods.get_metadata_opt(&name)).await;
            pod.ok()?.ok()??.metadata.uid?
        };
        Some(OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name,
            uid,
            ..OwnerReference::default()
        })
    }
}

/// Since when a snapshot is in use.
#[derive(Clone, Copy, Debug, Default)]
struct Applied {
    generation: u64,
    at: Option<Timestamp>,
}

impl Applied {
    fn see(&mut self, generation: Option<u64>, now: Timestamp) {
        if let Some(generation) = generation
            && (self.at.is_none() || generation != self.generation)
        {
            *self = Self {
                generation,
                at: Some(now),
            };
        }
    }
}

// === impl Schedule ===

impl Schedule {
    /// Whether to write this state now. The digest follows from the rest, and is not looked at.
    fn is_due(&self, replica: &Replica, timing: &Timing, now: Instant) -> bool {
        if !self.may_write(timing, now) {
            return false;
        }
        let Some((before, at)) = &self.written else {
            return true;
        };
        // Since when a replica is behind is told with whom it is, and does not change but by the rounding of clocks.
        let differs = before.ready != replica.ready
            || before.versions != replica.versions
            || before.unbound != replica.unbound
            || !before.behind.keys().eq(replica.behind.keys());
        differs || now >= *at + timing.heartbeat
    }

    fn may_write(&self, timing: &Timing, now: Instant) -> bool {
        self.allowed_at(timing).is_none_or(|at| now >= at)
    }

    /// When to look again, if nothing else happens: not a moment later than a change may be written.
    fn wake_at(&self, timing: &Timing, now: Instant) -> Instant {
        self.allowed_at(timing)
            .filter(|at| *at > now)
            .unwrap_or(now + LOOK)
    }

    /// None is at once.
    fn allowed_at(&self, timing: &Timing) -> Option<Instant> {
        let spaced = self
            .written
            .as_ref()
            .map(|(_, at)| *at + timing.lease_write_interval);
        spaced.max(self.not_before)
    }

    /// Notes how a write ended, that was begun at `now`: none is one that failed.
    fn finished(&mut self, written: Option<Replica>, timing: &Timing, now: Instant) {
        if let Some(replica) = written {
            *self = Self {
                written: Some((replica, now)),
                ..Self::default()
            };
        } else {
            self.failures += 1;
            let wait = timing.lease_write_interval * self.failures.min(2);
            self.not_before = Some(now + wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(ready: bool, version: &str) -> Replica {
        Replica {
            ready,
            versions: [("mappings.postern.dev".into(), version.into())].into(),
            ..Replica::default()
        }
    }

    /// As a leader writes it that knows of somebody who is behind.
    fn late() -> Replica {
        Replica {
            behind: [("postern-default-b".to_owned(), Late::default())].into(),
            ..replica(false, "1")
        }
    }

    fn unbound() -> Replica {
        Replica {
            unbound: [80].into(),
            ..replica(false, "1")
        }
    }

    #[test]
    fn a_snapshot_is_in_use_since_it_was_first_seen() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut applied = Applied::default();
        for (generation, now, since) in [
            (None, 1, None),
            (Some(7), 2, Some(2)),
            (Some(7), 9, Some(2)),
            (Some(8), 10, Some(10)),
        ] {
            applied.see(generation, at(now));
            assert_eq!(applied.at, since.map(at), "{now}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_written_at_once_and_the_next_ones_at_most_every_second() {
        let timing = Timing::default();
        let start = Instant::now();
        let mut schedule = Schedule::default();
        assert!(schedule.is_due(&replica(false, "1"), &timing, start));
        schedule.finished(Some(replica(false, "1")), &timing, start);

        let later = |ms: u64| start + Duration::from_millis(ms);
        for (at, state, due) in [
            (500, replica(true, "1"), false),
            (1000, replica(false, "1"), false),
            (1000, replica(true, "1"), true),
            (1000, replica(false, "2"), true),
            (1000, late(), true),
            (1000, unbound(), true),
            (9_999, replica(false, "1"), false),
            (10_000, replica(false, "1"), true),
        ] {
            assert_eq!(
                schedule.is_due(&state, &timing, later(at)),
                due,
                "{at} ms, {state:?}"
            );
        }
        // It waits for exactly the moment at which it may, and from then on only for readiness.
        assert_eq!(schedule.wake_at(&timing, later(1)), later(1000));
        assert_eq!(schedule.wake_at(&timing, later(1000)), later(1000) + LOOK);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_write_is_tried_again_more_slowly_and_before_the_lease_expires() {
        let timing = Timing::default();
        let mut now = Instant::now();
        let mut schedule = Schedule::default();
        for expected in [1, 2, 2, 2] {
            schedule.finished(None, &timing, now);
            let wait = Duration::from_secs(expected);
            let state = replica(true, "1");
            assert!(!schedule.is_due(&state, &timing, now + wait - Duration::from_millis(1)));
            assert!(schedule.is_due(&state, &timing, now + wait));
            now += wait;
        }
    }
}
