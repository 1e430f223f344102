//! Which Secrets are there, which are wanted, and whose bodies to fetch.
//!
//! Of all Secrets the metadata is watched; a body is fetched only while somebody wants it, and again when the metadata says
//! that it is another one. This module only decides: it makes no request.
//!
//! ```text
//!  not known yet ──> absent <──> to be fetched ──> held ──┐
//!                                      ^                  │ another version
//!                                      └──────────────────┘
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    backoff::Backoff,
    found::{Event, Found},
};
use crate::{
    resource::{AnyObject, ObjectKey},
    source::Change,
};

/// A permission is not given from one second to the next.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// A body to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    pub(super) key: ObjectKey,
    /// Given back with the outcome.
    pub(super) serial: u64,
}

/// What became of a [`Fetch`].
#[derive(Debug)]
pub(super) enum Outcome {
    Body(AnyObject),
    /// There is no such Secret, or none that can be read.
    Nothing,
    Forbidden,
    /// To be tried again.
    Failed,
}

/// What follows from an input.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) changes: Vec<Change>,
    pub(super) fetches: Vec<Fetch>,
}

/// What became of a Secret that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// Nobody knows yet.
    Unknown,
    /// A body was sent.
    Held,
    /// It was said that there is none.
    Absent,
}

/// The Secrets.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    watches: HashMap<Arc<str>, Scope>,
    wanted: Arc<BTreeSet<ObjectKey>>,
    wants: HashMap<ObjectKey, Want>,
    serial: u64,
    fetching: usize,
    /// Versions that the watches have reached, held back while a body is on its way.
    reached: BTreeMap<Arc<str>, Arc<str>>,
}

/// Where a watch looks.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// None: in all of them.
    pub(super) namespace: Option<Arc<str>>,
    /// None: at everything that is there.
    pub(super) name: Option<Arc<str>>,
}

/// What one watch sees.
#[derive(Debug)]
struct Scope {
    place: Place,
    /// None until the first list.
    seen: Option<HashMap<ObjectKey, Arc<str>>>,
    /// It will not see anything, so everything is absent.
    denied: bool,
}

/// A Secret that is wanted.
#[derive(Debug, Default)]
struct Want {
    fetching: Option<Asked>,
    /// The metadata's version that the last answer is good for.
    asked: Option<Arc<str>>,
    /// The version of the body that was sent.
    held: Option<Arc<str>>,
    absent: bool,
    retry: Option<Instant>,
    backoff: Backoff,
}

/// A fetch that is on its way.
#[derive(Debug)]
struct Asked {
    serial: u64,
    version: Arc<str>,
}

/// What the metadata says of a Secret.
enum Seen {
    Unknown,
    Absent,
    Version(Arc<str>),
}

// === impl Secrets ===

impl Secrets {
    /// A watch is there; until it has listed, nothing is known.
    pub(super) fn watch(&mut self, watch: &Arc<str>, place: Place) {
        let scope = Scope {
            place,
            seen: None,
            denied: false,
        };
        self.watches.entry(watch.clone()).or_insert(scope);
    }

    /// Takes all that a watch has now.
    pub(super) fn list(&mut self, watch: &Arc<str>, found: Vec<Found>, now: Instant) -> Output {
        let seen: HashMap<_, _> = found.into_iter().filter_map(entry).collect();
        if let Some(scope) = self.watches.get_mut(watch) {
            scope.seen = Some(seen);
            scope.denied = false;
        }
        self.settle_all(now)
    }

    /// Takes what happened since.
    pub(super) fn change(&mut self, watch: &Arc<str>, events: Vec<Event>, now: Instant) -> Output {
        let mut output = Output::default();
        for event in events {
            let (key, version) = match event {
                Event::Put(found) => match entry(found) {
                    Some((key, version)) => (key, Some(version)),
                    None => continue,
                },
                Event::Gone(key) => (key, None),
            };
            if let Some(seen) = self.watches.get_mut(watch).and_then(|s| s.seen.as_mut()) {
                match version {
                    Some(version) => drop(seen.insert(key.clone(), version)),
                    None => drop(seen.remove(&key)),
                }
            }
            self.settle(&key, now, &mut output);
        }
        output
    }

    /// The watch may not list: as long as it never has, its Secrets are as good as absent.
    pub(super) fn denied(&mut self, watch: &Arc<str>, now: Instant) -> Output {
        if let Some(scope) = self.watches.get_mut(watch) {
            scope.denied = true;
        }
        self.settle_all(now)
    }

    /// Takes what is wanted now.
    pub(super) fn want(&mut self, wanted: &Arc<BTreeSet<ObjectKey>>, now: Instant) -> Output {
        let mut output = Output::default();
        let before = std::mem::replace(&mut self.wanted, wanted.clone());
        for key in before.difference(wanted) {
            let Some(want) = self.wants.remove(key) else {
                continue;
            };
            self.fetching -= usize::from(want.fetching.is_some());
            if want.held.is_some() || want.absent {
                output.changes.push(Change::Delete(key.clone()));
            }
        }
        for key in wanted.difference(&before) {
            self.wants.insert(key.clone(), Want::default());
            self.settle(key, now, &mut output);
        }
        output
    }

