//! The registry of metrics, and the families about the program and its configuration.
//!
//! Every subsystem declares its families in one place and registers them here at start; a scrape renders them all.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use parking_lot::RwLock;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{
        counter::{ConstCounter, Counter},
        gauge::ConstGauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};
use tokio::time::Instant;

/// The version that this build calls itself.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A registry with what every process says. The names of all families in it begin with `postern_`.
pub fn registry() -> Registry {
    let mut registry = Registry::with_prefix("postern");
    registry.register(
        "build",
        "The version of this build",
        Info::new([("version", VERSION)]),
    );
    registry.register_collector(Box::new(Process {
        started: Instant::now(),
    }));
    registry
}

/// All families in the text format of OpenMetrics.
pub fn render(registry: &Registry) -> String {
    let mut rendered = String::new();
    text::encode(&mut rendered, registry).expect("writing to a string must succeed");
    rendered
}

/// The content type of what [`render`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a compile made of the resources, for the metrics.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    pub generation: u64,
    /// Number of objects by kind and state: both from closed lists.
    pub objects: BTreeMap<(&'static str, &'static str), u64>,
    /// Number of diagnostics by code.
    pub diagnostics: BTreeMap<String, u64>,
}

/// Metrics about the configuration: how old it is, what is in it, how long it took. Clones share them.
#[derive(Clone, Debug)]
pub struct ConfigMetrics {
    compile_seconds: Histogram,
    apply_seconds: Histogram,
    compile_panics: Counter,
    state: Arc<RwLock<State>>,
}

#[derive(Debug, Default)]
struct State {
    compiled: Compiled,
    applied: Option<Instant>,
    waiting_since: Option<Instant>,
    versions: BTreeMap<Arc<str>, Arc<str>>,
    batches: u64,
}

impl ConfigMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        // From 100 µs, a change in a small table, to 6.5 s, more than a first compile of the largest tables takes.
        let buckets = || exponential_buckets(0.0001, 2.0, 17);
        let metrics = Self {
            compile_seconds: Histogram::new(buckets()),
            apply_seconds: Histogram::new(buckets()),
            compile_panics: Counter::default(),
            state: Arc::default(),
        };
        registry.register(
            "config_compile_seconds",
            "How long compiling took",
            metrics.compile_seconds.clone(),
        );
        registry.register(
            "config_apply_seconds",
            "From the first change that a snapshot holds until the snapshot was published",
            metrics.apply_seconds.clone(),
        );
        registry.register(
            "config_compile_panics",
            "Compiles that failed by a bug: the last good snapshot stayed in use",
            metrics.compile_panics.clone(),
        );
        registry.register_collector(Box::new(Config(metrics.state.clone())));
        metrics
    }

    /// A batch of changes arrived from the source.
    pub fn received(&self) {
        let mut state = self.state.write();
        state.batches += 1;
        state.waiting_since.get_or_insert_with(Instant::now);
    }

    /// The changes have no effect yet, and will not until the next ones are compiled.
    pub fn panicked(&self) {
        self.compile_panics.inc();
    }

    /// A snapshot was published `latency` after its first change.
    pub fn applied(&self, compiled: Compiled, took: Duration, latency: Duration) {
        self.compile_seconds.observe(took.as_secs_f64());
        self.apply_seconds.observe(latency.as_secs_f64());
        let mut state = self.state.write();
        state.compiled = compiled;
        state.applied = Some(Instant::now());
    }

    /// Everything up to these versions is in use. `waiting_since` is when the oldest change that is not arrived.
    pub fn reached(&self, versions: BTreeMap<Arc<str>, Arc<str>>, waiting_since: Option<Instant>) {
        let mut state = self.state.write();
        state.versions = versions;
        state.waiting_since = waiting_since;
    }
}

/// Renders the state of [`ConfigMetrics`] at the moment of the scrape.
#[derive(Debug)]
struct Config(Arc<RwLock<State>>);

