//! Who is the leader: a state machine without clock and network, driven by [`super::elector`].
//!
//! ```text
//!             somebody holds it                  it expires, or is released, and our write succeeds
//!   follower ────────────────────> waiting ─────────────────────────────────────────────────────────> leader
//!       ^                                                                                               │
//!       └────────────────── another holds it, or no renewal succeeded before the deadline ──────────────┘
//! ```
//!
//! As Kubernetes' own components do it: a Lease is held for as long as it keeps changing, measured by the clock of whoever
//! looks, so the clocks of nodes need not agree. A leader stops by itself before others may begin.

use std::{cmp::Ordering, time::Duration};

use tokio::time::Instant;

use super::{Timing, version};

/// What the leader Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// None when it was released.
    pub(super) holder: Option<String>,
    /// The text of the renewal time: only whether it changes matters.
    pub(super) renewed: Option<String>,
    pub(super) duration: Duration,
    pub(super) transitions: i32,
    pub(super) version: String,
}

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Create,
    Replace {
        version: String,
        transitions: i32,
        /// Whether this takes the Lease, and does not only renew it.
        takes: bool,
    },
}

/// The view of one candidate.
#[derive(Debug)]
pub(super) struct Election {
    me: String,
    timing: Timing,
    /// None until it was looked for.
    seen: Option<Seen>,
    /// Until when we lead, if no renewal succeeds.
    leads_until: Option<Instant>,
    /// Not to try again before.
    not_before: Instant,
}

#[derive(Debug)]
struct Seen {
    /// None when there is no Lease.
    record: Option<Record>,
    /// When it was last seen to change.
    at: Instant,
}

impl Election {
    pub(super) fn new(me: String, timing: Timing, now: Instant) -> Self {
        Self {
            me,
            timing,
            seen: None,
            leads_until: None,
            not_before: now,
        }
    }

    /// The Lease as somebody has written it; None when there is none.
    pub(super) fn observe(&mut self, record: Option<Record>, now: Instant) {
        if self.is_older(record.as_ref()) {
            return;
        }
        let ours = record
            .as_ref()
            .is_some_and(|record| record.holder.as_deref() == Some(self.me.as_str()));
        if !ours {
            self.leads_until = None;
        }
        let unchanged = self.seen.as_ref().is_some_and(|seen| {
            let tell = |record: &Option<Record>| {
                record
                    .as_ref()
                    .map(|record| (record.holder.clone(), record.renewed.clone()))
            };
            tell(&seen.record) == tell(&record)
        });
        match &mut self.seen {
            Some(seen) if unchanged => seen.record = record,
            seen => *seen = Some(Seen { record, at: now }),
        }
    }

    /// Our write succeeded, that was begun at `began`.
    pub(super) fn won(&mut self, record: Record, began: Instant, jitter: Duration) {
        self.leads_until = Some(began + self.timing.renew_deadline);
        self.not_before = began + self.timing.renew.saturating_sub(jitter);
        self.seen = Some(Seen {
            record: Some(record),
            at: began,
        });
    }

    /// Our write failed: somebody was faster, or the API server is away.
    pub(super) fn failed(&mut self, now: Instant, jitter: Duration) {
        self.not_before = now + self.timing.retry + jitter;
    }

    /// Until when we lead, if we do.
    pub(super) fn leads_until(&self, now: Instant) -> Option<Instant> {
        self.leads_until.filter(|until| now < *until)
    }

    /// What to write now, if anything.
    pub(super) fn attempt(&self, now: Instant) -> Option<Attempt> {
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        let Some(record) = &self.seen.as_ref()?.record else {
            return Some(Attempt::Create);
        };
        let takes = self.leads_until(now).is_none();
        Some(Attempt::Replace {
            version: record.version.clone(),
            transitions: record.transitions + i32::from(takes),
            takes,
        })
    }

    /// When the next attempt is due; none while nothing is known.
    pub(super) fn due(&self) -> Option<Instant> {
        let seen = self.seen.as_ref()?;
        let free_at = match &seen.record {
            Some(record) if self.is_foreign(record) => seen.at + record.duration,
            _ => seen.at,
        };
        Some(free_at.max(self.not_before))
    }

    /// The version to write when the Lease is given back, if it is ours.
    pub(super) fn release(&mut self, now: Instant) -> Option<Record> {
        self.leads_until(now)?;
        self.leads_until = None;
        self.seen.as_ref()?.record.clone()
    }

    /// Whether a watch tells what was there before our own last write.
    fn is_older(&self, record: Option<&Record>) -> bool {
        let known = self.seen.as_ref().and_then(|seen| seen.record.as_ref());
        known.zip(record).is_some_and(|(known, record)| {
            version::compare(&record.version, &known.version) == Some(Ordering::Less)
        })
    }

    fn is_foreign(&self, record: &Record) -> bool {
        record
            .holder
            .as_ref()
            .is_some_and(|holder| !holder.is_empty() && *holder != self.me)
    }
}

#[cfg(test)]
mod tests;
