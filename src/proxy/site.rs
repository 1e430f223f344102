//! What the connections of one worker share.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    ops::Deref,
    rc::Rc,
    sync::Arc,
};

use tokio::task::JoinSet;

use super::{
    access_log::Logger,
    compression::Encoders,
    drain::Gate,
    forward::Upstreams,
    limits,
    metrics::{Counters, Metrics, WorkerRoutes},
    retry::Memory,
    shadow::UnderWay,
    tls::Certificates,
};
use crate::graph::Graph;

/// One for each worker, on its thread.
pub(super) struct Site<U> {
    pub(super) upstreams: U,
    snapshot: RefCell<Rc<Snapshot>>,
    pub(super) certificates: Certificates,
    pub(super) hostname: Arc<str>,
    pub(super) log: Option<Logger>,
    /// Of bodies that may be sent again.
    pub(super) replays: Memory,
    /// Of bodies that go on when they are whole.
    pub(super) buffers: Memory,
    /// Of responses that are compressed.
    pub(super) encoders: Encoders,
    /// Copies of requests.
    pub(super) shadows: UnderWay,
    /// Requests that run.
    pub(super) running: Rc<Cell<u64>>,
    /// Connections that have become tunnels.
    pub(super) tunnels: RefCell<JoinSet<()>>,
    pub(super) gate: Rc<Gate>,
    pub(super) routes: WorkerRoutes,
    metrics: Metrics,
    counters: RefCell<HashMap<Arc<str>, Arc<Counters>>>,
}

/// A reference to the graph that a worker counts for itself: no request touches the count that all workers share.
#[derive(Debug, Default)]
pub(super) struct Snapshot(Arc<Graph>);

impl Deref for Snapshot {
    type Target = Arc<Graph>;

    fn deref(&self) -> &Arc<Graph> {
        &self.0
    }
}

/// What all workers have of the same.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) certificates: Certificates,
    pub(super) hostname: Arc<str>,
    pub(super) log: Option<Logger>,
    pub(super) metrics: Metrics,
}

impl<U> std::fmt::Debug for Site<U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").finish_non_exhaustive()
    }
}

impl<U: Upstreams> Site<U> {
    pub(super) fn new(upstreams: U, common: Common) -> Self {
        Self {
            upstreams,
            snapshot: RefCell::default(),
            certificates: common.certificates,
            hostname: common.hostname,
            log: common.log,
            replays: Memory::default(),
            buffers: Memory::for_whole_bodies(limits::BUFFERED),
            encoders: Encoders::default(),
            shadows: UnderWay::default(),
            running: Rc::default(),
            tunnels: RefCell::default(),
            gate: Rc::default(),
            routes: common.metrics.routes(),
            metrics: common.metrics,
            counters: RefCell::default(),
        }
    }

    /// What this worker counts on a Listener.
    pub(super) fn counters(&self, listener: &Arc<str>) -> Arc<Counters> {
        let mut known = self.counters.borrow_mut();
        let new = || self.metrics.counters(listener);
        known.entry(listener.clone()).or_insert_with(new).clone()
    }

    /// The snapshot in use.
    pub(super) fn graph(&self) -> Rc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Takes a new snapshot into use. What runs keeps the one that it began with.
    pub(super) fn swap(&self, graph: Arc<Graph>) {
        self.upstreams.sweep(&graph);
        self.certificates.sweep(&graph);
        self.routes.sweep();
        let mut counters = self.counters.borrow_mut();
        counters.retain(|_, counters| !counters.is_retired());
        drop(counters);
        self.snapshot.replace(Rc::new(Snapshot(graph)));
        // Ended tunnels leave their result behind until somebody takes it.
        self.reap();
    }

    /// Forgets the tunnels that have ended.
    pub(super) fn reap(&self) {
        while self.tunnels.borrow_mut().try_join_next().is_some() {}
    }
}
