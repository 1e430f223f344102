//! From the objects of all files to one set: which of two with the same name counts, and what differs from last time.

use std::{collections::BTreeMap, sync::Arc};

use super::Change;
use crate::resource::{
    AnyObject, FileProblem, FileProblemKind, ObjectKey, Origin, Position, Revision,
};

/// A quarter of a SHA-256: there is nothing to win by two manifests of one's own that have the same.
pub(super) type Digest = [u8; 8];

/// An object as it was found in a file.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) object: AnyObject,
    /// Of the manifest's JSON: equal digests are equal contents.
    pub(super) digest: Digest,
    /// Where in its file; that of its carrier for what was in an annotation.
    pub(super) at: Position,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// In the order of their positions.
    pub(super) found: Vec<Found>,
    pub(super) problems: Vec<FileProblem>,
    /// Why the file could not be read, if so: the rest is what it held before.
    pub(super) unreadable: Option<String>,
}

/// What has been sent so far.
#[derive(Debug, Default)]
pub(super) struct Merge {
    /// In the order of their keys.
    live: Vec<Live>,
    problems: BTreeMap<Arc<str>, Vec<FileProblem>>,
    /// That of the object before: most are new together.
    revision: Arc<Revision>,
}

/// What was sent of an object.
#[derive(Debug)]
struct Live {
    object: AnyObject,
    digest: Digest,
}

/// An object with the file that it is in.
type Placed<'a> = (&'a Arc<str>, &'a mut Found);

// === impl Merge ===

impl Merge {
    /// Takes what all files hold now, in the order of their paths, and returns what differs.
    pub(super) fn update<'a>(
        &mut self,
        files: impl Iterator<Item = (&'a Arc<str>, &'a mut Contents)>,
    ) -> Vec<Change> {
        let mut problems: BTreeMap<Arc<str>, Vec<FileProblem>> = BTreeMap::new();
        let mut all: Vec<Placed<'_>> = Vec::new();
        for (path, contents) in files {
            let mut here = contents.problems.clone();
            here.extend(contents.unreadable.as_ref().map(|why| FileProblem {
                at: Position { line: 1, column: 1 },
                kind: FileProblemKind::Unreadable,
                message: format!("cannot be read: {why}"),
            }));
            if !here.is_empty() {
                problems.insert(path.clone(), here);
            }
            all.reserve_exact(contents.found.len());
            all.extend(contents.found.iter_mut().map(|found| (path, found)));
        }
        // Of each object the first counts: one of its own before one in an annotation, and that of the first carrier before
        // those of others. So it is in a cluster, whatever the names of the files.
        all.sort_by(|(_, a), (_, b)| order(a).cmp(&order(b)));
        let changes = self.replace(&mut all, &mut problems);
        for here in problems.values_mut() {
            here.sort_by_key(|problem| problem.at);
        }
        changes.into_iter().chain(self.say(problems)).collect()
    }

    pub(super) fn has(&self, key: &ObjectKey) -> bool {
        let found = self
            .live
            .binary_search_by(|live| live.object.key().cmp(key));
        found.is_ok()
    }

    /// Puts the first of each object in the place of what was sent.
    fn replace(
        &mut self,
        all: &mut [Placed<'_>],
        problems: &mut BTreeMap<Arc<str>, Vec<FileProblem>>,
    ) -> Vec<Change> {
        let first = self.live.is_empty();
        let mut changes = Vec::with_capacity(if first { all.len() } else { 0 });
        let mut gone = Vec::new();
        let mut live = Vec::with_capacity(all.len());
        let mut before = std::mem::take(&mut self.live).into_iter().peekable();
        for same in all.chunk_by_mut(|(_, a), (_, b)| a.object.key() == b.object.key()) {
            let Some(((path, found), others)) = same.split_first_mut() else {
                continue;
            };
            for (other_path, other) in others {
                let here = problems.entry(Arc::clone(other_path)).or_default();
                here.push(duplicate(other, path, found));
            }
            let key = found.object.key();
            while let Some(old) = before.next_if(|old| old.object.key() < key) {
                gone.push(Change::Delete(old.object.key().clone()));
            }
            let old = before.next_if(|old| old.object.key() == key);
            changes.extend(self.put(found, old));
            live.push(Live {
                object: found.object.clone(),
                digest: found.digest,
            });
        }
        gone.extend(before.map(|old| Change::Delete(old.object.key().clone())));
        live.shrink_to_fit();
        self.live = live;
        changes.extend(gone);
        changes
    }

    /// Gives an object its revision, unless it is the one that was sent.
    fn put(&mut self, found: &mut Found, old: Option<Live>) -> Option<Change> {
        let generation = match old {
            None => 1,
            // The same content: only where it stands may be different, and what is said about it must name the place.
            Some(old) if old.digest == found.digest => {
                if old.object.origin() == found.object.origin()
                    && old.object.positions() == found.object.positions()
                {
                    found.object = old.object;
                    return None;
                }
                old.object.meta().revision.generation
            }
            Some(old) => old.object.meta().revision.generation + 1,
        };
        // No copy: until it is sent, nobody else has it. From then on all share it.
        let meta = found.object.meta_mut();
        let revision = Revision {
            generation,
            created: meta.revision.created,
            ..Revision::default()
        };
        if *self.revision != revision {
            self.revision = Arc::new(revision);
        }
        meta.revision = Arc::clone(&self.revision);
        Some(Change::Put(found.object.clone()))
    }

    /// Tells which files' problems differ.
    fn say(&mut self, problems: BTreeMap<Arc<str>, Vec<FileProblem>>) -> Vec<Change> {
        let before = std::mem::replace(&mut self.problems, problems);
        let solved = before
            .keys()
            .filter(|path| !self.problems.contains_key(*path))
            .map(|path| Change::File(path.clone(), Vec::new()));
        let said = self
            .problems
            .iter()
            .filter(|(path, problems)| before.get(*path) != Some(*problems))
            .map(|(path, problems)| Change::File(path.clone(), problems.clone()));
        solved.chain(said).collect()
    }
}

fn order(found: &Found) -> (&ObjectKey, Option<&ObjectKey>) {
    (found.object.key(), carrier(&found.object))
}

/// Who carries an object, if anybody does.
fn carrier(object: &AnyObject) -> Option<&ObjectKey> {
    match object.origin() {
        Origin::Annotation { of, .. } => Some(of),
        Origin::Cluster | Origin::File { .. } => None,
    }
}

/// Says that one object is there twice, and where the one is that counts.
fn duplicate(found: &Found, path: &Arc<str>, first: &Found) -> FileProblem {
    let by = carrier(&first.object);
    let place = match by {
        _ if by == carrier(&found.object) => format!("at {path}:{}", first.at),
        None => "as an object of its own".to_owned(),
        Some(by) => format!("in the annotation of {by}"),
    };
    FileProblem {
        at: found.at,
        kind: FileProblemKind::Duplicate,
        message: format!("{} is already defined {place}", found.object.key()),
    }
}

#[cfg(test)]
mod tests;
