//! The data plane: takes connections on the Listeners of the graph and serves them.
//!
//! A thread per core: each worker has a runtime, sockets, upstream pools and counters of its own, and no request touches
//! what another worker writes. `docs/architecture/proxy.md` draws the way of a request and lists all limits.
//!
//! ```text
//! Proxy ─> Worker (thread) ─┬─> Acceptor (one for each Listener) ─> connection (task) ─> exchange (request)
//!                           └─> Site: snapshot, pools, counters ──────────────────────────┘
//! ```

mod accept;
mod access_log;
mod affinity;
mod alarm;
mod base64;
mod bind;
mod body;
mod client_certificate;
mod compression;
mod connection;
mod cors;
mod drain;
mod edits;
mod envoy;
mod error;
mod exchange;
mod forward;
mod forwarding;
mod framing;
mod grpc;
mod guard;
mod health;
mod limits;
mod metrics;
mod peer;
mod prefixed;
mod recode;
mod record;
mod reply;
mod retry;
mod shadow;
mod site;
mod survey;
mod tcp;
mod terms;
mod tls;
mod upgrade;
pub mod upstream;
mod worker;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    num::NonZeroUsize,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use prometheus_client::registry::Registry;
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::{Instant, sleep},
};

use crate::{
    config::{AccessLog, Bind},
    graph::Graph,
    telemetry::{health::Health, logs::message_of},
};

use access_log::Logger;
use bind::Bindings;
use metrics::Metrics;
use site::{Common, Site};
use tls::Certificates;
use upstream::{Pools, Shared};
use worker::Orders;

/// What the proxy is told at start.
#[derive(Clone, Debug)]
pub struct Options {
    pub workers: NonZeroUsize,
    /// Where the Listeners with a port are bound; the others on every address.
    pub binds: Vec<Bind>,
    pub drain_delay: Duration,
    pub drain_timeout: Duration,
    pub access_log: AccessLog,
    /// How many routes have metrics of their own; none with 0.
    pub route_metrics: usize,
    /// What `%HOSTNAME%` stands for: the name of the machine or pod.
    pub hostname: Arc<str>,
    /// Where it runs, if that is known.
    pub zone: Option<Arc<str>>,
}

/// The running workers.
#[derive(Debug)]
pub struct Proxy {
    workers: usize,
    drain_delay: Duration,
    drain_timeout: Duration,
    health: Health,
    bindings: Arc<Bindings>,
    drain: watch::Sender<Option<Instant>>,
    ended: Mutex<mpsc::Receiver<Ended>>,
}

/// The graph in use, and those to come. None until the first compile.
pub type Graphs = watch::Receiver<Option<Arc<Graph>>>;

/// How a worker ended.
#[derive(Debug)]
struct Ended {
    worker: String,
    /// How many requests it cut off, or what went wrong.
    result: Result<u64, String>,
}

/// Why the proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("opening the access log {}; choose another file with `--access-log`", path.display())]
    AccessLog {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("starting the threads that serve traffic")]
    Threads(#[source] io::Error),
}

/// After the drain timeout a worker is waited for no longer than this: it may hang in what it does.
const LAST_MOMENT: Duration = Duration::from_secs(1);

