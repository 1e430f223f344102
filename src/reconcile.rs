//! From changes to snapshots. Four things can happen, and nothing else:
//!
//! 1. Changes arrive: until the source has said that its list is whole they go into the resource set, and nothing else happens.
//!    From then on they are kept, and the hold-off starts. It ends when nothing arrived for a few milliseconds, and after
//!    50 ms in any case, so that a stream of changes cannot starve the snapshot.
//! 2. The hold-off ends: the changes go to the compiler, on a thread of its own. While it works, changes are only kept.
//! 3. The compile ends: the snapshot is published. If it panicked, a fresh compiler is made, the last good snapshot stays in
//!    use, and health, metrics and log say so; the next change tries again.
//! 4. The source ends: what is left is compiled, and the loop is over.
//!
//! ```text
//!            changes                      changes are kept
//!            ┌─────┐                          ┌─────┐
//!            │     v       hold-off ends      │     v
//!  idle ──> holding off ─────────────────────> compiling ──> published ──> idle, or holding off
//! ```

mod tally;

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinHandle},
    time::{Instant, sleep_until},
};
use tracing::{error, info};

use crate::{
    compile,
    graph::Graph,
    report::Report,
    resource::{AnyObject, ObjectKey, ResourceSet},
    source::Change,
    telemetry::{
        health::{Health, Part},
        logs,
        metrics::{Compiled, ConfigMetrics},
    },
};
use tally::Tally;

/// A change is applied after this, however many others follow it.
pub const MAX_HOLD_OFF: Duration = Duration::from_millis(50);

/// Resource versions by watch.
pub type Versions = BTreeMap<Arc<str>, Arc<str>>;

/// A compiled state of the resources.
#[derive(Clone, Debug)]
pub struct Published {
    /// Counts the compiles of this process, from 1.
    pub generation: u64,
    pub graph: Arc<Graph>,
    pub report: Arc<Report>,
    /// The last resource version of each watch that the graph includes.
    pub versions: Arc<Versions>,
}

/// What makes a graph and a report of a resource set.
pub trait Compile: Send + 'static {
    fn compile(&mut self, resources: &ResourceSet) -> (Arc<Graph>, Arc<Report>);
}

impl<F> Compile for F
where
    F: FnMut(&ResourceSet) -> (Arc<Graph>, Arc<Report>) + Send + 'static,
{
    fn compile(&mut self, resources: &ResourceSet) -> (Arc<Graph>, Arc<Report>) {
        self(resources)
    }
}

/// The channels and settings of a [`Reconciler`].
#[derive(Debug)]
pub struct Ends {
    pub changes: mpsc::Receiver<Vec<Change>>,
    /// None until the first compile.
    pub published: watch::Sender<Option<Arc<Published>>>,
    /// The Secrets whose bodies the source should fetch.
    pub wanted: watch::Sender<Arc<BTreeSet<ObjectKey>>>,
    pub hold_off: Duration,
    pub health: Health,
    pub metrics: ConfigMetrics,
}

/// The loop described above. `new_compiler` makes the first compiler, and another after each panic.
pub struct Reconciler<N, C> {
    ends: Ends,
    new_compiler: N,
    /// With the compiler while it works.
    desk: Option<Desk<C>>,
    waiting: Waiting,
    synced: bool,
    generation: u64,
    tally: Tally,
}

/// What a compile works on. It moves between the loop and the compiler's thread, so that nothing is ever copied.
struct Desk<C> {
    resources: ResourceSet,
    versions: Versions,
    compiler: C,
    /// Whether the resources have changed since the last compile that came to an end: the published graph is not theirs.
    stale: bool,
}

/// Changes that are not compiled yet.
#[derive(Debug, Default)]
struct Waiting {
    changes: Vec<Change>,
    first: Option<Instant>,
    /// When the hold-off ends.
    due: Option<Instant>,
}

/// What a compile came to.
struct Done<C> {
    desk: Desk<C>,
    output: Result<(Arc<Graph>, Arc<Report>), String>,
    took: Duration,
    first_change: Instant,
}

impl<N, C> std::fmt::Debug for Reconciler<N, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconciler")
            .field("generation", &self.generation)
            .field("synced", &self.synced)
            .finish_non_exhaustive()
    }
}

