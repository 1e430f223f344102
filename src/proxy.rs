//! The data plane: takes connections on the Listeners of the graph and serves them.

pub mod upstream;

use std::{
    collections::BTreeMap, io, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration,
};

use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::{
    config::{AccessLog, Bind},
    graph::Graph,
    telemetry::health::Health,
};

/// What the proxy is told at start.
#[derive(Clone, Debug)]
pub struct Options {
    pub workers: NonZeroUsize,
    /// Where the Listeners with a port are bound; the others on every address.
    pub binds: Vec<Bind>,
    pub drain_delay: Duration,
    pub drain_timeout: Duration,
    pub access_log: AccessLog,
    /// What `%HOSTNAME%` stands for: the name of the machine or pod.
    pub hostname: Arc<str>,
}

/// The running workers.
#[derive(Debug)]
pub struct Proxy {}

/// The graph in use, and those to come. None until the first compile.
pub type Graphs = watch::Receiver<Option<Arc<Graph>>>;

impl Proxy {
    /// Starts the workers. They bind the Listeners of the first graph, and tell `health` when all are bound.
    pub fn start(
        _options: Options,
        _graphs: Graphs,
        _health: Health,
        _registry: &mut Registry,
    ) -> io::Result<Self> {
        Ok(Self {})
    }

    /// Where the Listeners are bound, by their port.
    pub fn addresses(&self) -> watch::Receiver<BTreeMap<u16, SocketAddr>> {
        watch::channel(BTreeMap::new()).1
    }

    /// Waits until a worker ends that should not: why the process cannot go on.
    pub async fn failed(&self) -> String {
        std::future::pending().await
    }

    /// Stops: readiness goes off, new connections are served for the drain delay, then accept queues are emptied and what runs
    /// is finished, for the drain timeout at most. Returns how many requests were cut off.
    pub async fn drain(self) -> u64 {
        0
    }
}
