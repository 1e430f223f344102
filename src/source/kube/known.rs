//! What has been sent of each watch, so that a new list is told as a difference; and who says what where an annotation and
//! an object have the same name.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::found::{Carried, Event, Found};
use crate::{
    resource::{AnyObject, FileProblem, FileProblemKind, Group, Kind, ObjectKey, Position},
    source::{Change, annotation},
};

/// An object of the cluster has no lines.
const NOWHERE: Position = Position { line: 1, column: 1 };

/// What is known of the API server's objects, Secrets apart.
#[derive(Debug, Default)]
pub(super) struct Known {
    watches: HashMap<Arc<str>, HashMap<ObjectKey, Entry>>,
    /// Of Emissary's kinds: only those can be written in an annotation.
    holders: HashMap<ObjectKey, Holders>,
    carriers: HashMap<ObjectKey, Carrier>,
    /// Problems that were told, by what they are about.
    told: HashMap<Arc<str>, Vec<FileProblem>>,
}

/// An object of a watch.
#[derive(Debug)]
struct Entry {
    /// Of the state that was sent last; none if another one, that could not be decoded, came after it.
    digest: Option<[u8; 32]>,
    sent: bool,
}

/// Who has an object of this name.
#[derive(Debug, Default)]
struct Holders {
    own: Option<AnyObject>,
    carried: BTreeMap<ObjectKey, Carried>,
    /// Whose was sent.
    sent: Option<Holder>,
}

/// Where an object is written.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holder {
    Own,
    Annotation(ObjectKey),
}

/// An object with an annotation.
#[derive(Debug, Default)]
struct Carrier {
    keys: HashSet<ObjectKey>,
    problems: Vec<String>,
}

// === impl Known ===

