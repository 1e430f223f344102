//! What connections to upstreams are counted as. Every worker writes counters of its own; a scrape adds them up.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::error::Failure;

/// The numbers of one worker. Only that worker writes them.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) opened: Count,
    pub(super) closed: Count,
    pub(super) failed: Failed,
    pub(super) idle: Count,
    pub(super) replays: Count,
    /// As routes ask for.
    pub(super) retries: Count,
    pub(super) retries_refused: Count,
    /// Requests beyond the limits of an upstream.
    pub(super) refused: Count,
}

/// Attempts to connect that failed, by cause.
#[derive(Debug, Default)]
pub(super) struct Failed {
    dns: Count,
    refused: Count,
    connect: Count,
    timeout: Count,
    tls: Count,
}

/// A number with one writer: no read-modify-write is needed, and no other core touches its cache line but to scrape.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

/// The counters of all workers that ever were.
#[derive(Clone, Debug, Default)]
pub(super) struct Workers(Arc<Mutex<Vec<Arc<Counters>>>>);

// === impl Count ===

impl Count {
    pub(super) fn increase(&self) {
        self.0.store(self.get() + 1, Relaxed);
    }

    pub(super) fn set(&self, value: usize) {
        self.0.store(value as u64, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

// === impl Failed ===

impl Failed {
    pub(super) fn by(&self, failure: Failure) -> &Count {
        match failure {
            Failure::Dns => &self.dns,
            Failure::Refused => &self.refused,
            Failure::Connect => &self.connect,
            Failure::Timeout => &self.timeout,
            Failure::Tls => &self.tls,
        }
    }
}

// === impl Failure ===

impl Failure {
    const ALL: [Self; 5] = [
        Self::Dns,
        Self::Refused,
        Self::Connect,
        Self::Timeout,
        Self::Tls,
    ];

    fn label(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
        }
    }
}

// === impl Workers ===

impl Workers {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let workers = Self::default();
        registry.register_collector(Box::new(workers.clone()));
        workers
    }

    /// The counters of a new worker.
    pub(super) fn join(&self) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.0.lock().push(counters.clone());
        counters
    }

    fn sum(&self, number: impl Fn(&Counters) -> &Count) -> u64 {
        self.0
            .lock()
            .iter()
            .map(|counters| number(counters).get())
            .sum()
    }
}

impl Collector for Workers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counter = |metric: MetricEncoder<'_>, value| ConstCounter::new(value).encode(metric);
        counter(
            encoder.encode_descriptor(
                "upstream_connections_opened",
                "Connections to upstreams that were opened",
                None,
                MetricType::Counter,
            )?,
            self.sum(|counters| &counters.opened),
        )?;
        counter(
            encoder.encode_descriptor(
                "upstream_connections_closed",
                "Connections to upstreams that were closed, by either side",
                None,
                MetricType::Counter,
            )?,
            self.sum(|counters| &counters.closed),
        )?;
        counter(
            encoder.encode_descriptor(
                "upstream_replays",
                "Requests that were sent once more, because their connection ended before a response",
                None,
                MetricType::Counter,
            )?,
            self.sum(|counters| &counters.replays),
        )?;
        counter(
            encoder.encode_descriptor(
                "upstream_retries",
                "Requests that were sent once more, as the retryPolicy of their route asks for",
                None,
                MetricType::Counter,
            )?,
            self.sum(|counters| &counters.retries),
        )?;
        counter(
            encoder.encode_descriptor(
                "upstream_retries_refused",
                "Requests that were not sent once more, because too many were already",
                None,
                MetricType::Counter,
            )?,
            self.sum(|counters| &counters.retries_refused),
        )?;
        counter(
            encoder.encode_descriptor(
                "upstream_circuit_open",
                "Requests that were not sent, because as much as may be was under way to their upstream",
                None,
                MetricType::Counter,
            )?,
            self.sum(|counters| &counters.refused),
        )?;
        let mut failed = encoder.encode_descriptor(
            "upstream_connections_failed",
            "Connections to upstreams that could not be opened, by cause",
            None,
            MetricType::Counter,
        )?;
        for failure in Failure::ALL {
            let value = self.sum(|counters| counters.failed.by(failure));
            counter(failed.encode_family(&[("cause", failure.label())])?, value)?;
        }
        let idle = encoder.encode_descriptor(
            "upstream_connections_idle",
            "HTTP/1 connections to upstreams that wait for a request",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(self.sum(|counters| &counters.idle)).encode(idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics;

    #[test]
    fn a_scrape_adds_up_what_the_workers_counted() {
        let mut registry = metrics::registry();
        let workers = Workers::register(&mut registry);
        let (one, two) = (workers.join(), workers.join());
        one.opened.increase();
        two.opened.increase();
        two.idle.set(3);
        two.failed.by(Failure::Tls).increase();
        drop(two);
        let text = metrics::render(&registry);
        for line in [
            "postern_upstream_connections_opened_total 2",
            "postern_upstream_connections_closed_total 0",
            "postern_upstream_connections_failed_total{cause=\"tls\"} 1",
            "postern_upstream_connections_failed_total{cause=\"dns\"} 0",
            "postern_upstream_connections_idle 3",
            "postern_upstream_replays_total 0",
        ] {
            assert!(
                text.contains(&format!("{line}\n")),
                "no {line:?} in\n{text}"
            );
        }
    }
}
