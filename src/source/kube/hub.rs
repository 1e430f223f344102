//! Where everything comes together that is heard from the API server. Six things can happen, and nothing else:
//!
//! 1. A watch has something to tell: its objects become changes, its failures become health, log and metrics.
//! 2. The API server has said which kinds it serves: watches begin or end.
//! 3. Other Secrets are wanted than before, or it is time to ask again for one: bodies are withdrawn or fetched.
//! 4. A body has come.
//! 5. It is time to keep what is known for the next process, if that is asked for.
//! 6. A task has ended by itself: only a bug does that, and the source ends with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::json;
use tokio::{
    sync::{Notify, mpsc, watch as channel},
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tracing::{Instrument, debug, debug_span, info, warn};

use super::{
    Kube, KubeError,
    bodies::Bodies,
    catalogue::{self, Answer, Catalogue, Step},
    found::Found,
    keeper::Keeper,
    known::Known,
    recovery::{Away, Recovery},
    request::Failure,
    resource::{self, Resource},
    running::{self, Running, Watches},
    watch::{Heard, Message, Watch},
};
use crate::{
    resource::{Group, Kind, ObjectKey, Unavailable},
    source::Change,
    telemetry::health::Part,
};

/// Messages of watches that wait for the hub; each holds what was ready at once.
const INBOX: usize = 64;

/// What is known and what runs.
pub(super) struct Hub {
    kube: Kube,
    /// Empty: all.
    namespaces: Vec<Arc<str>>,
    tasks: JoinSet<()>,
    inbox: mpsc::Sender<Message>,
    watches: Watches,
    last_watch: u64,
    catalogue: Catalogue,
    nudge: Arc<Notify>,
    known: Known,
    recovery: Recovery,
    bodies: Bodies,
    /// As it was told.
    unavailable: BTreeMap<Kind, Unavailable>,
    keeper: Option<Keeper>,
    synced: bool,
    is_degraded: bool,
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
        let keeper = kube.state.clone().map(Keeper::new);
        let bodies = Bodies::new(kube.client.clone(), keeper.is_some());
        Self {
            kube,
            namespaces: namespaces.into_iter().collect(),
            tasks: JoinSet::new(),
            // Replaced when it runs: until then there is nobody to hear.
            inbox: mpsc::channel(1).0,
            watches: Watches::new(),
            last_watch: 0,
            catalogue: Catalogue::default(),
            nudge: Arc::default(),
            known: Known::default(),
            recovery: Recovery::default(),
            bodies,
            unavailable: BTreeMap::new(),
            keeper,
            synced: false,
            is_degraded: false,
        }
    }

    /// Tells since when the API server is away.
    pub(super) fn away(&self) -> Away {
        self.recovery.away()
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
            let retry = self.bodies.next_retry();
            let keep = self.keeper.as_ref().and_then(Keeper::due);
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
                    batch.extend(self.bodies.want(&wanted.borrow_and_update()));
                }
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => {
                    batch.extend(self.bodies.retry());
                }
                Some(fetched) = self.bodies.next() => {
                    batch.extend(self.bodies.fetched(fetched.map_err(KubeError::Lost)?));
                }
                () = sleep_until(keep.unwrap_or_else(Instant::now)), if keep.is_some() => self.keep(),
                Some(ended) = self.tasks.join_next() => check(ended)?,
            }
            batch.extend(self.bodies.versions());
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
        if !matches!(message.heard, Heard::Failed(_)) {
            self.recovery.answered(Instant::now());
        }
        match message.heard {
            Heard::Failed(failure) => {
                self.recovery.failed(&failure);
                self.kube.metrics.failed(&name);
                self.failed(message.watch, &failure, batch);
                return;
            }
            Heard::Alive => running.alive(),
            Heard::Listed { found, version } => {
                debug!(watch = %name, objects = found.len(), version = %version, "Listed");
                running.alive();
                running.listed = true;
                let kind = running.resource.kind;
                self.available(kind, None, batch);
                let running = &self.watches[&message.watch];
                if running.resource.kind == Kind::Secret {
                    batch.extend(self.bodies.list(&name, found, version));
                } else {
                    if let Some(keeper) = &mut self.keeper {
                        keeper.list(&name, &found);
                    }
                    batch.extend(self.known.list(&name, found));
                    batch.push(Change::Version(name.clone(), version));
                }
            }
            Heard::Changed { events, version } => {
                running.alive();
                if running.resource.kind == Kind::Secret {
                    batch.extend(self.bodies.change(&name, events, version));
                } else {
                    if let Some(keeper) = &mut self.keeper {
                        keeper.change(&name, &events);
                    }
                    batch.extend(self.known.change(&name, events));
                    batch.push(Change::Version(name.clone(), version));
                }
            }
        }
        self.kube.metrics.alive(&name);
    }

    fn failed(&mut self, watch: u64, failure: &Failure, batch: &mut Vec<Change>) {
        let is_news = running::is_news(&self.watches, failure);
        let Some(running) = self.watches.get_mut(&watch) else {
            return;
        };
        running.failed(failure, is_news);
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
                    let manifest = json!({"metadata": {"name": &**namespace}});
                    Found::with_document(&resource, manifest)
                });
                let found: Vec<_> = found.collect();
                if let Some(keeper) = &mut self.keeper {
                    keeper.list(&name, &found);
                }
                batch.extend(self.known.list(&name, found));
            }
            // Whoever reads some namespaces only may not be let read what is for all of them.
            Kind::RouteClaim if !self.namespaces.is_empty() => {
                running.listed = true;
                warn!(
                    "RouteClaims may not be read, so none holds here: hostnames and paths belong to who came first"
                );
                self.available(Kind::RouteClaim, Some(Unavailable::Forbidden), batch);
            }
            // What is in the annotations of Ingresses is old, and most installations have none.
            Kind::Ingress => {
                running.listed = true;
                warn!(
                    "Ingresses may not be read, so nothing in their annotations is served; for that, allow get, list and watch of ingresses.networking.k8s.io"
                );
                self.available(Kind::Ingress, Some(Unavailable::Forbidden), batch);
            }
            Kind::Secret => {
                running.listed = true;
                let name = running.name.clone();
                batch.extend(self.bodies.denied(&name));
            }
            _ => {}
        }
    }

    /// Tells whether the objects of a kind can be read, if that is news.
    fn available(&mut self, kind: Kind, why: Option<Unavailable>, batch: &mut Vec<Change>) {
        if self.unavailable.get(&kind).copied() == why {
            return;
        }
        match why {
            Some(why) => self.unavailable.insert(kind, why),
            None => self.unavailable.remove(&kind),
        };
        batch.push(Change::Unavailable(kind, why));
    }

    // --- 2. The API server has said which kinds it serves.

    fn learn(&mut self, round: Vec<Answer>, batch: &mut Vec<Change>) {
        for answer in round {
            if answer.result.is_ok() {
                self.recovery.answered(Instant::now());
            }
            // Who asks for a kind that is gone is told so, whatever the catalogue of the moment says.
            let is_unknown = |resource: &Resource| {
                let mut of_kind = self
                    .watches
                    .values()
                    .filter(|running| running.is_of(resource));
                of_kind.all(|running| running.is_unknown)
            };
            for step in self.catalogue.take(answer, is_unknown) {
                match step {
                    Step::Watch(resource) => {
                        self.end(&resource);
                        self.begin(resource);
                    }
                    Step::Drop(resource) => {
                        info!(resource = %resource.watch_name(None), "The kind is not served any more, and with it its objects are gone");
                        for watch in self.end(&resource) {
                            batch.extend(self.known.forget(&watch));
                            if let Some(keeper) = &mut self.keeper {
                                keeper.forget(&watch);
                            }
                            self.kube.metrics.ended(&watch);
                        }
                    }
                }
            }
        }
        let grants = Kind::ReferenceGrant;
        if self.catalogue.serves(Group::Gateway, grants) == Some(false) {
            self.available(grants, Some(Unavailable::NotInstalled), batch);
        }
    }

    /// Begins to watch a kind, in each of the namespaces.
    fn begin(&mut self, resource: Resource) {
        for namespace in self.places(&resource) {
            self.last_watch += 1;
            let name = resource.watch_name(namespace.as_deref());
            if resource.kind == Kind::Secret {
                self.bodies.watch(&name, namespace.clone());
            }
            let watch = Watch {
                id: self.last_watch,
                client: self.kube.client.clone(),
                resource,
                namespace,
                keeps: self.keeper.is_some(),
                hub: self.inbox.clone(),
                back: self.recovery.subscribe(),
            };
            let span = debug_span!("watch", name = %name);
            let task = self.tasks.spawn(watch.run().instrument(span));
            let running = Running::new(resource, name, task);
            self.watches.insert(self.last_watch, running);
        }
    }

    /// The namespaces in which a kind is watched; None stands for all of them.
    fn places(&self, resource: &Resource) -> Vec<Option<Arc<str>>> {
        let secrets = &self.kube.secret_namespaces;
        if resource.kind == Kind::Secret && !secrets.is_empty() {
            let secrets: BTreeSet<_> = secrets.iter().collect();
            secrets
                .into_iter()
                .map(|namespace| Some(namespace.as_str().into()))
                .collect()
        } else if resource.namespaced && !self.namespaces.is_empty() {
            self.namespaces.iter().cloned().map(Some).collect()
        } else {
            vec![None]
        }
    }

    /// Ends the watches of a kind, and tells which they were.
    fn end(&mut self, resource: &Resource) -> Vec<Arc<str>> {
        let ended = self
            .watches
            .extract_if(.., |_, running| running.is_of(resource));
        ended
            .map(|(_, running)| {
                running.task.abort();
                running.name
            })
            .collect()
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
        let has_secrets = batch.iter().any(Change::is_about_secret);
        if let Some(keeper) = &mut self.keeper
            && self.synced
        {
            keeper.settle(has_secrets, Instant::now());
        }
    }

    // --- 5. It is time to keep what is known.

    fn keep(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.keep(self.bodies.documents(), Instant::now());
        }
    }

    fn say(&mut self) {
        let health = &self.kube.health;
        if !self.synced {
            let missing = self.catalogue.missing();
            let why = missing.unwrap_or_else(|| running::waiting(&self.watches));
            health.waiting(Part::Resources, why);
            return;
        }
        let problems = [
            self.catalogue.missing(),
            running::problem(&self.watches),
            self.bodies.problem(),
        ];
        let problems: Vec<_> = problems.into_iter().flatten().collect();
        match (!problems.is_empty()).then(|| problems.join("; ")) {
            Some(problems) => {
                // Again and again, because whoever takes in that everything is listed believes all to be well.
                health.degraded(Part::Resources, problems);
                self.is_degraded = true;
            }
            None if std::mem::take(&mut self.is_degraded) => health.satisfied(Part::Resources),
            None => {}
        }
    }
}

/// 6. A task has ended: only one that was told to may.
fn check(ended: Result<(), JoinError>) -> Result<(), KubeError> {
    match ended {
        Err(error) if error.is_panic() => Err(KubeError::Lost(error)),
        _ => Ok(()),
    }
}
