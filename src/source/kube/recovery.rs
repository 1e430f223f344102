//! An API server that was away and is back: whoever waits for it need not wait any longer.
//!
//! Watches that fail wait ever longer, each by itself. The first answer after that, to whomever, ends all the waits at once:
//! otherwise a server that was away for a minute would be followed by ten seconds in which nothing new is seen.

use std::time::Duration;

use tokio::{sync::watch as channel, time::Instant};

use super::request::Failure;

/// A server that answers some and not others ends the waits of the others no more often.
const LEAST: Duration = Duration::from_secs(5);

/// Whether the API server is away, as far as failures and answers tell.
#[derive(Debug)]
pub(super) struct Recovery {
    is_away: bool,
    last: Option<Instant>,
    /// Counts how often it came back.
    back: channel::Sender<u64>,
}

/// Tells when the API server is back.
pub(super) type Back = channel::Receiver<u64>;

// === impl Recovery ===

impl Default for Recovery {
    fn default() -> Self {
        Self {
            is_away: false,
            last: None,
            back: channel::channel(0).0,
        }
    }
}

impl Recovery {
    pub(super) fn failed(&mut self, failure: &Failure) {
        self.is_away |= failure.is_away();
    }

    pub(super) fn answered(&mut self, now: Instant) {
        if self.is_away && self.last.is_none_or(|last| now >= last + LEAST) {
            self.is_away = false;
            self.last = Some(now);
            self.back.send_modify(|times| *times += 1);
        }
    }

    pub(super) fn subscribe(&self) -> Back {
        self.back.subscribe()
    }
}

/// Ready when the API server is back after it was away; never when nobody can tell.
pub(super) async fn is_back(back: &mut Back) {
    if back.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_after_a_failure_is_told_and_not_too_often() {
        let mut recovery = Recovery::default();
        let mut back = recovery.subscribe();
        let start = Instant::now();
        let away = Failure::Unreachable("refused".to_owned());
        let mut told = |at: u64, failure: Option<&Failure>| {
            if let Some(failure) = failure {
                recovery.failed(failure);
            }
            recovery.answered(start + Duration::from_secs(at));
            let told = back.has_changed().unwrap();
            back.mark_unchanged();
            told
        };
        assert!(!told(0, None), "it was never away");
        assert!(told(1, Some(&away)));
        assert!(!told(2, None), "it is not away any more");
        assert!(!told(3, Some(&away)), "too soon");
        assert!(told(6, None), "late is better than never");
        assert!(!told(20, Some(&Failure::NotFound)), "that is an answer");
        assert!(told(21, Some(&Failure::Refused(503, String::new()))));
    }
}