impl Collector for Config {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let state = self.0.read();
        let seconds = |since: Option<Instant>| since.map_or(0.0, |at| at.elapsed().as_secs_f64());
        gauge(
            &mut encoder,
            "config_generation",
            "Snapshots published since the start",
            state.compiled.generation,
        )?;
        if state.applied.is_some() {
            gauge(
                &mut encoder,
                "config_age_seconds",
                "Seconds since the snapshot in use was published",
                seconds(state.applied),
            )?;
        }
        gauge(
            &mut encoder,
            "config_waiting_seconds",
            "Seconds that the oldest change without effect has been waiting; 0 when there is none",
            seconds(state.waiting_since),
        )?;
        let batches = ConstCounter::new(state.batches);
        let metric = encoder.encode_descriptor(
            "config_changes",
            "Batches of changes received from the source",
            None,
            batches.metric_type(),
        )?;
        batches.encode(metric)?;
        labelled(
            &mut encoder,
            "objects",
            "Objects by kind and by what became of them",
            state
                .compiled
                .objects
                .iter()
                .map(|((kind, state), count)| ([("kind", *kind), ("state", *state)], *count)),
        )?;
        labelled(
            &mut encoder,
            "diagnostics",
            "Problems that the compiler found, by code",
            state
                .compiled
                .diagnostics
                .iter()
                .map(|(code, count)| ([("code", code.as_str())], *count)),
        )?;
        labelled(
            &mut encoder,
            "watch_resource_version",
            "The last resource version that is in use, by watch",
            state.versions.iter().filter_map(|(watch, version)| {
                // Versions are numbers in every API server that there is, and opaque by contract: no number, no series.
                Some(([("watch", &**watch)], version.parse().ok()?))
            }),
        )
    }
}

/// Metrics of the process itself.
#[derive(Debug)]
struct Process {
    started: Instant,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        gauge(
            &mut encoder,
            "uptime_seconds",
            "Seconds since the process started",
            self.started.elapsed().as_secs_f64(),
        )?;
        // Linux only: elsewhere there is no such file, and no series.
        if let Some(bytes) = resident_bytes() {
            gauge(
                &mut encoder,
                "resident_memory_bytes",
                "Memory of the process that is in RAM",
                bytes,
            )?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn gauge<N>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: N,
) -> Result<(), fmt::Error>
where
    ConstGauge<N>: EncodeMetric,
{
    let gauge = ConstGauge::new(value);
    let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(metric)
}

/// A gauge with one series for each set of labels.
fn labelled<'l, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl Iterator<Item = ([(&'static str, &'l str); N], u64)>,
) -> Result<(), fmt::Error> {
    let kind = ConstGauge::new(0_u64).metric_type();
    let mut metric = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in series {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_scrape_tells_age_and_contents_of_the_configuration() {
        let mut registry = registry();
        let metrics = ConfigMetrics::register(&mut registry);
        assert!(!render(&registry).contains("postern_config_age_seconds "));

        metrics.received();
        metrics.applied(
            Compiled {
                generation: 7,
                objects: BTreeMap::from([(("Mapping", "serving"), 3)]),
                diagnostics: BTreeMap::from([("PST3002".to_owned(), 2)]),
            },
            Duration::from_millis(1),
            Duration::from_millis(4),
        );
        metrics.reached(
            BTreeMap::from([
                ("mappings.postern.dev".into(), "1234".into()),
                ("hosts.postern.dev".into(), "opaque".into()),
            ]),
            None,
        );
        tokio::time::advance(Duration::from_secs(5)).await;

        let text = render(&registry);
        for line in [
            "postern_config_generation 7",
            "postern_config_age_seconds 5.0",
            "postern_config_waiting_seconds 0.0",
            "postern_config_changes_total 1",
            "postern_objects{kind=\"Mapping\",state=\"serving\"} 3",
            "postern_diagnostics{code=\"PST3002\"} 2",
            "postern_watch_resource_version{watch=\"mappings.postern.dev\"} 1234",
            "postern_config_apply_seconds_count 1",
        ] {
            assert!(
                text.contains(&format!("\n{line}\n")),
                "no {line:?} in\n{text}"
            );
        }
        assert!(!text.contains("opaque"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_does_not_get_through_is_seen_to_wait() {
        let mut registry = registry();
        let metrics = ConfigMetrics::register(&mut registry);
        metrics.received();
        tokio::time::advance(Duration::from_secs(2)).await;
        metrics.received();
        tokio::time::advance(Duration::from_secs(1)).await;
        let text = render(&registry);
        assert!(
            text.contains("postern_config_waiting_seconds 3.0\n"),
            "{text}"
        );
    }
}
