//! The reports of all objects, shared between snapshots: a change copies the chunk that it is in, and no other.

use std::sync::Arc;

use super::ObjectReport;
use crate::resource::ObjectKey;

/// As many reports as a chunk holds at most: about the root of the largest fleets, so that copying a chunk and copying the
/// list of chunks cost the same.
const CHUNK: usize = 128;

/// Reports in the order of their keys, each key once. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct ReportList {
    /// None is empty.
    chunks: Vec<Arc<Vec<Arc<ObjectReport>>>>,
    len: usize,
}

impl ReportList {
    /// Puts a report in, in the place of the one with the same key. One that says the same keeps its `Arc`.
    pub fn put(&mut self, report: ObjectReport) {
        if self.get(&report.key).is_none_or(|old| **old != report) {
            self.place(Arc::new(report));
        }
    }

    fn place(&mut self, report: Arc<ObjectReport>) {
        let Some(at) = self.chunk_of(&report.key) else {
            self.chunks.push(Arc::new(vec![report]));
            self.len += 1;
            return;
        };
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        match position(chunk, &report.key) {
            Ok(found) => chunk[found] = report,
            Err(free) => {
                if let Some(right) = insert(chunk, free, report) {
                    self.chunks.insert(at + 1, Arc::new(right));
                }
                self.len += 1;
            }
        }
    }

    /// Takes the report of an object out.
    pub fn remove(&mut self, key: &ObjectKey) {
        let Some(at) = self.chunk_of(key) else {
            return;
        };
        let Ok(found) = position(&self.chunks[at], key) else {
            return;
        };
        let chunk = Arc::make_mut(&mut self.chunks[at]);
        chunk.remove(found);
        if chunk.is_empty() {
            self.chunks.remove(at);
        }
        self.len -= 1;
    }

    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<ObjectReport>> {
        let chunk = self.chunks.get(self.chunk_of(key)?)?;
        chunk.get(position(chunk, key).ok()?)
    }

    /// All of them, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ObjectReport>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// The same in pieces that keep their `Arc` as long as no report in them changes.
    pub fn chunks(&self) -> &[Arc<Vec<Arc<ObjectReport>>>] {
        &self.chunks
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The chunk that a key is in, or would be; none when there is no chunk.
    fn chunk_of(&self, key: &ObjectKey) -> Option<usize> {
        let begins_before = |chunk: &Arc<Vec<Arc<ObjectReport>>>| {
            chunk.first().is_some_and(|first| first.key <= *key)
        };
        // What comes in order comes last.
        if self.chunks.last().is_some_and(begins_before) {
            return Some(self.chunks.len() - 1);
        }
        let after = self.chunks.partition_point(begins_before);
        (!self.chunks.is_empty()).then(|| after.saturating_sub(1))
    }
}

/// Returns what does not fit into the chunk any more.
fn insert(
    chunk: &mut Vec<Arc<ObjectReport>>,
    free: usize,
    report: Arc<ObjectReport>,
) -> Option<Vec<Arc<ObjectReport>>> {
    if chunk.len() < CHUNK {
        chunk.insert(free, report);
        return None;
    }
    // What comes in order fills its chunks.
    let mut right = chunk.split_off(if free == CHUNK { CHUNK } else { CHUNK / 2 });
    match free.checked_sub(chunk.len()) {
        Some(free) => right.insert(free, report),
        None => chunk.insert(free, report),
    }
    Some(right)
}

fn position(chunk: &[Arc<ObjectReport>], key: &ObjectKey) -> Result<usize, usize> {
    // What comes in order comes last.
    if chunk.last().is_some_and(|last| last.key < *key) {
        return Err(chunk.len());
    }
    chunk.binary_search_by(|report| report.key.cmp(key))
}

impl PartialEq for ReportList {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for ReportList {}

impl FromIterator<Arc<ObjectReport>> for ReportList {
    /// Of equal keys the last counts.
    fn from_iter<I: IntoIterator<Item = Arc<ObjectReport>>>(reports: I) -> Self {
        let mut list = Self::default();
        for report in reports {
            list.place(report);
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Group, Kind, Origin, Revision};

    fn revision(generation: i64, version: &str) -> Arc<Revision> {
        Arc::new(Revision {
            generation,
            resource_version: version.into(),
            ..Revision::default()
        })
    }

    fn report(name: usize, generation: i64) -> ObjectReport {
        ObjectReport {
            key: ObjectKey::new(Group::Postern, Kind::Mapping, "apps", &format!("{name:04}")),
            origin: Origin::Cluster,
            revision: revision(generation, "1"),
            diagnostics: Box::default(),
            in_graph: true,
            serves: Box::default(),
            asks: None,
            settled: crate::report::Settled::default(),
            certificate_not_after: None,
        }
    }

    fn names(list: &ReportList) -> Vec<&str> {
        list.iter().map(|report| &*report.key.name).collect()
    }

    #[test]
    fn reports_stay_in_order_however_they_come_and_go() {
        let mut list = ReportList::default();
        let mut expected = std::collections::BTreeSet::new();
        // 7919 is prime to 2000: every number comes up once, in no order.
        for turn in 0..2000 {
            let name = turn * 7919 % 2000;
            list.put(report(name, 1));
            expected.insert(format!("{name:04}"));
            if turn % 3 == 0 {
                let gone = report(turn / 2, 1).key;
                list.remove(&gone);
                expected.remove(&*gone.name);
            }
        }
        assert_eq!(names(&list), expected.iter().collect::<Vec<_>>());
        assert_eq!(list.len(), expected.len());
        for name in 0..2000 {
            let key = report(name, 1).key;
            assert_eq!(list.get(&key).is_some(), expected.contains(&*key.name));
            list.remove(&key);
        }
        assert!(list.is_empty() && list.chunks().is_empty());
    }

    #[test]
    fn a_change_leaves_all_other_chunks_and_every_older_list_alone() {
        let mut list = ReportList::default();
        for name in 0..1000 {
            list.put(report(name, 1));
        }
        let before = list.clone();
        // The first says the same as before.
        list.put(report(500, 1));
        list.put(report(500, 2));
        let copied = |list: &ReportList, before: &ReportList| {
            let chunks = list.chunks().iter().zip(before.chunks());
            let copied = chunks.filter(|(now, before)| !Arc::ptr_eq(now, before));
            copied.count()
        };
        assert_eq!(copied(&list, &before), 1);
        // The same of a later version is the same: the first one is kept.
        let again = list.clone();
        list.put(ObjectReport {
            revision: revision(1, "7"),
            ..report(700, 1)
        });
        assert_eq!(copied(&list, &again), 0);
        let generation =
            |list: &ReportList| list.get(&report(500, 1).key).unwrap().revision.generation;
        assert_eq!((generation(&before), generation(&list)), (1, 2));
    }
}
