//! What the status writer tells Prometheus.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The families of the status writer. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct StatusMetrics {
    writes: Family<Labels, Counter>,
    leader: Gauge,
    unsettled: Gauge,
}

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
        metrics
    }

    pub(super) fn finished(&self, result: &'static str) {
        self.writes.get_or_create(&Labels { result }).inc();
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if !leads {
            self.unsettled.set(0);
        }
    }

    pub(super) fn unsettled(&self, objects: usize) {
        self.unsettled
            .set(i64::try_from(objects).unwrap_or(i64::MAX));
    }
}
