//! Keeps what the hub has heard, for the next process: which documents there are, and when to write them.
//!
//! A set is written when it is whole, some time after a change, and never more often than every few seconds: what is lost by
//! that is a moment's changes, and only if the API server is away just then.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{task::JoinHandle, time::Instant};
use tracing::{debug, warn};

use super::found::{Event, Found};
use crate::{
    resource::ObjectKey,
    source::kept::{Contents, StateDir},
};

/// Changes come in groups, and the first list makes others wanted.
const SETTLE: Duration = Duration::from_secs(1);
/// From one writing to the next.
const PERIOD: Duration = Duration::from_secs(5);

/// The documents, and when they are written.
pub(super) struct Keeper {
    state: StateDir,
    documents: BTreeMap<Arc<str>, HashMap<ObjectKey, Arc<str>>>,
    /// Whether something is different from what was written.
    touched: bool,
    due: Option<Instant>,
    last: Option<Instant>,
    writing: Option<JoinHandle<()>>,
    /// Whether the last writing failed, and the log has it.
    has_failed: Arc<AtomicBool>,
}

// === impl Keeper ===

impl Keeper {
    pub(super) fn new(state: StateDir) -> Self {
        Self {
            state,
            documents: BTreeMap::new(),
            // An empty set is one too.
            touched: true,
            due: None,
            last: None,
            writing: None,
            has_failed: Arc::default(),
        }
    }

    /// Takes all that a watch has now. What cannot be decoded keeps its last document, as it stays in use.
    pub(super) fn list(&mut self, watch: &Arc<str>, found: &[Found]) {
        let mut before = self.documents.remove(watch).unwrap_or_default();
        let mut now = HashMap::with_capacity(found.len());
        for found in found {
            match found {
                Found::Object {
                    object,
                    document: Some(document),
                    ..
                } => {
                    let old = before.remove(object.key());
                    self.touched |= old.as_ref() != Some(document);
                    now.insert(object.key().clone(), document.clone());
                }
                Found::Unreadable { key: Some(key), .. } => {
                    now.extend(before.remove_entry(key));
                }
                Found::Object { .. } | Found::Secret { .. } | Found::Unreadable { .. } => {}
            }
        }
        self.touched |= !before.is_empty();
        self.documents.insert(watch.clone(), now);
    }

    /// Takes what happened since.
    pub(super) fn change(&mut self, watch: &Arc<str>, events: &[Event]) {
        let documents = self.documents.entry(watch.clone()).or_default();
        for event in events {
            match event {
                Event::Put(Found::Object {
                    object,
                    document: Some(document),
                    ..
                }) => {
                    let old = documents.insert(object.key().clone(), document.clone());
                    self.touched |= old.as_ref() != Some(document);
                }
                Event::Put(_) => {}
                Event::Gone(key) => self.touched |= documents.remove(key).is_some(),
            }
        }
    }

    /// The kind does not exist any more.
    pub(super) fn forget(&mut self, watch: &Arc<str>) {
        self.touched |= self.documents.remove(watch).is_some();
    }

    /// Decides when to write, once everything has been listed.
    pub(super) fn settle(&mut self, secrets_changed: bool, now: Instant) {
        self.touched |= secrets_changed || self.has_failed.load(Ordering::Relaxed);
        if self.touched && self.due.is_none() {
            let soon = now + SETTLE;
            self.due = Some(self.last.map_or(soon, |last| soon.max(last + PERIOD)));
        }
    }

    /// When to call [`Self::keep`].
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Writes everything, with these documents of Secrets and names of absent ones; later, when they are not known yet or
    /// something is still being written.
    pub(super) fn keep(&mut self, secrets: Option<(Vec<Arc<str>>, Vec<ObjectKey>)>, now: Instant) {
        let is_writing = self
            .writing
            .as_ref()
            .is_some_and(|task| !task.is_finished());
        let Some((secrets, absent)) = secrets.filter(|_| !is_writing) else {
            self.due = Some(now + SETTLE);
            return;
        };
        self.touched = false;
        self.due = None;
        self.last = Some(now);
        let objects = self.documents.iter().flat_map(|(watch, documents)| {
            documents
                .values()
                .map(|document| (watch.clone(), document.clone()))
        });
        let contents = Contents {
            objects: objects.collect(),
            secrets,
            absent,
        };
        let (state, has_failed) = (self.state.clone(), self.has_failed.clone());
        self.writing = Some(tokio::task::spawn_blocking(move || {
            write(&state, &contents, &has_failed);
        }));
    }
}

fn write(state: &StateDir, contents: &Contents, has_failed: &AtomicBool) {
    let objects = contents.objects.len();
    match state.write(contents, Timestamp::now()) {
        Ok(()) => {
            has_failed.store(false, Ordering::Relaxed);
            debug!(objects, "Kept the resource set");
        }
        Err(error) if has_failed.swap(true, Ordering::Relaxed) => {
            debug!(%error, "Cannot keep the resource set");
        }
        Err(error) => warn!(
            file = %state.path().display(),
            %error,
            "Cannot keep the resource set, trying again: a start without the API server would find an \
             older one or none"
        ),
    }
}