    /// Takes what became of a fetch. One that nobody waits for any more is nothing.
    pub(super) fn fetched(&mut self, fetch: &Fetch, outcome: Outcome, now: Instant) -> Output {
        let mut output = Output::default();
        let Some(want) = self.wants.get_mut(&fetch.key) else {
            return output;
        };
        let Some(asked) = want.fetching.take_if(|asked| asked.serial == fetch.serial) else {
            return output;
        };
        self.fetching -= 1;
        match outcome {
            Outcome::Body(object) => {
                want.held = Some(object.meta().revision.resource_version.clone());
                want.asked = Some(asked.version);
                want.absent = false;
                want.backoff.reset();
                output.changes.push(Change::Put(object));
            }
            Outcome::Nothing => {
                want.asked = Some(asked.version);
                want.lose(&fetch.key, &mut output.changes);
            }
            Outcome::Forbidden => {
                // What was sent before stays: a permission that is gone changes nothing about the certificate.
                if want.held.is_none() {
                    want.lose(&fetch.key, &mut output.changes);
                }
                want.retry = Some(now + ASK_AGAIN);
            }
            Outcome::Failed => want.retry = Some(now + want.backoff.next()),
        }
        self.settle(&fetch.key, now, &mut output);
        output
    }

    /// When to call [`Self::retry`].
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.wants.values().filter_map(|want| want.retry).min()
    }

    /// Fetches again what is due.
    pub(super) fn retry(&mut self, now: Instant) -> Output {
        let mut output = Output::default();
        let due = |want: &Want| want.retry.is_some_and(|at| at <= now);
        let keys: Vec<_> = self
            .wants
            .iter()
            .filter(|(_, want)| due(want))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            self.settle(&key, now, &mut output);
        }
        output
    }

    /// What became of each Secret that is wanted.
    pub(super) fn holdings(&self) -> impl Iterator<Item = (&ObjectKey, Holding)> {
        self.wants.iter().map(|(key, want)| {
            let holding = match (&want.held, want.absent) {
                (Some(_), _) => Holding::Held,
                (None, true) => Holding::Absent,
                (None, false) => Holding::Unknown,
            };
            (key, holding)
        })
    }

    pub(super) fn is_wanted(&self, key: &ObjectKey) -> bool {
        self.wanted.contains(key)
    }

    /// A watch has reached this version.
    pub(super) fn reached(&mut self, watch: &Arc<str>, version: Arc<str>) {
        self.reached.insert(watch.clone(), version);
    }

    /// The versions up to which everything that is wanted has been sent.
    pub(super) fn versions(&mut self) -> Vec<Change> {
        if self.fetching > 0 {
            return Vec::new();
        }
        let reached = std::mem::take(&mut self.reached);
        reached
            .into_iter()
            .map(|(watch, version)| Change::Version(watch, version))
            .collect()
    }

    fn settle_all(&mut self, now: Instant) -> Output {
        let mut output = Output::default();
        for key in self.wanted.clone().iter() {
            self.settle(key, now, &mut output);
        }
        output
    }

    /// Does what is next for one Secret.
    fn settle(&mut self, key: &ObjectKey, now: Instant, output: &mut Output) {
        let seen = self.seen(key);
        let Some(want) = self.wants.get_mut(key) else {
            return;
        };
        match seen {
            Seen::Unknown => {}
            Seen::Absent => {
                self.fetching -= usize::from(want.fetching.take().is_some());
                want.retry = None;
                want.asked = None;
                want.lose(key, &mut output.changes);
            }
            Seen::Version(version) => {
                let current = Some(&version);
                let is_known = want.asked.as_ref() == current || want.held.as_ref() == current;
                let waits = want.retry.is_some_and(|at| at > now);
                if is_known || waits || want.fetching.is_some() {
                    return;
                }
                want.retry = None;
                self.serial += 1;
                self.fetching += 1;
                want.fetching = Some(Asked {
                    serial: self.serial,
                    version,
                });
                output.fetches.push(Fetch {
                    key: key.clone(),
                    serial: self.serial,
                });
            }
        }
    }

    fn seen(&self, key: &ObjectKey) -> Seen {
        let covers = |scope: &&Scope| scope.place.covers(key);
        if self.watches.is_empty() {
            return Seen::Unknown;
        }
        match self.watches.values().find(covers) {
            // Nobody would tell of its changes, and nobody may read what is outside of the namespaces that were given.
            None => Seen::Absent,
            Some(Scope {
                seen: None, denied, ..
            }) if *denied => Seen::Absent,
            Some(Scope { seen: None, .. }) => Seen::Unknown,
            Some(Scope {
                seen: Some(seen), ..
            }) => seen.get(key).cloned().map_or(Seen::Absent, Seen::Version),
        }
    }
}

// === impl Place ===

impl Place {
    fn covers(&self, key: &ObjectKey) -> bool {
        let is = |wanted: &Option<Arc<str>>, own: &str| {
            wanted.as_ref().is_none_or(|wanted| **wanted == *own)
        };
        is(&self.namespace, &key.namespace) && is(&self.name, &key.name)
    }
}

// === impl Want ===

impl Want {
    /// Says once that there is none; a body that was sent is withdrawn.
    fn lose(&mut self, key: &ObjectKey, changes: &mut Vec<Change>) {
        if self.held.take().is_some() {
            changes.push(Change::Delete(key.clone()));
        }
        if !std::mem::replace(&mut self.absent, true) {
            changes.push(Change::AbsentSecret(key.clone()));
        }
    }
}

fn entry(found: Found) -> Option<(ObjectKey, Arc<str>)> {
    match found {
        Found::Secret { key, version } => Some((key, version)),
        Found::Object { .. } | Found::Unreadable { .. } => None,
    }
}

#[cfg(test)]
mod tests;
