//! A kept set as changes, and the way from it to the set of the API server.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::super::{
    found::{self, Found},
    known::Known,
    resource,
};
use crate::{
    resource::{FileProblem, Kind, ObjectKey, Unavailable},
    source::{Change, kept::Kept},
};

/// What was given out of a kept set.
pub(super) struct Given {
    objects: BTreeSet<ObjectKey>,
    files: BTreeSet<Arc<str>>,
    secrets: BTreeSet<ObjectKey>,
    age: Duration,
    found: Instant,
}

/// What the hub has said so far, of each thing the last: however long it takes, it grows no larger than the set.
#[derive(Default)]
pub(super) struct Held {
    objects: BTreeMap<ObjectKey, Change>,
    files: BTreeMap<Arc<str>, Vec<FileProblem>>,
    unavailable: BTreeMap<Kind, Option<Unavailable>>,
    versions: BTreeMap<Arc<str>, Arc<str>>,
    /// Whether every kind has been listed once.
    pub(super) is_whole: bool,
}

/// All that a kept set says, as if every kind had been listed.
pub(super) fn changes(kept: Kept) -> Vec<Change> {
    let mut lists: BTreeMap<Arc<str>, Vec<Found>> = BTreeMap::new();
    for (watch, manifest) in kept.objects {
        // Another build may have had more kinds than this one.
        if let Some(resource) = resource::of(&manifest) {
            let found = Found::new(&resource, manifest);
            lists.entry(watch).or_default().push(found);
        }
    }
    let mut known = Known::default();
    let mut changes = Vec::new();
    for (watch, found) in lists {
        changes.extend(known.list(&watch, found));
    }
    for manifest in kept.secrets {
        let secret = resource::of(&manifest)
            .filter(|resource| resource.kind == Kind::Secret)
            .and_then(|resource| found::secret(&resource, manifest, false));
        changes.extend(secret.map(|(object, _)| Change::Put(object)));
    }
    changes.extend(kept.absent.into_iter().map(Change::AbsentSecret));
    changes.push(Change::Synced);
    changes
}

// === impl Given ===

impl Given {
    /// Of these changes.
    pub(super) fn new(batch: &[Change], age: Duration) -> Self {
        let mut given = Self {
            objects: BTreeSet::new(),
            files: BTreeSet::new(),
            secrets: BTreeSet::new(),
            age,
            found: Instant::now(),
        };
        for change in batch {
            match change {
                change if change.is_about_secret() => {
                    given.secrets.extend(change.key().cloned());
                }
                Change::File(path, _) => drop(given.files.insert(path.clone())),
                change => given.objects.extend(change.key().cloned()),
            }
        }
        given
    }

    /// How long ago the set was kept.
    pub(super) fn age(&self) -> Duration {
        self.age + self.found.elapsed()
    }

    /// The changes that lead to what is held, and the Secrets of which the API server has not spoken yet.
    pub(super) fn replaced_by(self, held: Held) -> (Vec<Change>, BTreeSet<ObjectKey>) {
        let gone = self
            .objects
            .into_iter()
            .filter(|key| !held.objects.contains_key(key))
            .map(Change::Delete);
        let solved = self
            .files
            .into_iter()
            .filter(|path| !held.files.contains_key(path))
            .map(|path| Change::File(path, Vec::new()));
        let mut changes: Vec<_> = gone.chain(solved).collect();
        changes.extend(held.changes());
        (changes, self.secrets)
    }
}

// === impl Held ===

impl Held {
    pub(super) fn extend(&mut self, batch: Vec<Change>) {
        for change in batch {
            match change {
                Change::File(path, problems) => drop(self.files.insert(path, problems)),
                Change::Version(watch, version) => drop(self.versions.insert(watch, version)),
                Change::Unavailable(kind, why) => drop(self.unavailable.insert(kind, why)),
                Change::Synced => self.is_whole = true,
                Change::Put(_) | Change::Delete(_) | Change::AbsentSecret(_) => {
                    if let Some(key) = change.key() {
                        self.objects.insert(key.clone(), change);
                    }
                }
            }
        }
    }

    /// All of it, in one batch.
    pub(super) fn changes(self) -> Vec<Change> {
        let objects = self.objects.into_values();
        let files = self
            .files
            .into_iter()
            .map(|(path, p)| Change::File(path, p));
        let unavailable = self.unavailable.into_iter();
        let unavailable = unavailable.map(|(kind, why)| Change::Unavailable(kind, why));
        let versions = self
            .versions
            .into_iter()
            .map(|(w, v)| Change::Version(w, v));
        let end = self.is_whole.then_some(Change::Synced);
        let rest = unavailable.chain(versions).chain(end);
        objects.chain(files).chain(rest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{FileProblemKind, Group, Position};

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new(Group::Postern, Kind::Mapping, "apps", name)
    }

    fn file(path: &str, problems: u32) -> Change {
        let problem = |line| FileProblem {
            at: Position { line, column: 1 },
            kind: FileProblemKind::Syntax,
            message: String::new(),
        };
        Change::File(path.into(), (1..=problems).map(problem).collect())
    }

    fn shown(changes: &[Change]) -> Vec<String> {
        changes
            .iter()
            .map(|change| match change {
                Change::Delete(key) => format!("-{}", key.name),
                Change::File(path, problems) => format!("{path} {}", problems.len()),
                Change::Version(watch, version) => format!("{watch}={version}"),
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn of_each_thing_the_last_word_is_held() {
        let mut held = Held::default();
        for number in 0..1000 {
            let version = number.to_string();
            held.extend(vec![
                Change::Delete(key("a")),
                file("f", number % 3),
                Change::Version("mappings".into(), version.as_str().into()),
            ]);
            assert!(!held.is_whole);
        }
        held.extend(vec![Change::Synced]);
        assert_eq!(
            shown(&held.changes()),
            ["-a", "f 0", "mappings=999", "Synced"]
        );
    }

    #[test]
    fn what_was_given_and_is_not_held_is_taken_back() {
        let secret = ObjectKey::new(Group::Core, Kind::Secret, "apps", "tls");
        let batch = [
            Change::Delete(key("gone")),
            Change::Delete(key("there")),
            file("solved", 1),
            file("still", 1),
            Change::AbsentSecret(secret.clone()),
        ];
        let given = Given::new(&batch, Duration::ZERO);
        let mut held = Held::default();
        held.extend(vec![
            Change::Delete(key("there")),
            file("still", 2),
            Change::Synced,
        ]);
        let (changes, secrets) = given.replaced_by(held);
        let expected = ["-gone", "solved 0", "-there", "still 2", "Synced"];
        assert_eq!(shown(&changes), expected);
        assert_eq!(secrets, BTreeSet::from([secret]));
    }
}
