//! From the objects of all files to one set: which of two with the same name counts, and what differs from last time.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::Change;
use crate::resource::{AnyObject, FileProblem, FileProblemKind, ObjectKey, Position};

/// An object as it was found in a file.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) object: AnyObject,
    /// Of the manifest's JSON: equal digests are equal contents.
    pub(super) digest: [u8; 32],
    /// Where in its file; that of its carrier for what was in an annotation.
    pub(super) at: Position,
    /// A number that no other reading of an object has.
    pub(super) serial: u64,
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
    live: HashMap<ObjectKey, Live>,
    problems: BTreeMap<Arc<str>, Vec<FileProblem>>,
}

#[derive(Debug)]
struct Live {
    object: AnyObject,
    digest: [u8; 32],
    serial: u64,
}

// === impl Merge ===

impl Merge {
    /// Takes what all files hold now, in the order of their paths, and returns what differs.
    pub(super) fn update<'a>(
        &mut self,
        files: impl Iterator<Item = (&'a Arc<str>, &'a mut Contents)>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut first: HashMap<ObjectKey, (&Arc<str>, Position)> = HashMap::new();
        let mut problems = BTreeMap::new();
        for (path, contents) in files {
            let mut here = contents.problems.clone();
            here.extend(contents.unreadable.as_ref().map(|why| FileProblem {
                at: Position { line: 1, column: 1 },
                kind: FileProblemKind::Syntax,
                message: format!("cannot be read: {why}"),
            }));
            for found in &mut contents.found {
                let key = found.object.key();
                if let Some((path, at)) = first.get(key) {
                    here.push(FileProblem {
                        at: found.at,
                        kind: FileProblemKind::Duplicate,
                        message: format!("{key} is already defined at {path}:{at}"),
                    });
                    continue;
                }
                first.insert(key.clone(), (path, found.at));
                changes.extend(self.put(found));
            }
            if !here.is_empty() {
                here.sort_by_key(|problem| problem.at);
                problems.insert(path.clone(), here);
            }
        }
        let mut gone: Vec<_> = self
            .live
            .extract_if(|key, _| !first.contains_key(key))
            .map(|(key, _)| key)
            .collect();
        gone.sort_unstable();
        changes.extend(gone.into_iter().map(Change::Delete));
        changes.extend(self.say(problems));
        changes
    }

    pub(super) fn has(&self, key: &ObjectKey) -> bool {
        self.live.contains_key(key)
    }

    fn put(&mut self, found: &mut Found) -> Option<Change> {
        let key = found.object.key();
        let generation = match self.live.get_mut(key) {
            None => 1,
            Some(live) if live.serial == found.serial => return None,
            Some(live) if live.digest == found.digest => {
                // The same content: only where it stands may be different, and what is said about it must name the place.
                if live.object.origin() == found.object.origin()
                    && live.object.positions() == found.object.positions()
                {
                    live.serial = found.serial;
                    return None;
                }
                live.object.meta().generation
            }
            Some(live) => live.object.meta().generation + 1,
        };
        let key = key.clone();
        // No copy: until it is sent, nobody else has it. From then on all share it.
        let meta = found.object.meta_mut();
        meta.generation = generation;
        meta.uid = Arc::default();
        meta.resource_version = Arc::default();
        let live = Live {
            object: found.object.clone(),
            digest: found.digest,
            serial: found.serial,
        };
        self.live.insert(key, live);
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
