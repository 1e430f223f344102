//! What each object's status should say, whether it does, and when to look at it again.
//!
//! An object is looked at when its report changed, when a replica has come further and it waits for that, when a write ended, and
//! when its certificate comes near its end. It is written when what it should say differs from what it is known to say. Nothing
//! is queued but the name: what is written is what is newest when the turn comes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use tokio::time::Instant;

use super::{
    Snapshot, Timing,
    condition::Address,
    emissary::EmissaryStatus,
    fleet::Fleet,
    objects::{Found, Outcome, Wanted, has_status},
    verdict::{self, Rollout, Unbound},
    version::{self, Versions},
};
use crate::{
    report::ObjectReport,
    resource::{Group, Kind, ObjectKey, Origin, Revision},
};
use tracked::{Tracked, back_off, certificate_changes, waits};

mod tracked;

/// The bookkeeping of one term of leadership.
#[derive(Debug)]
pub(super) struct Ledger {
    installation: Arc<str>,
    timing: Timing,
    objects: BTreeMap<ObjectKey, Tracked>,
    /// When to look at which object; each is in it once at most.
    due: BTreeSet<(Instant, ObjectKey)>,
    /// Objects that are not known to be served everywhere.
    waiting: BTreeSet<ObjectKey>,
    newest: Arc<Versions>,
    /// How many objects do not say what they should, as far as known.
    unsettled: usize,
    dark: bool,
    /// Who could not bind which port.
    unbound: BTreeMap<u16, Unbound>,
    /// Groups whose objects are only read.
    silent: Vec<Group>,
    /// Where the installation is reachable.
    addresses: Arc<[Address]>,
}

/// A write to carry out.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) key: ObjectKey,
    pub(super) uid: Arc<str>,
    pub(super) wanted: Wanted,
    /// Of `wanted`.
    digest: u64,
}

/// What a look at an object leads to.
enum Look {
    Write(Wanted, u64),
    /// There is nothing to do until then, if ever.
    Later(Option<Instant>),
}

/// The time, for what lasts and for what is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) instant: Instant,
    pub(super) wall: Timestamp,
}

// === impl Ledger ===

impl Ledger {
    pub(super) fn new(installation: Arc<str>, timing: Timing) -> Self {
        Self {
            installation,
            timing,
            objects: BTreeMap::new(),
            due: BTreeSet::new(),
            waiting: BTreeSet::new(),
            newest: Arc::default(),
            unsettled: 0,
            dark: false,
            unbound: BTreeMap::new(),
            silent: Vec::new(),
            addresses: Arc::default(),
        }
    }

    /// Leaves the objects of these groups alone.
    pub(super) fn silent(mut self, groups: &[Group]) -> Self {
        self.silent = groups.to_vec();
        self
    }

    fn writes(&self, key: &ObjectKey) -> bool {
        has_status(key.group, key.kind) && !self.silent.contains(&key.group)
    }

