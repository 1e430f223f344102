//! Interleaved runs: first each proxy once, then each once more.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{
    backend::Backend,
    harness::{manifest, text::median, usage},
    load::{Load, Served},
    peer::{CORE, Job, Peer, Running},
    scenario::Scenario,
};

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lengths {
    pub(super) seconds: u32,
    pub(super) runs: u32,
}

/// What a scenario came to, proxy by proxy.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) scenario: Scenario,
    pub(super) peers: Vec<Measured>,
}

/// One proxy in one scenario.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) name: &'static str,
    pub(super) samples: Vec<Sample>,
    /// After the runs.
    pub(super) resident_bytes: u64,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) served: Served,
    /// Scheduler time of the proxy, in microseconds a request.
    pub(super) cpu_micros: f64,
    /// Share of the proxy's core that something else had.
    pub(super) foreign: f64,
}

// === impl Measured ===

impl Measured {
    pub(super) fn middle(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(figure).collect())
    }

    /// The median of the ratios, run by run: what changes for both does not count.
    pub(super) fn ratio(&self, other: &Self) -> f64 {
        let pairs = self.samples.iter().zip(&other.samples);
        median(
            pairs
                .map(|(own, other)| own.cpu_micros / other.cpu_micros)
                .collect(),
        )
    }
}

impl Outcome {
    pub(super) fn of(&self, name: &str) -> Option<&Measured> {
        self.peers.iter().find(|measured| measured.name == name)
    }
}

/// Measures every proxy in this scenario.
pub(super) fn interleaved(
    scenario: &Scenario,
    peers: &[Box<dyn Peer>],
    backend: &Backend,
    lengths: Lengths,
) -> Result<Outcome> {
    let pair = manifest::certificate(&["localhost"])?;
    let job = Job::new(scenario, backend, &pair);
    let mut lanes = Vec::new();
    for peer in peers {
        let folder = tempfile::tempdir()?;
        let running = peer
            .start(&job, folder.path())
            .with_context(|| format!("starting {} for {}", peer.name(), scenario.id))?;
        job.check(peer.name(), &running)?;
        // wrk's script must not lie in a folder of manifests.
        let scripts = tempfile::tempdir()?;
        let load = Load::new(scenario, running.address, scripts.path())?;
        lanes.push((peer.name(), running, load, Vec::new(), [folder, scripts]));
    }
    for _ in 0..lengths.runs {
        for (name, running, load, samples, _) in &mut lanes {
            load.run((lengths.seconds / 8).max(1))
                .and_then(|_| sample(running, load, lengths.seconds))
                .map(|sample| samples.push(sample))
                .with_context(|| format!("{name} in {}", scenario.id))?;
        }
    }
    let measured = lanes.into_iter().map(|(name, running, _, samples, _)| {
        Ok(Measured {
            name,
            samples,
            resident_bytes: usage::resident_bytes(running.pid)?,
        })
    });
    Ok(Outcome {
        scenario: scenario.clone(),
        peers: measured.collect::<Result<_>>()?,
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn sample(running: &Running, load: &Load, seconds: u32) -> Result<Sample> {
    let before = (usage::cpu_time(running.pid)?, usage::core_busy(CORE)?);
    let served = load.run(seconds)?;
    let after = (usage::cpu_time(running.pid)?, usage::core_busy(CORE)?);
    let own = after.0.saturating_sub(before.0);
    let foreign = after.1.saturating_sub(before.1).saturating_sub(own);
    Ok(Sample {
        served,
        cpu_micros: own.as_secs_f64() * 1e6 / served.requests.max(1) as f64,
        foreign: foreign.as_secs_f64() / Duration::from_secs(seconds.into()).as_secs_f64(),
    })
}
