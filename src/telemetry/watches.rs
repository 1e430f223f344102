//! Metrics about the watches of the API server: how often they failed, and since when each has heard nothing.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use parking_lot::RwLock;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use tokio::time::Instant;

/// The metrics by watch, named as in `postern_watch_resource_version`. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct WatchMetrics {
    watches: Arc<RwLock<BTreeMap<Arc<str>, Watch>>>,
    /// Of the kept set in use: how old it was, and when that was found out.
    kept: Arc<RwLock<Option<(Duration, Instant)>>>,
}

#[derive(Debug, Default)]
struct Watch {
    errors: u64,
    heard: Option<Instant>,
}

// === impl WatchMetrics ===

impl WatchMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// The API server has answered.
    pub fn alive(&self, watch: &Arc<str>) {
        let mut watches = self.watches.write();
        watches.entry(watch.clone()).or_default().heard = Some(Instant::now());
    }

    /// A list or a watch has failed, and will be tried again.
    pub fn failed(&self, watch: &Arc<str>) {
        let mut watches = self.watches.write();
        watches.entry(watch.clone()).or_default().errors += 1;
    }

    /// A set that was kept by an earlier process, this long ago, is in use; none: it is not any more.
    pub fn kept(&self, age: Option<Duration>) {
        *self.kept.write() = age.map(|age| (age, Instant::now()));
    }

    /// There is nothing to watch any more.
    pub fn ended(&self, watch: &str) {
        self.watches.write().remove(watch);
    }
}

impl Collector for WatchMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let watches = self.watches.read();
        let mut errors = encoder.encode_descriptor(
            "watch_errors",
            "Lists and watches of the API server that failed and were tried again, by watch",
            None,
            ConstCounter::new(0_u64).metric_type(),
        )?;
        for (name, watch) in &*watches {
            let labels = [("watch", &**name)];
            ConstCounter::new(watch.errors).encode(errors.encode_family(&labels)?)?;
        }
        let mut ages = encoder.encode_descriptor(
            "watch_age_seconds",
            "Seconds since the API server has answered, by watch; above 60 it is away",
            None,
            ConstGauge::new(0_f64).metric_type(),
        )?;
        for (name, watch) in &*watches {
            let Some(heard) = watch.heard else { continue };
            let labels = [("watch", &**name)];
            let age = ConstGauge::new(heard.elapsed().as_secs_f64());
            age.encode(ages.encode_family(&labels)?)?;
        }
        if let Some((age, found)) = *self.kept.read() {
            let age = ConstGauge::new((age + found.elapsed()).as_secs_f64());
            let metric = encoder.encode_descriptor(
                "config_kept_age_seconds",
                "Seconds since the configuration in use was kept by an earlier process; only there while the API server has been \
                 away since the start",
                None,
                age.metric_type(),
            )?;
            age.encode(metric)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::metrics::{registry, render};

    #[tokio::test(start_paused = true)]
    async fn a_scrape_tells_errors_and_silence_by_watch() {
        let mut registry = registry();
        let metrics = WatchMetrics::register(&mut registry);
        let (mappings, hosts): (Arc<str>, Arc<str>) =
            ("mappings.postern.dev".into(), "hosts".into());
        metrics.failed(&hosts);
        metrics.failed(&hosts);
        metrics.alive(&mappings);
        tokio::time::advance(Duration::from_secs(3)).await;
        let text = render(&registry);
        for line in [
            "postern_watch_errors_total{watch=\"hosts\"} 2",
            "postern_watch_errors_total{watch=\"mappings.postern.dev\"} 0",
            "postern_watch_age_seconds{watch=\"mappings.postern.dev\"} 3.0",
        ] {
            assert!(text.contains(line), "no {line:?} in\n{text}");
        }
        assert!(!text.contains("age_seconds{watch=\"hosts\""), "{text}");
        assert!(!text.contains("kept_age_seconds "), "{text}");
        metrics.kept(Some(Duration::from_mins(1)));
        tokio::time::advance(Duration::from_secs(2)).await;
        let line = "postern_config_kept_age_seconds 62.0";
        assert!(render(&registry).contains(line), "{}", render(&registry));
        metrics.kept(None);
        assert!(!render(&registry).contains(line));
        metrics.ended("hosts");
        assert!(!render(&registry).contains("watch=\"hosts\""));
    }
}