    /// A new snapshot: looks at what is different in it.
    pub(super) fn apply(&mut self, snapshot: &Snapshot, now: Instant) {
        let reports = snapshot.report.objects.iter();
        let reports: Vec<_> = reports
            .filter(|report| report.origin == Origin::Cluster && self.writes(&report.key))
            .collect();
        let mut present = BTreeSet::new();
        for report in reports {
            present.insert(&report.key);
            if self.reported(report, now) {
                self.note(report, &snapshot.versions);
            }
        }
        let gone: Vec<_> = self
            .objects
            .iter()
            .filter(|(key, tracked)| tracked.report.is_some() && !present.contains(key))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            if let Some(tracked) = self.objects.get_mut(&key) {
                tracked.report = None;
            }
            self.waiting.remove(&key);
            self.schedule(&key, now);
        }
    }

    /// Returns whether this is a generation that was not seen before.
    fn reported(&mut self, report: &Arc<ObjectReport>, now: Instant) -> bool {
        let key = &report.key;
        let tracked = self
            .objects
            .entry(key.clone())
            .or_insert_with(|| Tracked::new(&report.revision.uid));
        let before = tracked.report.replace(report.clone());
        if before.as_ref().is_some_and(|b| Arc::ptr_eq(b, report)) {
            return false;
        }
        let now_at = &report.revision;
        let is_same =
            |before: &Revision| before.uid == now_at.uid && before.generation == now_at.generation;
        let same = before.is_some_and(|before| is_same(&before.revision));
        if !same {
            tracked.uid = now_at.uid.clone();
            tracked.mark = now_at.resource_version.clone();
            tracked.reached = false;
            self.waiting.insert(key.clone());
        }
        self.schedule(key, now);
        !same
    }

    fn note(&mut self, report: &ObjectReport, versions: &Versions) {
        let Some(watch) = version::watch_of(versions, &report.key) else {
            return;
        };
        let version = &report.revision.resource_version;
        let known = self.newest.get(watch);
        if known.is_none_or(|known| !version::has_reached(known, version)) {
            Arc::make_mut(&mut self.newest).insert(watch.clone(), version.clone());
        }
    }

    /// The highest version, by watch, at which a generation of an object was first seen.
    pub(super) fn newest(&self) -> &Arc<Versions> {
        &self.newest
    }

    /// What a list of all objects says; `began` is when it was begun. What was written since is newer than the list.
    pub(super) fn found(&mut self, list: Vec<Found>, began: Instant, now: Instant) {
        for found in list {
            if let Some(tracked) = self.objects.get_mut(&found.key) {
                if tracked.in_flight || tracked.written.is_some_and(|at| at >= began) {
                    continue;
                }
                tracked.found(&found);
                if tracked.reached {
                    self.waiting.remove(&found.key);
                }
                self.schedule(&found.key, now);
            } else if found.key.group != Group::Emissary
                && self.writes(&found.key)
                && found.says != Wanted::Nothing
            {
                let mut tracked = Tracked::new(&found.uid.as_str().into());
                tracked.says = Some(found.says.digest(&found.uid));
                self.objects.insert(found.key.clone(), tracked);
                self.schedule(&found.key, now);
            }
        }
    }

    /// A replica has come further, is gone, or is new.
    pub(super) fn fleet_changed(&mut self, fleet: &Fleet, now: Instant) {
        let dark = fleet.is_dark(now);
        let affected: Vec<_> = if dark == self.dark {
            self.waiting.iter().cloned().collect()
        } else {
            self.objects.keys().cloned().collect()
        };
        self.dark = dark;
        for key in affected {
            self.schedule(&key, now);
        }
        if let Some(unbound) = fleet.unbound(now) {
            self.bound(unbound, now);
        }
    }

    /// These ports could not be bound, and no others.
    fn bound(&mut self, unbound: BTreeMap<u16, Unbound>, now: Instant) {
        if self.unbound == unbound {
            return;
        }
        self.unbound = unbound;
        let listeners = self.objects.keys().filter(|key| key.kind == Kind::Listener);
        for key in listeners.cloned().collect::<Vec<_>>() {
            self.schedule(&key, now);
        }
    }

    /// The installation is reachable there, and nowhere else.
    pub(super) fn reachable(&mut self, addresses: Arc<[Address]>, now: Instant) {
        if self.addresses == addresses {
            return;
        }
        self.addresses = addresses;
        let tells = |tracked: &Tracked| {
            tracked
                .report
                .as_deref()
                .is_some_and(verdict::has_addresses)
        };
        let affected: Vec<_> = self
            .objects
            .iter()
            .filter(|(_, tracked)| tells(tracked))
            .map(|(key, _)| key.clone())
            .collect();
        for key in affected {
            self.schedule(&key, now);
        }
    }

    /// The next write that is due.
    pub(super) fn next(&mut self, fleet: &Fleet, now: Now) -> Option<Job> {
        while let Some((at, key)) = self.due.first().cloned() {
            if at > now.instant {
                return None;
            }
            self.due.pop_first();
            let Some(tracked) = self.objects.get_mut(&key) else {
                continue;
            };
            tracked.due = None;
            if tracked.in_flight {
                // It is looked at again when the write ends.
                continue;
            }
            match self.look(&key, fleet, now) {
                Look::Write(wanted, digest) => return self.start(key, wanted, digest),
                Look::Later(Some(at)) => self.schedule(&key, at),
                Look::Later(None) => {}
            }
        }
        None
    }

    /// When [`next`](Self::next) may have something, if nothing happens before.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// How many objects do not say what they should, as far as known.
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// A write ended. Returns whether this refusal is a new one, which somebody should hear of.
    pub(super) fn finished(&mut self, job: &Job, outcome: &Outcome, now: Instant) -> bool {
        let Some(tracked) = self.objects.get_mut(&job.key) else {
            return false;
        };
        tracked.in_flight = false;
        let mut news = false;
        match outcome {
            Outcome::Written | Outcome::Unchanged | Outcome::Gone => {
                let done = tracked.report.is_none() && job.wanted == Wanted::Nothing;
                if done {
                    self.forget(&job.key);
                    return false;
                }
                tracked.says = Some(job.digest);
                tracked.failures = 0;
                if *outcome == Outcome::Written {
                    tracked.written = Some(now);
                }
                self.unsettled -= usize::from(tracked.unsettled_since.take().is_some());
            }
            Outcome::Refused(_) => {
                news = tracked.refused != Some(job.digest);
                tracked.refused = Some(job.digest);
            }
            Outcome::Conflict | Outcome::Unavailable(_) => {
                tracked.failures = tracked.failures.saturating_add(1);
                let again = now + back_off(tracked.failures);
                self.schedule(&job.key, again);
                return false;
            }
        }
        self.schedule(&job.key, now);
        news
    }

    fn start(&mut self, key: ObjectKey, wanted: Wanted, digest: u64) -> Option<Job> {
        let tracked = self.objects.get_mut(&key)?;
        tracked.in_flight = true;
        Some(Job {
            key,
            uid: tracked.uid.clone(),
            wanted,
            digest,
        })
    }

    /// Decides what to do about an object now.
    fn look(&mut self, key: &ObjectKey, fleet: &Fleet, now: Now) -> Look {
        let dark = self.dark;
        let Some(tracked) = self.objects.get_mut(key) else {
            return Look::Later(None);
        };
        let Some(report) = tracked.report.clone() else {
            return Look::Write(Wanted::Nothing, Wanted::Nothing.digest(&tracked.uid));
        };
        let rollout = match (tracked.reached, dark) {
            (true, false) => Rollout::Everywhere,
            (_, true) => Rollout::NoReadyReplica,
            (false, false) => match fleet.rollout(key, &tracked.mark, now.instant) {
                Some(rollout) => rollout,
                None => return Look::Later(None),
            },
        };
        if rollout == Rollout::Everywhere {
            tracked.reached = true;
            self.waiting.remove(key);
        }
        let unbound = verdict::listener_port(&report).and_then(|port| self.unbound.get(&port));
        let rollout = unbound.cloned().map_or(rollout, Rollout::Unbound);
        let mut entry = verdict::entry(&report, &self.installation, rollout, now.wall);
        if verdict::has_addresses(&report) {
            entry.addresses = self.addresses.to_vec();
        }
        let waits = waits(&entry);
        let wanted = match key.group {
            Group::Emissary => Wanted::State(EmissaryStatus::of(&report, &entry)),
            _ => Wanted::Entry(entry),
        };
        let digest = wanted.digest(&tracked.uid);
        if tracked.says == Some(digest) || tracked.refused == Some(digest) {
            self.unsettled -= usize::from(tracked.unsettled_since.take().is_some());
            return Look::Later(certificate_changes(&report, now));
        }
        let since = *tracked.unsettled_since.get_or_insert_with(|| {
            self.unsettled += 1;
            now.instant
        });
        match tracked.earliest(since, waits, &self.timing) {
            Some(at) if at > now.instant => Look::Later(Some(at)),
            _ => Look::Write(wanted, digest),
        }
    }

    /// Looks at the object at this time, or before if that was planned.
    fn schedule(&mut self, key: &ObjectKey, at: Instant) {
        let Some(tracked) = self.objects.get_mut(key) else {
            return;
        };
        // A failed write waits for its time, whatever happens: the API server is asked no more often.
        if let Some(before) = tracked.due {
            if before <= at || tracked.failures > 0 {
                return;
            }
            self.due.remove(&(before, key.clone()));
        }
        tracked.due = Some(at);
        self.due.insert((at, key.clone()));
    }

    fn forget(&mut self, key: &ObjectKey) {
        self.waiting.remove(key);
        let Some(tracked) = self.objects.remove(key) else {
            return;
        };
        self.unsettled -= usize::from(tracked.unsettled_since.is_some());
        if let Some(at) = tracked.due {
            self.due.remove(&(at, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests;
