//! Where everything comes together that is heard from the API server. Six things can happen, and nothing else:
//!
//! 1. A watch has something to tell: its objects become changes, its failures become health, log and metrics.
//! 2. The API server has said which kinds it serves: watches begin or end.
//! 3. Other Secrets are wanted than before, or it is time to ask again for one: bodies are withdrawn or fetched.
//! 4. A body has come.
//! 5. It is time to keep what is known for the next process, if that is asked for.
//! 6. A task has ended by itself: only a bug does that, and the source ends with it.

mod heard;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, watch as channel},
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tracing::{Instrument, debug_span, info};

use super::{
    Kube, KubeError,
    bodies::Bodies,
    catalogue::{self, Answer, Catalogue, Step},
    keeper::Keeper,
    known::Known,
    recovery::{Away, Recovery},
    resource::{self, Resource},
    running::{self, Running, Watches},
    secrets::Place,
    watch::{Message, Watch, escaped},
};
use crate::{
    config::Selector,
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
    /// Whether it was said that Postern's own kinds may not be read.
    spares_own_kinds: bool,
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
        let mut catalogue = Catalogue::default();
        catalogue.spares_own_kinds = kube.spares_own_kinds;
        let is_good = kube.state.as_ref().map(|state| state.is_good);
        let bodies = Bodies::new(kube.client.clone(), is_good);
        Self {
            kube,
            namespaces: namespaces.into_iter().collect(),
            tasks: JoinSet::new(),
            // Replaced when it runs: until then there is nobody to hear.
            inbox: mpsc::channel(1).0,
            watches: Watches::new(),
            last_watch: 0,
            catalogue,
            nudge: Arc::default(),
            known: Known::default(),
            recovery: Recovery::default(),
            bodies,
            unavailable: BTreeMap::new(),
            keeper,
            synced: false,
            is_degraded: false,
            spares_own_kinds: false,
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
        for place in self.places(&resource) {
            self.last_watch += 1;
            let mut name = resource.watch_name(place.namespace.as_deref());
            let mut selection = self.selection(&resource);
            if let Some(only) = &place.name {
                name = format!("{name}/{only}").into();
                // What RBAC compares with the names of a role.
                selection = format!("&fieldSelector=metadata.name%3D{}", escaped(only)).into();
            }
            if resource.kind == Kind::Secret {
                self.bodies.watch(&name, place.clone());
            }
            let watch = Watch {
                id: self.last_watch,
                client: self.kube.client.clone(),
                resource,
                namespace: place.namespace,
                selection,
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

    /// What is added to a query for a kind, so that only some objects are read.
    fn selection(&self, resource: &Resource) -> Arc<str> {
        let Selector { labels, fields } = &self.kube.selector;
        let mut selection = String::new();
        if resource.is_selected() {
            for (name, value) in [("labelSelector", labels), ("fieldSelector", fields)] {
                if let Some(value) = value {
                    selection.extend(["&", name, "=", &escaped(value)]);
                }
            }
        }
        selection.into()
    }

    /// Where a kind is watched.
    fn places(&self, resource: &Resource) -> Vec<Place> {
        let in_one = |namespace: &str| Place {
            namespace: Some(namespace.into()),
            name: None,
        };
        let Kube {
            secret_namespaces,
            secret_names,
            ..
        } = &self.kube;
        let is_limited = !secret_namespaces.is_empty() || !secret_names.is_empty();
        if resource.kind == Kind::Secret && is_limited {
            let namespaces: BTreeSet<_> = secret_namespaces.iter().collect();
            let names: BTreeSet<_> = secret_names
                .iter()
                .filter(|secret| !namespaces.contains(&secret.namespace))
                .collect();
            let single = names.into_iter().map(|secret| Place {
                name: Some(secret.name.as_str().into()),
                ..in_one(&secret.namespace)
            });
            let whole = namespaces.iter().map(|namespace| in_one(namespace));
            whole.chain(single).collect()
        } else if resource.namespaced && !self.namespaces.is_empty() {
            let namespaces = self.namespaces.iter();
            namespaces.map(|namespace| in_one(namespace)).collect()
        } else {
            vec![Place::default()]
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
