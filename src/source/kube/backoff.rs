//! How long to wait before trying again.

use std::time::Duration;

use tokio::time::sleep;

const FIRST: Duration = Duration::from_millis(100);
/// Every watch of every replica tries this often while the API server is away: what has changed meanwhile waits for no longer.
const LONGEST: Duration = Duration::from_secs(3);

/// Doubles with every failure. Half of each wait is left to chance, so that many who lost the same server do not come back
/// at the same moment.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

// === impl Backoff ===

impl Backoff {
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let full = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    pub(super) async fn wait(&mut self) {
        sleep(self.next()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_again() {
        let mut backoff = Backoff::default();
        for full in [100, 200, 400, 800, 1_600, 3_000, 3_000] {
            let (least, most) = (Duration::from_millis(full / 2), Duration::from_millis(full));
            let wait = backoff.next();
            assert!(
                least <= wait && wait <= most,
                "{wait:?} is not within {least:?} and {most:?}"
            );
        }
        backoff.failures = u32::MAX;
        assert!(backoff.next() <= LONGEST);
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
