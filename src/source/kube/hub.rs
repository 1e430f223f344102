//! Where everything comes together that is heard from the API server. Five things can happen, and nothing else:
//!
//! 1. A watch has something to tell: its objects become changes, its failures become health, log and metrics.
//! 2. The API server has said which kinds it serves: watches begin or end.
//! 3. Other Secrets are wanted than before, or it is time to ask again for one: bodies are withdrawn or fetched.
//! 4. A body has come.
//! 5. A task has ended by itself: only a bug does that, and the source ends with it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use tokio::{
    sync::{Notify, Semaphore, mpsc, watch as channel},
    task::{AbortHandle, JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tracing::{Instrument, debug, debug_span, info, warn};

use super::{
    Kube, KubeError,
    catalogue::{self, Answer, Catalogue, Step},
    found::{self, Found},
    known::Known,
    request::{self, Failure, Form},
    resource::{self, Resource},
    secrets::{Fetch, Outcome, Output, Secrets},
    watch::{Heard, Message, Watch},
};
use crate::{
    resource::{AnyObject, Kind, ObjectKey},
    source::Change,
    telemetry::health::Part,
};

/// Messages of watches that wait for the hub; each holds what was ready at once.
const INBOX: usize = 64;
/// Bodies of Secrets that are fetched at the same time.
const FETCHES: usize = 16;
/// Names in a sentence, before the rest is only counted.
const NAMES: usize = 5;

/// What is known and what runs.
pub(super) struct Hub {
    kube: Kube,
    /// Empty: all.
    namespaces: Vec<Arc<str>>,
    tasks: JoinSet<()>,
    inbox: mpsc::Sender<Message>,
    watches: BTreeMap<u64, Running>,
    last_watch: u64,
    catalogue: Catalogue,
    nudge: Arc<Notify>,
    known: Known,
    secrets: Secrets,
    fetches: JoinSet<(Fetch, Result<Option<AnyObject>, Failure>)>,
    permits: Arc<Semaphore>,
    /// Secrets whose bodies could not be fetched, and why.
    unread: HashMap<ObjectKey, String>,
    synced: bool,
    is_degraded: bool,
}

/// A watch that runs.
struct Running {
    resource: Resource,
    name: Arc<str>,
    task: AbortHandle,
    /// Whether its list was there once, or can never be and is not waited for.
    listed: bool,
    /// In a row.
    failures: u64,
    failure: Option<String>,
}

// === impl Hub ===

impl Hub {
    pub(super) fn new(kube: Kube) -> Self {
        let mut namespaces: BTreeSet<Arc<str>> = kube
            .namespaces
            .iter()
            .map(|name| name.as_str().into())
            .collect();
        if !namespaces.is_empty() {
            namespaces.insert(kube.own_namespace.as_str().into());
        }
        Self {
            kube,
            namespaces: namespaces.into_iter().collect(),
            tasks: JoinSet::new(),
            // Replaced when it runs: until then there is nobody to hear.
            inbox: mpsc::channel(1).0,
            watches: BTreeMap::new(),
            last_watch: 0,
            catalogue: Catalogue::default(),
            nudge: Arc::default(),
            known: Known::default(),
            secrets: Secrets::default(),
            fetches: JoinSet::new(),
            permits: Arc::new(Semaphore::new(FETCHES)),
            unread: HashMap::new(),
            synced: false,
            is_degraded: false,
        }
    }

    pub(super) async fn run(
        mut self,
        changes: mpsc::Sender<Vec<Change>>,
        mut wanted: channel::Receiver<Arc<BTreeSet<ObjectKey>>>,
    ) -> Result<(), KubeError> {
        let (inbox, mut messages) = mpsc::channel(INBOX);
        self.inbox = inbox;
        let (periods, mut answers) = self.ask();
        for resource in resource::built_in() {
            self.begin(resource);
        }
        let mut heard = Vec::new();
        let mut is_wanting = true;
        wanted.mark_changed();
        loop {
            let mut batch = Vec::new();
            let retry = self.secrets.next_retry();
            tokio::select! {
                () = changes.closed() => return Ok(()),
                _ = messages.recv_many(&mut heard, INBOX) => {
                    for message in heard.drain(..) {
                        self.hear(message, &mut batch);
                    }
                }
                Some(round) = answers.recv() => {
                    self.learn(round, &mut batch);
                    periods.send_replace(self.catalogue.period());
                }
                result = wanted.changed(), if is_wanting => {
                    is_wanting = result.is_ok();
                    let wanted = wanted.borrow_and_update().clone();
                    self.want(&wanted, &mut batch);
                }
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {
                    let output = self.secrets.retry(Instant::now());
                    self.carry_out(output, &mut batch);
                }
                Some(fetched) = self.fetches.join_next() => {
                    let (fetch, result) = fetched.map_err(KubeError::Lost)?;
                    self.fetched(&fetch, result, &mut batch);
                }
                Some(ended) = self.tasks.join_next() => check(ended)?,
            }
            batch.extend(self.secrets.versions());
            self.sync(&mut batch);
            self.say();
            if !batch.is_empty() && changes.send(batch).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Begins to ask which kinds there are.
    fn ask(&mut self) -> (channel::Sender<Duration>, mpsc::Receiver<Vec<Answer>>) {
        let (periods, period) = channel::channel(self.catalogue.period());
        let (sender, answers) = mpsc::channel(1);
        let asking = catalogue::ask(self.kube.client.clone(), sender, period, self.nudge.clone());
        self.tasks
            .spawn(asking.instrument(debug_span!("catalogue")));
        (periods, answers)
    }

    // --- 1. A watch has something to tell.

    fn hear(&mut self, message: Message, batch: &mut Vec<Change>) {
        // A watch that was ended may have had something in the inbox.
        let Some(running) = self.watches.get_mut(&message.watch) else {
            return;
        };
        let name = running.name.clone();
        match message.heard {
            Heard::Failed(failure) => {
                self.kube.metrics.failed(&name);
                self.failed(message.watch, &failure, batch);
                return;
            }
            Heard::Alive => running.alive(),
            Heard::Listed { found, version } => {
                debug!(watch = %name, objects = found.len(), version = %version, "Listed");
                running.alive();
                running.listed = true;
                if running.resource.kind == Kind::Secret {
                    let output = self.secrets.list(&name, found, Instant::now());
                    self.carry_out(output, batch);
                    self.secrets.reached(&name, version);
                } else {
                    batch.extend(self.known.list(&name, found));
                    batch.push(Change::Version(name.clone(), version));
                }
            }
            Heard::Changed { events, version } => {
                running.alive();
                if running.resource.kind == Kind::Secret {
                    let output = self.secrets.change(&name, events, Instant::now());
                    self.carry_out(output, batch);
                    self.secrets.reached(&name, version);
                } else {
                    batch.extend(self.known.change(&name, events));
                    batch.push(Change::Version(name.clone(), version));
                }
            }
        }
        self.kube.metrics.alive(&name);
    }

    fn failed(&mut self, watch: u64, failure: &Failure, batch: &mut Vec<Change>) {
        let Some(running) = self.watches.get_mut(&watch) else {
            return;
        };
        running.failures += 1;
        if running.failures == 1 {
            warn!(watch = %running.name, error = %failure, "Cannot watch, trying again; what is known stays in use");
        } else {
            debug!(watch = %running.name, error = %failure, failures = running.failures, "Cannot watch");
        }
        running.failure = Some(failure.to_string());
        match failure {
            Failure::NotFound if resource::is_installed(running.resource.group) => {
                self.nudge.notify_one();
            }
            Failure::Forbidden(_) if !running.listed => self.excuse(watch, batch),
            _ => {}
        }
    }

    /// Goes on without the list of a kind that may be forbidden, and is then known to be incomplete.
    fn excuse(&mut self, watch: u64, batch: &mut Vec<Change>) {
        let Some(running) = self.watches.get_mut(&watch) else {
            return;
        };
        match running.resource.kind {
            // Whoever gave the list of namespaces has said that they exist.
            Kind::Namespace if !self.namespaces.is_empty() => {
                running.listed = true;
                let (name, resource) = (running.name.clone(), running.resource);
                let found = self.namespaces.iter().map(|namespace| {
                    Found::new(&resource, json!({"metadata": {"name": &**namespace}}))
                });
                let found = found.collect();
                batch.extend(self.known.list(&name, found));
            }
            Kind::Secret => {
                running.listed = true;
                let name = running.name.clone();
                let output = self.secrets.denied(&name, Instant::now());
                self.carry_out(output, batch);
            }
            _ => {}
        }
    }

    // --- 2. The API server has said which kinds it serves.

    fn learn(&mut self, round: Vec<Answer>, batch: &mut Vec<Change>) {
        for answer in round {
            for step in self.catalogue.take(answer) {
                match step {
                    Step::Watch(resource) => {
                        self.end(&resource);
                        self.begin(resource);
                    }
                    Step::Drop(resource) => {
                        info!(resource = %resource.watch_name(None), "The kind is not served any more, and with it its objects are gone");
                        for watch in self.end(&resource) {
                            batch.extend(self.known.forget(&watch));
                            self.kube.metrics.ended(&watch);
                        }
                    }
                }
            }
        }
    }

    /// Begins to watch a kind, in each of the namespaces.
    fn begin(&mut self, resource: Resource) {
        let namespaces: Vec<Option<Arc<str>>> =
            if resource.namespaced && !self.namespaces.is_empty() {
                self.namespaces.iter().cloned().map(Some).collect()
            } else {
                vec![None]
            };
        for namespace in namespaces {
            self.last_watch += 1;
            let name = resource.watch_name(namespace.as_deref());
            if resource.kind == Kind::Secret {
                self.secrets.watch(&name, namespace.clone());
            }
            let watch = Watch {
                id: self.last_watch,
                client: self.kube.client.clone(),
                resource,
                namespace,
                hub: self.inbox.clone(),
            };
            let span = debug_span!("watch", name = %name);
            let running = Running {
                resource,
                name,
                task: self.tasks.spawn(watch.run().instrument(span)),
                listed: false,
                failures: 0,
                failure: None,
            };
            self.watches.insert(self.last_watch, running);
        }
    }

    /// Ends the watches of a kind, and tells which they were.
    fn end(&mut self, resource: &Resource) -> Vec<Arc<str>> {
        let is_of_kind = |running: &Running| {
            (running.resource.group, running.resource.kind) == (resource.group, resource.kind)
        };
        let ended = self
            .watches
            .extract_if(.., |_, running| is_of_kind(running));
        ended
            .map(|(_, running)| {
                running.task.abort();
                running.name
            })
            .collect()
    }

    // --- 3. Other Secrets are wanted. 4. A body has come.

    fn want(&mut self, wanted: &Arc<BTreeSet<ObjectKey>>, batch: &mut Vec<Change>) {
        self.unread.retain(|key, _| wanted.contains(key));
        let output = self.secrets.want(wanted, Instant::now());
        self.carry_out(output, batch);
    }

    fn carry_out(&mut self, output: Output, batch: &mut Vec<Change>) {
        batch.extend(output.changes);
        let Some(resource) = resource::built_in().find(|r| r.kind == Kind::Secret) else {
            return;
        };
        for fetch in output.fetches {
            let client = self.kube.client.clone();
            let permits = self.permits.clone();
            let work = async move {
                let _permit = permits.acquire().await;
                let result = body(&client, &resource, &fetch.key).await;
                (fetch, result)
            };
            self.fetches.spawn(work.in_current_span());
        }
    }

    fn fetched(
        &mut self,
        fetch: &Fetch,
        result: Result<Option<AnyObject>, Failure>,
        batch: &mut Vec<Change>,
    ) {
        let key = &fetch.key;
        let outcome = match result {
            Ok(Some(object)) => {
                self.unread.remove(key);
                Outcome::Body(object)
            }
            Ok(None) => {
                self.complain(key, "it cannot be decoded".to_owned());
                Outcome::Nothing
            }
            Err(Failure::NotFound) => Outcome::Nothing,
            Err(failure) => {
                self.complain(key, failure.to_string());
                match failure {
                    Failure::Forbidden(_) => Outcome::Forbidden,
                    _ => Outcome::Failed,
                }
            }
        };
        let output = self.secrets.fetched(fetch, outcome, Instant::now());
        self.carry_out(output, batch);
    }

    /// Says once why a Secret cannot be read, never what is in it.
    fn complain(&mut self, key: &ObjectKey, why: String) {
        if !self.secrets.is_wanted(key) {
            return;
        }
        if !self.unread.contains_key(key) {
            warn!(secret = %key, error = %why, "Cannot read a Secret, trying again");
        }
        self.unread.insert(key.clone(), why);
    }

    // --- What everybody is told.

    fn sync(&mut self, batch: &mut Vec<Change>) {
        let is_whole = self.catalogue.missing().is_none()
            && self.watches.values().all(|running| running.listed);
        if !self.synced && is_whole {
            self.synced = true;
            info!(watches = self.watches.len(), "Listed every kind once");
            batch.push(Change::Synced);
        }
    }

    fn say(&mut self) {
        let health = &self.kube.health;
        if !self.synced {
            health.waiting(Part::Resources, self.waiting());
            return;
        }
        match self.problems() {
            Some(problems) => {
                // Again and again, because whoever takes in that everything is listed believes all to be well.
                health.degraded(Part::Resources, problems);
                self.is_degraded = true;
            }
            None if std::mem::take(&mut self.is_degraded) => health.satisfied(Part::Resources),
            None => {}
        }
    }

    fn waiting(&self) -> String {
        if let Some(missing) = self.catalogue.missing() {
            return missing;
        }
        let unlisted = || self.watches.values().filter(|running| !running.listed);
        let names = sentence(unlisted().map(|running| running.name.to_string()));
        let why = unlisted().find_map(|running| running.failure.as_ref());
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        format!("waiting for the first list of {names}{why}")
    }

    fn problems(&self) -> Option<String> {
        let failing = || {
            self.watches
                .values()
                .filter(|running| running.failure.is_some())
        };
        let mut problems: Vec<_> = self.catalogue.missing().into_iter().collect();
        if let Some(first) = failing().next() {
            let names = sentence(failing().map(|running| running.name.to_string()));
            let why = first.failure.as_deref().unwrap_or_default();
            problems.push(format!("cannot watch {names}: {why}"));
        }
        if let Some((_, why)) = self.unread.iter().min() {
            let keys = sentence(self.unread.keys().map(ToString::to_string));
            problems.push(format!("cannot read {keys}: {why}"));
        }
        (!problems.is_empty()).then(|| problems.join("; "))
    }
}

// === impl Running ===

impl Running {
    fn alive(&mut self) {
        if self.failures > 0 {
            info!(watch = %self.name, failures = self.failures, "Watching again");
        }
        self.failures = 0;
        self.failure = None;
    }
}

/// 5. A task has ended: only one that was told to may.
fn check(ended: Result<(), JoinError>) -> Result<(), KubeError> {
    match ended {
        Err(error) if error.is_panic() => Err(KubeError::Lost(error)),
        _ => Ok(()),
    }
}

/// The Secret's body; none if it cannot be decoded.
async fn body(
    client: &kube::Client,
    resource: &Resource,
    key: &ObjectKey,
) -> Result<Option<AnyObject>, Failure> {
    // The name is of an object that was listed, and so can be in a path as it is.
    let uri = format!("{}/{}", resource.path(Some(&key.namespace)), key.name);
    let manifest = request::get(client, &uri, Form::Whole).await?;
    Ok(found::secret(resource, manifest))
}

/// The first few names in their order, and how many there are besides.
fn sentence(names: impl Iterator<Item = String>) -> String {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    let shown: Vec<_> = names.iter().take(NAMES).map(String::as_str).collect();
    match names.len().saturating_sub(NAMES) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
