//! From the objects of all files to one set: which of two with the same name counts, and what differs from last time.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap, HashSet},
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::Change;
use crate::resource::{
    AnyObject, FileProblem, FileProblemKind, ObjectKey, Origin, Position, Revision,
};

/// Half of a SHA-256: there is nothing to win by two manifests of one's own that have the same.
pub(super) type Digest = [u8; 16];

/// An object as it was found in a file.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) object: AnyObject,
    /// Of the manifest's JSON: equal digests are equal contents.
    pub(super) digest: Digest,
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
    live: HashSet<Live>,
    problems: BTreeMap<Arc<str>, Vec<FileProblem>>,
    /// That of the object before: most are new together.
    revision: Arc<Revision>,
}

/// What was sent of an object, found by its key.
#[derive(Debug)]
struct Live {
    object: AnyObject,
    digest: Digest,
    serial: u64,
}

// === impl Live ===

impl Live {
    fn new(object: AnyObject, found: &Found) -> Self {
        Self {
            object,
            digest: found.digest,
            serial: found.serial,
        }
    }
}

impl Borrow<ObjectKey> for Live {
    fn borrow(&self) -> &ObjectKey {
        self.object.key()
    }
}

impl PartialEq for Live {
    fn eq(&self, other: &Self) -> bool {
        self.object.key() == other.object.key()
    }
}

impl Eq for Live {}

impl Hash for Live {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.object.key().hash(state);
    }
}

// === impl Merge ===

impl Merge {
    /// Takes what all files hold now, in the order of their paths, and returns what differs.
    pub(super) fn update<'a>(
        &mut self,
        files: impl Iterator<Item = (&'a Arc<str>, &'a mut Contents)>,
    ) -> Vec<Change> {
        let files: Vec<_> = files.collect();
        let winners = winners(&files);
        let mut changes = Vec::new();
        let mut first: HashMap<ObjectKey, (&Arc<str>, Position)> = HashMap::new();
        let mut problems = BTreeMap::new();
        for (path, contents) in files {
            let mut here = contents.problems.clone();
            here.extend(contents.unreadable.as_ref().map(|why| FileProblem {
                at: Position { line: 1, column: 1 },
                kind: FileProblemKind::Unreadable,
                message: format!("cannot be read: {why}"),
            }));
            let count = contents.found.len();
            first.reserve(count);
            if self.live.is_empty() {
                self.live.reserve(count);
                changes.reserve(count);
            }
            for found in &mut contents.found {
                let key = found.object.key();
                if let Some(winner) = winners.get(key)
                    && *winner != holder(&found.object)
                {
                    let place = match winner {
                        None => "as an object of its own".to_owned(),
                        Some(carrier) => format!("in the annotation of {carrier}"),
                    };
                    here.push(FileProblem {
                        at: found.at,
                        kind: FileProblemKind::Duplicate,
                        message: format!("{key} is already defined {place}"),
                    });
                    continue;
                }
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
            .extract_if(|live| !first.contains_key(live.object.key()))
            .map(|live| live.object.key().clone())
            .collect();
        gone.sort_unstable();
        changes.extend(gone.into_iter().map(Change::Delete));
        changes.extend(self.say(problems));
        changes
    }

    pub(super) fn has(&self, key: &ObjectKey) -> bool {
        self.live.contains(key)
    }

    fn put(&mut self, found: &mut Found) -> Option<Change> {
        let key = found.object.key();
        let generation = match self.live.get(key) {
            None => 1,
            Some(live) if live.serial == found.serial => return None,
            Some(live) if live.digest == found.digest => {
                // The same content: only where it stands may be different, and what is said about it must name the place.
                if live.object.origin() == found.object.origin()
                    && live.object.positions() == found.object.positions()
                {
                    let object = live.object.clone();
                    self.live.replace(Live::new(object, found));
                    return None;
                }
                live.object.meta().revision.generation
            }
            Some(live) => live.object.meta().revision.generation + 1,
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
        let live = Live::new(found.object.clone(), found);
        self.live.replace(live);
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

/// Who carries an object, if anybody does.
fn holder(object: &AnyObject) -> Option<ObjectKey> {
    match object.origin() {
        Origin::Annotation { of, .. } => Some(of.clone()),
        Origin::Cluster | Origin::File { .. } => None,
    }
}

/// Of each object in an annotation, whose counts: one of its own before one in an annotation, and that of the first carrier
/// before those of others. So it is in a cluster, whatever the names of the files.
fn winners(files: &[(&Arc<str>, &mut Contents)]) -> HashMap<ObjectKey, Option<ObjectKey>> {
    let found = || files.iter().flat_map(|(_, contents)| &contents.found);
    let mut winners: HashMap<ObjectKey, Option<ObjectKey>> = HashMap::new();
    for found in found() {
        if let Some(carrier) = holder(&found.object) {
            let winner = winners
                .entry(found.object.key().clone())
                .or_insert_with(|| Some(carrier.clone()));
            *winner = winner.take().min(Some(carrier));
        }
    }
    if !winners.is_empty() {
        for found in found().filter(|found| holder(&found.object).is_none()) {
            if let Some(winner) = winners.get_mut(found.object.key()) {
                *winner = None;
            }
        }
    }
    winners
}
