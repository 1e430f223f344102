//! How long to wait before trying again.

use std::time::Duration;

use tokio::time::sleep;

use super::recovery::{Back, is_back};

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

    /// Waits, and not for long once the API server is back.
    pub(super) async fn wait(&mut self, back: &mut Back) {
        tokio::select! {
            () = sleep(self.next()) => {}
            () = is_back(back) => {
                self.reset();
                sleep(self.next()).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_long_wait_ends_when_the_api_server_is_back() {
        let (sender, mut back) = tokio::sync::watch::channel(0);
        let mut backoff = Backoff { failures: 20 };
        let began = Instant::now();
        let later = Duration::from_secs(1);
        let told = async {
            sleep(later).await;
            sender.send_replace(1);
        };
        tokio::join!(backoff.wait(&mut back), told);
        assert!(began.elapsed() <= later + FIRST, "{:?}", began.elapsed());
        // Without anybody to tell, the wait is what it would be.
        drop(sender);
        backoff.failures = 20;
        backoff.wait(&mut back).await;
        assert!(
            began.elapsed() >= later + LONGEST / 2,
            "{:?}",
            began.elapsed()
        );
    }

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
