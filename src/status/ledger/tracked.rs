//! What is known about one object, and the times that follow from it.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    report::ObjectReport,
    status::{
        Timing,
        condition::{Installation, PROGRAMMED},
        elector::jitter,
        ledger::Now,
        objects::Found,
        verdict,
    },
};

/// The longest pause before a failed write is tried again.
pub(super) const MAX_BACK_OFF: Duration = Duration::from_secs(30);

/// One object.
#[derive(Debug)]
pub(super) struct Tracked {
    /// None when it is not ours any more, and its entry should go.
    pub(super) report: Option<Arc<ObjectReport>>,
    pub(super) uid: Arc<str>,
    /// The version of the object at which the generation was first seen here. Status that is written later makes newer ones, for
    /// which nobody waits.
    pub(super) mark: Arc<str>,
    /// Whether all ready replicas had reached this generation once. Versions do not go back, and a new replica is not ready
    /// before it has come as far, so this stays.
    pub(super) reached: bool,
    /// What the status is known to say.
    pub(super) says: Option<u64>,
    /// What the API server refused.
    pub(super) refused: Option<u64>,
    pub(super) in_flight: bool,
    /// Since when it does not say what it should.
    pub(super) unsettled_since: Option<Instant>,
    pub(super) written: Option<Instant>,
    pub(super) failures: u32,
    pub(super) due: Option<Instant>,
}

// === impl Tracked ===

impl Tracked {
    pub(super) fn new(uid: &Arc<str>) -> Self {
        Self {
            report: None,
            uid: uid.clone(),
            mark: "".into(),
            reached: false,
            says: None,
            refused: None,
            in_flight: false,
            unsettled_since: None,
            written: None,
            failures: 0,
            due: None,
        }
    }

    pub(super) fn found(&mut self, found: &Found) {
        if *found.uid != *self.uid {
            return;
        }
        self.says = found.consistent.then(|| found.says.digest(&found.uid));
        let generation = self
            .report
            .as_ref()
            .map(|report| report.revision.generation);
        if generation != Some(found.generation) {
            return;
        }
        // The leader before has seen it.
        self.reached |= found.says.programmed_at() == generation;
    }

    /// Not to write before: an object is not written all the time, and what only waits for replicas is given time to settle.
    pub(super) fn earliest(
        &self,
        unsettled_since: Instant,
        waits: bool,
        timing: &Timing,
    ) -> Option<Instant> {
        let spaced = self.written.map(|at| at + timing.object_write_interval);
        let settled = waits.then(|| unsettled_since + timing.settle);
        spaced.max(settled)
    }
}

/// Whether the entry will be another one as soon as the replicas have come so far.
pub(super) fn waits(entry: &Installation) -> bool {
    entry.condition(PROGRAMMED).is_some_and(|condition| {
        [verdict::PENDING, verdict::NO_READY_REPLICA].contains(&condition.reason.as_str())
    })
}

pub(super) fn certificate_changes(report: &ObjectReport, now: Now) -> Option<Instant> {
    let at = verdict::changes_at(report, now.wall)?;
    let seconds = at.as_second().saturating_sub(now.wall.as_second()) + 1;
    // A clock that was set wrong is looked at again within a day.
    let wait = Duration::from_secs(u64::try_from(seconds).ok()?.min(24 * 3600));
    Some(now.instant + wait)
}

/// Doubles from a quarter of a second, and differs from object to object.
pub(super) fn back_off(failures: u32) -> Duration {
    let doubled = Duration::from_millis(250) * 2_u32.pow(failures.clamp(1, 8) - 1);
    let most = doubled.min(MAX_BACK_OFF);
    most / 2 + jitter(most / 2)
}
