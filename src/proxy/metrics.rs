//! The families of the data plane, all declared here.
//!
//! Each worker has counters of its own for each Listener, which it alone writes; a scrape sums them. So counting a request
//! touches no cache line of another core.

mod routes;
mod tcp;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::StatusCode;
use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::{Graphs, error::Reason};
use crate::graph::Graph;
use routes::Routes;
pub(super) use routes::{RouteCounters, WorkerRoutes};
pub(super) use tcp::TcpCounters;

/// Upper bounds of the durations that are told apart, in seconds.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

const REASONS: usize = Reason::ALL.len();

/// A number that one thread alone changes: no read-modify-write is needed.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self, more: u64) {
        self.0.store(self.get().wrapping_add(more), Relaxed);
    }

    pub(super) fn subtract(&self, less: u64) {
        self.0.store(self.get().wrapping_sub(less), Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What one worker counts on one Listener. Aligned so that no two workers write to one pair of cache lines.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Counters {
    listener: Arc<str>,
    /// By class, then by reason.
    requests: [[Count; REASONS]; CLASSES.len()],
    durations: [Count; BUCKETS.len() + 1],
    nanoseconds: Count,
    pub(super) request_bytes: Count,
    pub(super) response_bytes: Count,
    /// Connections now, ever, and refused before they had a request.
    pub(super) connections: Count,
    pub(super) accepted: Count,
    pub(super) handshakes_failed: Count,
    /// Copies of requests.
    pub(super) shadows_sent: Count,
    pub(super) shadows_dropped: Count,
    pub(super) tcp: TcpCounters,
    /// The Listener has left the graph.
    retired: AtomicBool,
}

impl Counters {
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    fn new(listener: Arc<str>) -> Self {
        Self {
            listener,
            requests: Default::default(),
            durations: Default::default(),
            nanoseconds: Count::default(),
            request_bytes: Count::default(),
            response_bytes: Count::default(),
            connections: Count::default(),
            accepted: Count::default(),
            handshakes_failed: Count::default(),
            shadows_sent: Count::default(),
            shadows_dropped: Count::default(),
            tcp: TcpCounters::default(),
            retired: AtomicBool::new(false),
        }
    }

    /// Takes in what another has counted, which nobody counts in any more.
    fn absorb(&self, other: &Self) {
        let requests = self.requests.iter().flatten();
        for (mine, others) in requests.zip(other.requests.iter().flatten()) {
            mine.add(others.get());
        }
        for (mine, others) in self.durations.iter().zip(&other.durations) {
            mine.add(others.get());
        }
        self.nanoseconds.add(other.nanoseconds.get());
        self.tcp.absorb(&other.tcp);
        for (.., of) in FAMILIES {
            of(self).add(of(other).get());
        }
    }

    /// A request has ended.
    pub(super) fn ended(&self, status: StatusCode, reason: Reason, took: Duration) {
        self.requests[class_of(status)][reason.index()].add(1);
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.partition_point(|bound| *bound < seconds);
        self.durations[bucket].add(1);
        self.nanoseconds
            .add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// The place of a status in [`CLASSES`].
fn class_of(status: StatusCode) -> usize {
    let class = usize::from(status.as_u16() / 100).saturating_sub(1);
    class.min(CLASSES.len() - 1)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a sum of durations that large has lost nothing that matters"
)]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// The counters of all workers.
#[derive(Clone, Debug)]
pub(super) struct Metrics {
    counters: Arc<Mutex<Vec<Arc<Counters>>>>,
    /// Of the Listeners that are gone and have no connection left.
    gone: Arc<Counters>,
    graphs: Option<Graphs>,
    routes: Routes,
    log_lines_dropped: Arc<AtomicU64>,
}

impl Metrics {
    /// Metrics of so many routes at most. Without graphs neither routes nor Listeners are ever forgotten.
    pub(super) fn register(registry: &mut Registry, routes: usize, graphs: Option<Graphs>) -> Self {
        let metrics = Self {
            counters: Arc::default(),
            gone: Arc::new(Counters::new(GONE.into())),
            routes: Routes::new(routes, graphs.clone()),
            graphs,
            log_lines_dropped: Arc::default(),
        };
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// Counters for one worker and Listener. When the Listener has left the graph they are retired: what was counted in them
    /// goes on as that of all Listeners that are gone.
    pub(super) fn counters(&self, listener: &Arc<str>) -> Arc<Counters> {
        let counters = Arc::new(Counters::new(listener.clone()));
        self.counters.lock().push(counters.clone());
        counters
    }

    /// Where one worker counts the requests of routes.
    pub(super) fn routes(&self) -> WorkerRoutes {
        self.routes.worker()
    }

    pub(super) fn dropped_log_lines(&self) -> &Arc<AtomicU64> {
        &self.log_lines_dropped
    }

    fn by_listener(&self) -> Listeners {
        let graph = self
            .graphs
            .as_ref()
            .and_then(|graphs| graphs.borrow().clone());
        let is_gone = |name: &str| {
            let there = |graph: &Arc<Graph>| graph.listeners.iter().any(|at| &*at.name == name);
            graph.as_ref().is_some_and(|graph| !there(graph))
        };
        let mut listeners = Listeners::new();
        self.counters.lock().retain(|counters| {
            if is_gone(&counters.listener) {
                counters.retired.store(true, Relaxed);
            }
            // The list's own is the last: no worker and no connection counts in it any more.
            if counters.is_retired() && Arc::strong_count(counters) == 1 {
                self.gone.absorb(counters);
                return false;
            }
            let name = if counters.is_retired() {
                self.gone.listener.clone()
            } else {
                counters.listener.clone()
            };
            listeners.entry(name).or_default().push(counters.clone());
            true
        });
        if self.gone.accepted.get() > 0 {
            let gone = listeners.entry(self.gone.listener.clone()).or_default();
            gone.push(self.gone.clone());
        }
        listeners
    }
}

type Listeners = BTreeMap<Arc<str>, Vec<Arc<Counters>>>;

/// Stands for the Listeners that have left the graph.
const GONE: &str = "_gone";

/// One number of each Listener: name, help, kind and where it is.
type Family = (
    &'static str,
    &'static str,
    MetricType,
    fn(&Counters) -> &Count,
);

const FAMILIES: [Family; 10] = [
    (
        "connections",
        "Connections of clients that are open",
        MetricType::Gauge,
        |counters| &counters.connections,
    ),
    (
        "connections_accepted",
        "Connections of clients that were taken",
        MetricType::Counter,
        |counters| &counters.accepted,
    ),
    (
        "tls_handshakes_failed",
        "TLS handshakes that clients did not finish, or that were refused",
        MetricType::Counter,
        |counters| &counters.handshakes_failed,
    ),
    (
        "request_body_bytes",
        "Bytes of request bodies that were passed on",
        MetricType::Counter,
        |counters| &counters.request_bytes,
    ),
    (
        "response_body_bytes",
        "Bytes of response bodies that were passed on",
        MetricType::Counter,
        |counters| &counters.response_bytes,
    ),
    (
        "shadow_requests",
        "Copies of requests that were sent to a Mapping with `shadow`",
        MetricType::Counter,
        |counters| &counters.shadows_sent,
    ),
    (
        "shadow_requests_dropped",
        "Copies of requests that were not sent, because too many were under way",
        MetricType::Counter,
        |counters| &counters.shadows_dropped,
    ),
    (
        "tcp_connections",
        "Connections of TCPMappings that are open",
        MetricType::Gauge,
        |counters| &counters.tcp.open,
    ),
    (
        "tcp_received_bytes",
        "Bytes of clients that TCPMappings have passed on",
        MetricType::Counter,
        |counters| &counters.tcp.received,
    ),
    (
        "tcp_sent_bytes",
        "Bytes of upstreams that TCPMappings have passed on",
        MetricType::Counter,
        |counters| &counters.tcp.sent,
    ),
];

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let listeners = self.by_listener();
        for (name, help, kind, of) in FAMILIES {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (listener, counters) in &listeners {
                let value: u64 = counters.iter().map(|counters| of(counters).get()).sum();
                let series = [("listener", &**listener)];
                let series = family.encode_family(&series)?;
                match kind {
                    MetricType::Gauge => ConstGauge::new(value).encode(series)?,
                    _ => ConstCounter::new(value).encode(series)?,
                }
            }
        }
        encode_requests(&mut encoder, &listeners)?;
        encode_durations(&mut encoder, &listeners)?;
        tcp::encode(&mut encoder, &listeners)?;
        self.routes.encode(&mut encoder)?;
        let dropped = ConstCounter::new(self.log_lines_dropped.load(Relaxed));
        let family = encoder.encode_descriptor(
            "access_log_lines_dropped",
            "Lines of the access log that were not written, because writing could not keep up or failed",
            None,
            dropped.metric_type(),
        )?;
        dropped.encode(family)
    }
}

fn encode_requests(
    encoder: &mut DescriptorEncoder<'_>,
    listeners: &Listeners,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "requests",
        "Requests that have ended, by class of the status and by what ended them",
        None,
        MetricType::Counter,
    )?;
    for (listener, counters) in listeners {
        for (class, code) in CLASSES.into_iter().enumerate() {
            for (reason, word) in Reason::ALL {
                let count =
                    |counters: &Arc<Counters>| counters.requests[class][reason.index()].get();
                let value: u64 = counters.iter().map(count).sum();
                if value > 0 {
                    let series = [("listener", &**listener), ("code", code), ("reason", word)];
                    ConstCounter::new(value).encode(family.encode_family(&series)?)?;
                }
            }
        }
    }
    Ok(())
}

fn encode_durations(
    encoder: &mut DescriptorEncoder<'_>,
    listeners: &Listeners,
) -> Result<(), fmt::Error> {
    let mut family = encoder.encode_descriptor(
        "request_duration_seconds",
        "From the head of a request to the end of its response",
        None,
        MetricType::Histogram,
    )?;
    for (listener, counters) in listeners {
        let bounds = BUCKETS.into_iter().chain([f64::INFINITY]).enumerate();
        let buckets: Vec<(f64, u64)> = bounds
            .map(|(bucket, bound)| {
                let count = |counters: &Arc<Counters>| counters.durations[bucket].get();
                (bound, counters.iter().map(count).sum())
            })
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let nanoseconds: u64 = counters.iter().map(|each| each.nanoseconds.get()).sum();
        family
            .encode_family(&[("listener", &**listener)])?
            .encode_histogram::<NoLabelSet>(seconds(nanoseconds), count, &buckets, None)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::{proxy::testing, telemetry::metrics};

    #[test]
    fn the_counters_of_all_workers_are_summed() {
        let mut registry = metrics::registry();
        let metrics = Metrics::register(&mut registry, 0, None);
        let listener = "web".into();
        for _ in 0..2 {
            let counters = metrics.counters(&listener);
            counters.connections.add(3);
            counters.connections.subtract(1);
            counters.ended(StatusCode::OK, Reason::Upstream, Duration::from_millis(3));
            counters.ended(
                StatusCode::NOT_FOUND,
                Reason::NoRoute,
                Duration::from_secs(100),
            );
        }
        let text = metrics::render(&registry);
        for line in [
            "postern_connections{listener=\"web\"} 4",
            "postern_requests_total{listener=\"web\",code=\"2xx\",reason=\"upstream\"} 2",
            "postern_requests_total{listener=\"web\",code=\"4xx\",reason=\"no_route\"} 2",
            "postern_request_duration_seconds_bucket{le=\"0.005\",listener=\"web\"} 2",
            "postern_request_duration_seconds_bucket{le=\"+Inf\",listener=\"web\"} 4",
            "postern_request_duration_seconds_sum{listener=\"web\"} 200.006",
            "postern_access_log_lines_dropped_total 0",
        ] {
            assert!(
                text.contains(&format!("\n{line}\n")),
                "no {line:?} in\n{text}"
            );
        }
    }

    #[test]
    fn listeners_that_are_gone_are_counted_together() {
        let (graphs, receiver) = watch::channel(None);
        let mut registry = metrics::registry();
        let metrics = Metrics::register(&mut registry, 0, Some(receiver));
        let mut connection = None;
        for name in ["a", "b", "web"] {
            let counters = metrics.counters(&name.into());
            counters.accepted.add(2);
            counters.connections.add(1);
            connection.get_or_insert(counters);
        }
        let told = || {
            let text = metrics::render(&registry);
            let lines = text.lines().filter(|line| line.contains("listener="));
            let of = |line: &&str| line.starts_with("postern_connections");
            lines.filter(of).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(told().len(), 6);
        let listener = Arc::new(testing::listener());
        graphs.send_replace(Some(Arc::new(Graph {
            listeners: vec![listener],
            ..Graph::default()
        })));
        let lines = |open: u64| {
            [
                format!("postern_connections{{listener=\"_gone\"}} {open}"),
                "postern_connections{listener=\"web\"} 1".to_owned(),
                "postern_connections_accepted_total{listener=\"_gone\"} 4".to_owned(),
                "postern_connections_accepted_total{listener=\"web\"} 2".to_owned(),
            ]
        };
        assert_eq!(told(), lines(2));
        // What still runs is counted.
        connection.unwrap().connections.subtract(1);
        assert_eq!(told(), lines(1));
        assert_eq!(metrics.counters.lock().len(), 1);
    }
}
