//! How long a watch that failed waits before it is tried again.

use std::time::Duration;

use kube::runtime::utils::Backoff;
use tokio::time::Instant;

use super::elector::jitter;

const FIRST: Duration = Duration::from_millis(100);

/// Short, because everything waits for these watches when the API server is back, and a replica has but two of them.
const LONGEST: Duration = Duration::from_secs(2);

/// A failure so long after the last one is a new story.
const CALM: Duration = Duration::from_secs(10);

/// Doubles with every failure. Half of each wait is left to chance, so that many who lost the same server do not come back at
/// the same moment.
#[derive(Debug, Default)]
pub(super) struct WatchBackoff {
    failures: u32,
    last: Option<Instant>,
}

// === impl WatchBackoff ===

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let before = self.last.replace(now);
        if before.is_some_and(|before| now > before + CALM) {
            self.failures = 0;
        }
        let full = FIRST.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let half = full.min(LONGEST) / 2;
        Some(half + jitter(half))
    }
}

impl Backoff for WatchBackoff {
    /// Nothing: every list begins with an event of kube's own, before the API server has answered, that would reset it.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_grow_up_to_a_bound_for_ever_and_begin_anew_after_a_calm_time() {
        let mut backoff = WatchBackoff::default();
        let mut waits = Vec::new();
        for _ in 0..100 {
            let wait = backoff.next().unwrap();
            backoff.reset();
            waits.push(wait);
            tokio::time::advance(wait).await;
        }
        assert!(waits[0] <= FIRST && waits[0] >= FIRST / 2, "{waits:?}");
        let mut late = waits.iter().skip(6);
        assert!(
            late.all(|wait| (LONGEST / 2..=LONGEST).contains(wait)),
            "{waits:?}"
        );
        tokio::time::advance(CALM * 2).await;
        assert!(backoff.next().unwrap() <= FIRST);
    }
}
