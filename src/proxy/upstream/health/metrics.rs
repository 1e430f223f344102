//! The health of all upstreams, and what it is counted as.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use tokio::time::Instant;

use super::Judged;
use crate::{
    graph::{UpstreamId, health::Health},
    proxy::upstream::kept::Kept,
};

/// Those of the process.
#[derive(Clone, Debug, Default)]
pub(in crate::proxy::upstream) struct Healths(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    judged: Kept<UpstreamId, Judged>,
    ejections: Arc<AtomicU64>,
    passed: AtomicU64,
    failed: AtomicU64,
}

impl Healths {
    pub(in crate::proxy::upstream) fn register(registry: &mut Registry) -> Self {
        let healths = Self::default();
        registry.register_collector(Box::new(healths.clone()));
        healths
    }

    pub(in crate::proxy::upstream) fn of(
        &self,
        id: &UpstreamId,
        health: &Arc<Health>,
    ) -> Arc<Judged> {
        let Inner {
            judged, ejections, ..
        } = &*self.0;
        let new = || Judged::new(health.clone(), ejections.clone());
        judged.of(id.clone(), new)
    }

    pub(super) fn answered(&self, passed: bool) {
        let Inner {
            passed: yes,
            failed: no,
            ..
        } = &*self.0;
        if passed { yes } else { no }.fetch_add(1, Relaxed);
    }
}

impl Collector for Healths {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Inner {
            judged,
            ejections,
            passed,
            failed,
        } = &*self.0;
        let now = Instant::now();
        let (mut failing, mut ejected, mut panicking) = (0, 0, 0_u64);
        for judged in judged.all() {
            let (fail, out, panics) = judged.count(now);
            failing += fail;
            ejected += out;
            panicking += u64::from(panics);
        }
        let mut checks = encoder.encode_descriptor(
            "upstream_health_checks",
            "Requests that found out whether an endpoint works, by their result",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in [("passed", passed), ("failed", failed)] {
            let count = ConstCounter::new(count.load(Relaxed));
            count.encode(checks.encode_family(&[("result", result)])?)?;
        }
        let counter = encoder.encode_descriptor(
            "upstream_ejections",
            "How often an endpoint was left out for what became of requests",
            None,
            MetricType::Counter,
        )?;
        ConstCounter::new(ejections.load(Relaxed)).encode(counter)?;
        for (name, help, value) in [
            (
                "upstream_endpoints_failing",
                "Endpoints that fail a health check",
                failing,
            ),
            (
                "upstream_endpoints_ejected",
                "Endpoints that are left out for what became of requests",
                ejected,
            ),
            (
                "upstream_panicking",
                "Upstreams of whose endpoints all are used, because fewer than half work",
                panicking,
            ),
        ] {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(gauge)?;
        }
        Ok(())
    }
}
