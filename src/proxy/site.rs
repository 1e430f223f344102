//! What the connections of one worker share.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
};

use tokio::task::JoinSet;

use super::{access_log::Logger, drain::Gate, forward::Upstreams, tls::Certificates};
use crate::graph::Graph;

/// One for each worker, on its thread.
pub(super) struct Site<U> {
    pub(super) upstreams: U,
    /// A worker counts its own references: no request touches the count that all workers share.
    graph: RefCell<Rc<Arc<Graph>>>,
    pub(super) certificates: Certificates,
    pub(super) hostname: Arc<str>,
    pub(super) log: Option<Logger>,
    /// Requests that run.
    pub(super) running: Rc<Cell<u64>>,
    /// Connections that have become tunnels.
    pub(super) tunnels: RefCell<JoinSet<()>>,
    pub(super) gate: Rc<Gate>,
}

impl<U> std::fmt::Debug for Site<U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").finish_non_exhaustive()
    }
}

impl<U: Upstreams> Site<U> {
    pub(super) fn new(
        upstreams: U,
        certificates: Certificates,
        hostname: Arc<str>,
        log: Option<Logger>,
    ) -> Self {
        Self {
            upstreams,
            graph: RefCell::default(),
            certificates,
            hostname,
            log,
            running: Rc::default(),
            tunnels: RefCell::default(),
            gate: Rc::default(),
        }
    }

    /// The snapshot in use.
    pub(super) fn graph(&self) -> Rc<Arc<Graph>> {
        self.graph.borrow().clone()
    }

    /// Takes a new snapshot into use. What runs keeps the one that it began with.
    pub(super) fn swap(&self, graph: Arc<Graph>) {
        self.upstreams.sweep(&graph);
        self.certificates.sweep(&graph);
        self.graph.replace(Rc::new(graph));
        // Ended tunnels leave their result behind until somebody takes it.
        self.reap();
    }

    /// Forgets the tunnels that have ended.
    pub(super) fn reap(&self) {
        while self.tunnels.borrow_mut().try_join_next().is_some() {}
    }
}
