//! What the status writer tells Prometheus.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use parking_lot::RwLock;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};
use tokio::time::Instant;

use super::fleet::Census;

/// More replicas than this are not told apart: the first ones have a series.
const MAX_REPLICAS: usize = 100;

/// The replicas that are behind, by the names of their Leases.
pub(super) type Behind = BTreeMap<Arc<str>, Lateness>;

/// Of a replica that is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lateness {
    pub(super) since: Instant,
    /// A watch in which it has missed something.
    pub(super) watch: Arc<str>,
}

/// The families of the status writer. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct StatusMetrics {
    writes: Family<Labels, Counter>,
    leader: Gauge,
    unsettled: Gauge,
    replicas: Arc<RwLock<Option<Replicas>>>,
}

/// What a leader knows of the replicas.
#[derive(Debug, Default)]
struct Replicas {
    census: Census,
    behind: Behind,
}

#[derive(Debug)]
struct ReplicasCollector(Arc<RwLock<Option<Replicas>>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    result: &'static str,
}

impl StatusMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "status_writes",
            "Attempts to bring the status of an object up to date, by result",
            metrics.writes.clone(),
        );
        registry.register(
            "status_leader",
            "1 while this replica writes the status of objects",
            metrics.leader.clone(),
        );
        registry.register(
            "status_unsettled_objects",
            "Objects whose status does not say yet what it should; 0 on a replica that does not lead",
            metrics.unsettled.clone(),
        );
        registry.register_collector(Box::new(ReplicasCollector(metrics.replicas.clone())));
        metrics
    }

    pub(super) fn finished(&self, result: &'static str) {
        self.writes.get_or_create(&Labels { result }).inc();
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if !leads {
            self.unsettled.set(0);
            *self.replicas.write() = None;
        }
    }

    pub(super) fn replicas(&self, census: Census, behind: Behind) {
        *self.replicas.write() = Some(Replicas { census, behind });
    }

    /// What a leader knows of those that have been behind for longer than this; at most as many as have a series.
    pub(super) fn late(&self, longer: Duration) -> Behind {
        let replicas = self.replicas.read();
        let behind = replicas.iter().flat_map(|replicas| &replicas.behind);
        let late = behind.filter(|(_, late)| late.since.elapsed() >= longer);
        late.take(MAX_REPLICAS)
            .map(|(name, late)| (Arc::clone(name), late.clone()))
            .collect()
    }

    pub(super) fn unsettled(&self, objects: usize) {
        self.unsettled
            .set(i64::try_from(objects).unwrap_or(i64::MAX));
    }
}

impl Collector for ReplicasCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let replicas = self.0.read();
        let gauge = ConstGauge::new(0_u64).metric_type();
        let mut counts = encoder.encode_descriptor(
            "replicas",
            "Replicas of the installation by what their Leases say; on the replica that leads",
            None,
            gauge,
        )?;
        if let Some(Replicas { census, .. }) = &*replicas {
            for (state, count) in [
                ("ready", census.ready),
                ("unready", census.unready),
                ("expired", census.expired),
            ] {
                let count = ConstGauge::new(u64::try_from(count).unwrap_or(u64::MAX));
                count.encode(counts.encode_family(&[("state", state)])?)?;
            }
        }
        let mut behind = encoder.encode_descriptor(
            "replica_behind_seconds",
            "Seconds for which a ready replica has not reached what the leader serves, by its Lease; on the replica that leads",
            None,
            gauge,
        )?;
        let late = replicas.iter().flat_map(|replicas| &replicas.behind);
        for (name, late) in late.take(MAX_REPLICAS) {
            let seconds = ConstGauge::new(late.since.elapsed().as_secs_f64());
            seconds.encode(behind.encode_family(&[("replica", &**name)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::{registry, render};

    #[tokio::test(start_paused = true)]
    async fn the_leader_tells_of_the_replicas_and_nobody_else() {
        let mut registry = registry();
        let metrics = StatusMetrics::register(&mut registry);
        let census = Census {
            ready: 2,
            unready: 0,
            expired: 1,
        };
        let late = Lateness {
            since: Instant::now(),
            watch: "mappings.postern.dev".into(),
        };
        let behind = (0..300).map(|number| (format!("b-{number}").into(), late.clone()));
        metrics.leads(true);
        metrics.replicas(census, behind.collect());
        tokio::time::advance(Duration::from_secs(3)).await;
        let text = render(&registry);
        for line in [
            "postern_replicas{state=\"ready\"} 2",
            "postern_replicas{state=\"expired\"} 1",
            "postern_replica_behind_seconds{replica=\"b-0\"} 3.0",
        ] {
            assert!(text.contains(line), "no {line:?} in\n{text}");
        }
        assert_eq!(text.matches("behind_seconds{").count(), MAX_REPLICAS);
        for (longer, count) in [(3, MAX_REPLICAS), (4, 0)] {
            assert_eq!(metrics.late(Duration::from_secs(longer)).len(), count);
        }
        metrics.leads(false);
        assert!(metrics.late(Duration::ZERO).is_empty());
        assert!(!render(&registry).contains("postern_replicas{"));
    }
}
