//! What the status of the Mappings has said, and when: kept by a watch, for as long as the runtime is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::StreamExt;
use kube::{Api, api::DynamicObject, runtime::watcher};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// A Service that does not exist: a route to it is bad, and every other one good.
pub(super) const BAD: &str = "nowhere:80";

#[derive(Debug, Default)]
pub(super) struct Record(Mutex<Notes>);

#[derive(Debug, Default)]
struct Notes {
    /// When the status of a generation was first seen to be right: ready if it is good, and served by all in any case.
    right: BTreeMap<(String, i64), Instant>,
    names: BTreeSet<String>,
    /// Of each object the status that was seen last, and how often it was another one since somebody asked.
    statuses: BTreeMap<String, (Value, usize)>,
    wrong: Vec<String>,
}

// === impl Record ===

impl Record {
    pub(super) async fn keep(&self, mappings: Api<DynamicObject>) {
        let mut events = watcher(mappings, watcher::Config::default()).boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                    self.note(object);
                }
                Ok(_) => {}
                // The API server may be away: that is one of the proofs.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn note(&self, object: DynamicObject) {
        let name = object.metadata.name.unwrap_or_default();
        let generation = object.metadata.generation.unwrap_or_default();
        let is_good = object.data["spec"]["service"] != BAD;
        let ready = condition(&object.data, "Ready", generation);
        let programmed = condition(&object.data, "Programmed", generation);
        let mut notes = self.0.lock();
        let (seen, writes) = notes.statuses.entry(name.clone()).or_default();
        let status = &object.data["status"];
        if seen != status {
            seen.clone_from(status);
            *writes += 1;
        }
        match ready["reason"].as_str() {
            Some("Ready") if is_good => {}
            Some("ServiceNotFound") if !is_good => {}
            Some("Ready" | "ServiceNotFound") => {
                notes.wrong.push(format!("{name} at {generation}: {ready}"));
                return;
            }
            _ => return,
        }
        if programmed["status"] == "True" {
            notes.names.insert(name.clone());
            let key = (name, generation);
            notes.right.entry(key).or_insert_with(Instant::now);
        }
    }

    /// When the status was first right about this generation.
    pub(super) fn right(&self, name: &str, generation: i64) -> Option<Instant> {
        let notes = self.0.lock();
        notes.right.get(&(name.to_owned(), generation)).copied()
    }

    /// How many objects have had a status that was right.
    pub(super) fn objects(&self) -> usize {
        self.0.lock().names.len()
    }

    /// The names of so many of them.
    pub(super) fn some(&self, most: usize) -> Vec<String> {
        self.0.lock().names.iter().take(most).cloned().collect()
    }

    /// How often a status was written since the last time this was asked: in all, and of the object with the most.
    pub(super) fn writes(&self) -> (usize, usize) {
        let mut notes = self.0.lock();
        let writes = notes.statuses.values_mut();
        let writes: Vec<_> = writes.map(|(_, writes)| std::mem::take(writes)).collect();
        (writes.iter().sum(), writes.into_iter().max().unwrap_or(0))
    }

    /// What was said of a generation, and is not so.
    pub(super) fn wrong(&self) -> Vec<String> {
        self.0.lock().wrong.clone()
    }
}

/// A condition, if it is about this generation.
fn condition<'o>(object: &'o Value, kind: &str, generation: i64) -> &'o Value {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions
        .find(|condition| {
            condition["type"] == kind
                && condition["observedGeneration"].as_i64() == Some(generation)
        })
        .unwrap_or(&Value::Null)
}