impl Proxy {
    /// Starts the workers. They bind the Listeners of the first graph, and tell `health` when they have tried to bind all.
    pub fn start(
        options: Options,
        graphs: Graphs,
        health: Health,
        registry: &mut Registry,
    ) -> Result<Self, StartError> {
        let workers = options.workers.get();
        let metrics = Metrics::register(registry, options.route_metrics, Some(graphs.clone()));
        let common = Common {
            certificates: Certificates::default(),
            hostname: options.hostname,
            log: Logger::start(&options.access_log, metrics.dropped_log_lines().clone())?,
            metrics,
        };
        let shared = Shared::new(options.zone, registry).map_err(StartError::Threads)?;
        let bindings = Bindings::new(options.binds, workers, health.clone());
        bindings.register(registry);
        let (drain, draining) = watch::channel(None);
        let orders = Orders {
            graphs,
            bindings,
            drain: draining,
            connections: limits::CONNECTIONS.div_ceil(workers),
        };
        let (ending, ended) = mpsc::channel(workers + 1);
        let asking = (shared.clone(), orders.graphs.clone());
        health::start(asking, ending.clone()).map_err(StartError::Threads)?;
        let proxy = Self {
            workers,
            drain_delay: options.drain_delay,
            drain_timeout: options.drain_timeout,
            health,
            bindings: orders.bindings.clone(),
            drain,
            ended: Mutex::new(ended),
        };
        for worker in 0..workers {
            let (orders, common, shared) = (orders.clone(), common.clone(), shared.clone());
            let site = move || Site::new(Pools::new(shared), common);
            spawn(worker, ending.clone(), move || {
                worker::run(worker, orders, site)
            })
            .map_err(StartError::Threads)?;
        }
        Ok(proxy)
    }

    /// Where the Listeners are reached that are bound now, by their ports.
    pub fn addresses(&self) -> BTreeMap<u16, SocketAddr> {
        self.bindings.addresses()
    }

    /// Tells, whenever it is asked, which ports of Listeners could not be bound.
    pub fn unbound(&self) -> impl Fn() -> BTreeSet<u16> + Send + Sync + use<> {
        let bindings = self.bindings.clone();
        move || bindings.unbound()
    }

    /// Waits until a worker ends that should not: why the process cannot go on.
    pub async fn failed(&self) -> String {
        match self.ended.lock().await.recv().await {
            Some(Ended { worker, result }) => {
                let why = result.err().unwrap_or_else(|| "it ended".to_owned());
                format!("{worker} failed: {why}")
            }
            None => "all workers ended".to_owned(),
        }
    }

    /// Stops: readiness goes off, new connections are served for the drain delay, then accept queues are emptied and what runs
    /// is finished, for the drain timeout at most. Returns how many requests were cut off.
    pub async fn drain(self) -> u64 {
        self.health.draining();
        tracing::info!(delay = ?self.drain_delay, timeout = ?self.drain_timeout, "Draining");
        sleep(self.drain_delay).await;
        let deadline = Instant::now() + self.drain_timeout;
        self.drain.send_replace(Some(deadline));
        let mut ended = self.ended.lock().await;
        let mut cut = 0;
        for _ in 0..self.workers {
            let last = tokio::time::timeout_at(deadline + LAST_MOMENT, ended.recv()).await;
            match last {
                Ok(Some(Ended { result, .. })) => cut += result.unwrap_or(0),
                Ok(None) | Err(_) => break,
            }
        }
        tracing::info!(requests.cut = cut, "Drained");
        cut
    }
}

/// Registers the metrics of a proxy that never starts: for those who list them.
pub fn describe_metrics(registry: &mut Registry) {
    Metrics::register(registry, 0, None);
    Bindings::new(Vec::new(), 0, Health::new()).register(registry);
    upstream::describe_metrics(registry);
}

/// Runs a worker on a thread of its own, and tells how it ended, whatever happens.
fn spawn(
    worker: usize,
    ending: mpsc::Sender<Ended>,
    run: impl FnOnce() -> io::Result<u64> + Send + 'static,
) -> io::Result<()> {
    let thread = std::thread::Builder::new().name(format!("worker-{worker}"));
    let body = move || {
        let run = std::panic::AssertUnwindSafe(run);
        let result = match std::panic::catch_unwind(run) {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(panic) => Err(message_of(&*panic).to_owned()),
        };
        // There is room for every worker; without a receiver the process ends anyway.
        let _ = ending.try_send(Ended {
            worker: format!("worker {worker}"),
            result,
        });
    };
    thread.spawn(body).map(|_| ())
}