impl Known {
    /// Takes all that a watch has now.
    pub(super) fn list(&mut self, watch: &Arc<str>, found: Vec<Found>) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut listed = HashSet::with_capacity(found.len());
        if found.iter().all(|found| found.key().is_some()) {
            self.tell(watch, None, &mut changes);
        }
        for found in found {
            listed.extend(found.key().cloned());
            self.put(watch, found, &mut changes);
        }
        let before = self.watches.entry(watch.clone()).or_default();
        let mut gone: Vec<_> = before
            .keys()
            .filter(|key| !listed.contains(*key))
            .cloned()
            .collect();
        gone.sort_unstable();
        for key in gone {
            self.gone(watch, &key, &mut changes);
        }
        changes
    }

    /// Takes what happened since.
    pub(super) fn change(&mut self, watch: &Arc<str>, events: Vec<Event>) -> Vec<Change> {
        let mut changes = Vec::with_capacity(events.len());
        for event in events {
            match event {
                Event::Put(found) => self.put(watch, found, &mut changes),
                Event::Gone(key) => self.gone(watch, &key, &mut changes),
            }
        }
        changes
    }

    /// The kind does not exist any more.
    pub(super) fn forget(&mut self, watch: &Arc<str>) -> Vec<Change> {
        let changes = self.list(watch, Vec::new());
        self.watches.remove(watch);
        changes
    }

    fn put(&mut self, watch: &Arc<str>, found: Found, changes: &mut Vec<Change>) {
        match found {
            Found::Object {
                object,
                digest,
                carried,
                problems,
                document: _,
            } => {
                let key = object.key().clone();
                // There may be many Ingresses, and nothing is read of one but what it carries.
                if key.kind == Kind::Ingress && carried.is_empty() && problems.is_empty() {
                    self.gone(watch, &key, changes);
                    return;
                }
                let entry = self.entry(watch, &key);
                if entry.digest == Some(digest) {
                    return;
                }
                *entry = Entry {
                    digest: Some(digest),
                    sent: true,
                };
                if key.group == Group::Emissary {
                    self.holders.entry(key.clone()).or_default().own = Some(object);
                    self.settle(&key, &Holder::Own, changes);
                } else {
                    changes.push(Change::Put(object));
                }
                self.carry(&key, carried, problems, changes);
            }
            // The last state that could be decoded stays, as a file's does.
            Found::Unreadable { key, why } => {
                let about = key
                    .as_ref()
                    .map_or_else(|| watch.to_string(), ToString::to_string);
                if let Some(key) = &key {
                    self.entry(watch, key).digest = None;
                }
                self.tell(
                    &about,
                    Some(vec![problem(FileProblemKind::Document, why)]),
                    changes,
                );
            }
            Found::Secret { .. } => {}
        }
    }

    fn gone(&mut self, watch: &Arc<str>, key: &ObjectKey, changes: &mut Vec<Change>) {
        let entries = self.watches.entry(watch.clone()).or_default();
        let Some(entry) = entries.remove(key) else {
            return;
        };
        if key.group == Group::Emissary {
            self.holders.entry(key.clone()).or_default().own = None;
            self.settle(key, &Holder::Own, changes);
        } else if entry.sent {
            changes.push(Change::Delete(key.clone()));
        }
        self.carry(key, Vec::new(), Vec::new(), changes);
    }

    fn entry(&mut self, watch: &Arc<str>, key: &ObjectKey) -> &mut Entry {
        let entries = self.watches.entry(watch.clone()).or_default();
        entries.entry(key.clone()).or_insert_with(|| Entry {
            digest: None,
            sent: false,
        })
    }

    /// Takes what an annotation holds now.
    fn carry(
        &mut self,
        carrier: &ObjectKey,
        objects: Vec<Carried>,
        mut problems: Vec<String>,
        changes: &mut Vec<Change>,
    ) {
        if !annotation::is_carrier(carrier.kind) {
            self.tell(&carrier.to_string(), None, changes);
            return;
        }
        let before = self.carriers.remove(carrier).unwrap_or_default();
        let mut keys = HashSet::new();
        let mut touched = Vec::new();
        for object in objects {
            let key = object.object.key().clone();
            if !keys.insert(key.clone()) {
                problems.push(format!("{key} is defined twice in this annotation"));
                continue;
            }
            let holders = self.holders.entry(key.clone()).or_default();
            let old = holders.carried.get(carrier).map(|old| old.digest);
            if old != Some(object.digest) {
                holders.carried.insert(carrier.clone(), object);
                touched.push(key);
            }
        }
        for key in before.keys.difference(&keys) {
            if let Some(holders) = self.holders.get_mut(key) {
                holders.carried.remove(carrier);
            }
            touched.push(key.clone());
        }
        if !keys.is_empty() || !problems.is_empty() {
            self.carriers
                .insert(carrier.clone(), Carrier { keys, problems });
        }
        touched.sort_unstable();
        let whose = Holder::Annotation(carrier.clone());
        for key in touched {
            self.settle(&key, &whose, changes);
        }
        self.restate(carrier, changes);
    }

    /// Sends the object that counts, if it is another one than before or the one that has changed.
    fn settle(&mut self, key: &ObjectKey, whose: &Holder, changes: &mut Vec<Change>) {
        let Some(holders) = self.holders.get_mut(key) else {
            return;
        };
        match holders.winner() {
            None => {
                if holders.sent.is_some() {
                    changes.push(Change::Delete(key.clone()));
                }
                self.holders.remove(key);
                return;
            }
            Some((holder, object)) => {
                if holders.sent.as_ref() != Some(&holder) || holder == *whose {
                    changes.push(Change::Put(object));
                    holders.sent = Some(holder);
                }
            }
        }
        let carriers: Vec<_> = holders.carried.keys().cloned().collect();
        for carrier in carriers {
            self.restate(&carrier, changes);
        }
    }

    /// Tells what is wrong with an annotation: what cannot be read in it, and what counts elsewhere.
    fn restate(&mut self, carrier: &ObjectKey, changes: &mut Vec<Change>) {
        let problems = self.carriers.get(carrier).map(|carried| {
            let unreadable = carried.problems.iter().cloned();
            let mut problems: Vec<_> = unreadable
                .map(|why| problem(FileProblemKind::Annotation, why))
                .collect();
            let mut keys: Vec<_> = carried.keys.iter().collect();
            keys.sort_unstable();
            for key in keys {
                let place = match self.holders.get(key).and_then(|h| h.sent.as_ref()) {
                    Some(Holder::Own) => "as an object of its own".to_owned(),
                    Some(Holder::Annotation(other)) if other != carrier => {
                        format!("in the annotation of {other}")
                    }
                    _ => continue,
                };
                let message = format!("{key} is already defined {place}");
                problems.push(problem(FileProblemKind::Duplicate, message));
            }
            problems
        });
        self.tell(&carrier.to_string(), problems, changes);
    }

    fn tell(&mut self, about: &str, problems: Option<Vec<FileProblem>>, changes: &mut Vec<Change>) {
        let problems = problems.unwrap_or_default();
        let before = self.told.get(about).map_or(&[][..], Vec::as_slice);
        if before == problems {
            return;
        }
        let about: Arc<str> = about.into();
        if problems.is_empty() {
            self.told.remove(&about);
        } else {
            self.told.insert(about.clone(), problems.clone());
        }
        changes.push(Change::File(about, problems));
    }
}

// === impl Holders ===

impl Holders {
    /// An object of its own counts before one in an annotation, and that of the first carrier before those of others.
    fn winner(&self) -> Option<(Holder, AnyObject)> {
        if let Some(own) = &self.own {
            return Some((Holder::Own, own.clone()));
        }
        let (of, first) = self.carried.first_key_value()?;
        Some((Holder::Annotation(of.clone()), first.object.clone()))
    }
}

// === impl Found ===

impl Found {
    fn key(&self) -> Option<&ObjectKey> {
        match self {
            Self::Object { object, .. } => Some(object.key()),
            Self::Secret { key, .. } => Some(key),
            Self::Unreadable { key, .. } => key.as_ref(),
        }
    }
}

fn problem(kind: FileProblemKind, message: String) -> FileProblem {
    FileProblem {
        at: NOWHERE,
        kind,
        message,
    }
}

#[cfg(test)]
mod tests;