impl<N, C> Reconciler<N, C>
where
    N: Fn() -> C,
    C: Compile,
{
    pub fn new(ends: Ends, new_compiler: N) -> Self {
        let desk = Desk {
            resources: ResourceSet::default(),
            versions: Versions::new(),
            compiler: new_compiler(),
            stale: true,
        };
        Self {
            ends,
            new_compiler,
            desk: Some(desk),
            waiting: Waiting::default(),
            synced: false,
            generation: 0,
            tally: Tally::default(),
        }
    }

    /// Runs until the source ends. An error means that the compiler's thread is lost, and with it the resource set.
    pub async fn run(mut self) -> Result<(), JoinError> {
        let mut compiling: Option<JoinHandle<Done<C>>> = None;
        let mut source_ended = false;
        loop {
            let due = self.waiting.due;
            tokio::select! {
                biased;
                done = async { compiling.as_mut().expect("the branch must be guarded").await }, if compiling.is_some() => {
                    compiling = None;
                    self.finish(done?);
                }
                batch = self.ends.changes.recv(), if !source_ended => match batch {
                    Some(batch) => self.receive(batch),
                    None => source_ended = true,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() && compiling.is_none() => {
                    compiling = self.start();
                }
                else => return Ok(()),
            }
        }
    }

    /// 1. Changes arrive.
    fn receive(&mut self, batch: Vec<Change>) {
        self.ends.metrics.received();
        if !self.synced && batch.iter().any(|change| matches!(change, Change::Synced)) {
            self.synced = true;
            self.ends.health.satisfied(Part::Resources);
        }
        if !self.synced {
            // Nothing is compiled before the list is whole, however long that takes: the set is what bounds the memory of it.
            if let Some(desk) = &mut self.desk {
                desk.apply(batch);
            }
            return;
        }
        let now = Instant::now();
        let first = *self.waiting.first.get_or_insert(now);
        let latest = first + MAX_HOLD_OFF;
        self.waiting.due = Some(latest.min(now + self.ends.hold_off));
        if self.waiting.changes.is_empty() {
            self.waiting.changes = batch;
        } else {
            self.waiting.changes.extend(batch);
        }
    }

    /// 2. The hold-off ends. Nothing is compiled when only versions moved on since the last snapshot.
    fn start(&mut self) -> Option<JoinHandle<Done<C>>> {
        let Waiting { changes, first, .. } = mem::take(&mut self.waiting);
        let mut desk = self
            .desk
            .take()
            .expect("the desk must be here while nothing compiles");
        desk.stale |= !changes.iter().all(|c| matches!(c, Change::Version(..)));
        if !desk.stale {
            desk.apply(changes);
            self.publish_versions(&desk.versions);
            self.desk = Some(desk);
            return None;
        }
        let first_change = first.unwrap_or_else(Instant::now);
        Some(tokio::task::spawn_blocking(move || {
            desk.apply(changes);
            let began = Instant::now();
            let output = desk.compile();
            Done {
                desk,
                output,
                took: began.elapsed(),
                first_change,
            }
        }))
    }

    /// 3. The compile ends.
    fn finish(&mut self, done: Done<C>) {
        let Done {
            mut desk,
            output,
            took,
            first_change,
        } = done;
        match output {
            Ok((graph, report)) => {
                desk.stale = false;
                let compiled = self.publish(graph, report, &desk);
                self.ends
                    .metrics
                    .applied(compiled, took, first_change.elapsed());
                self.ends
                    .metrics
                    .reached(desk.versions.clone(), self.waiting.first);
            }
            Err(message) => {
                desk.compiler = (self.new_compiler)();
                self.ends.metrics.panicked();
                self.ends.health.degraded(
                    Part::Configuration,
                    format!(
                        "the compiler panicked and the last good snapshot is in use: {message}"
                    ),
                );
                error!(
                    message,
                    generation = self.generation,
                    "The compiler panicked: the last good snapshot stays in use. This is a bug in Postern, please report it"
                );
            }
        }
        self.desk = Some(desk);
    }

    fn publish(&mut self, graph: Arc<Graph>, report: Arc<Report>, desk: &Desk<C>) -> Compiled {
        self.generation += 1;
        self.ends.health.satisfied(Part::Configuration);
        self.report_secrets(&report, &desk.resources);
        self.ends.wanted.send_if_modified(|wanted| {
            let changed = **wanted != report.wanted_secrets;
            if changed {
                *wanted = Arc::new(report.wanted_secrets.clone());
            }
            changed
        });
        let compiled = self.tally.count(self.generation, &report);
        let errors = tally::errors(&compiled);
        info!(
            generation = self.generation,
            objects = report.objects.len(),
            errors,
            "Applied configuration"
        );
        self.ends.published.send_replace(Some(Arc::new(Published {
            generation: self.generation,
            graph,
            report,
            versions: Arc::new(desk.versions.clone()),
        })));
        compiled
    }

    fn publish_versions(&self, versions: &Versions) {
        self.ends
            .metrics
            .reached(versions.clone(), self.waiting.first);
        self.ends.published.send_if_modified(|published| {
            let Some(last) = published.as_ref() else {
                return false;
            };
            if *last.versions == *versions {
                return false;
            }
            *published = Some(Arc::new(Published {
                versions: Arc::new(versions.clone()),
                ..(**last).clone()
            }));
            true
        });
    }

    /// Certificates are there when every wanted Secret was looked for: one that does not exist is its Host's problem only.
    fn report_secrets(&self, report: &Report, resources: &ResourceSet) {
        let mut unseen = report.wanted_secrets.iter().filter(|key| {
            !resources.secrets.contains_key(key) && !resources.absent_secrets.contains(key)
        });
        match unseen.next() {
            None => self.ends.health.satisfied(Part::Certificates),
            Some(key) => self.ends.health.waiting(
                Part::Certificates,
                format!("waiting for {key} and {} more", unseen.count()),
            ),
        }
    }
}

impl<C: Compile> Desk<C> {
    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            match change {
                Change::Version(watch, version) => {
                    self.versions.insert(watch, version);
                }
                Change::Put(AnyObject::Secret(secret)) => {
                    let is_good = compile::holds_certificate;
                    self.resources.insert_secret(secret, is_good);
                }
                change => change.apply(&mut self.resources),
            }
        }
    }

    fn compile(&mut self) -> Result<(Arc<Graph>, Arc<Report>), String> {
        let Self {
            resources,
            compiler,
            ..
        } = self;
        // A compiler that panicked is thrown away, and the resources are only read: nothing half-done is seen again.
        catch_unwind(AssertUnwindSafe(|| compiler.compile(resources)))
            .map_err(|payload| logs::message_of(&*payload).to_owned())
    }
}

#[cfg(test)]
mod tests;
