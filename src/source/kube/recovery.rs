//! An API server that was away and is back: whoever waits for it need not wait any longer.
//!
//! Watches that fail wait ever longer, each by itself. The first answer after that, to whomever, ends all the waits at once:
//! otherwise a server that was away for a minute would be followed by ten seconds in which nothing new is seen.

use std::time::Duration;

use tokio::{
    sync::watch as channel,
    time::{Instant, sleep_until},
};

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
    /// Since when it has not answered anybody; none while it does.
    away: channel::Sender<Option<Instant>>,
}

/// Tells when the API server is back.
pub(super) type Back = channel::Receiver<u64>;

/// Tells since when the API server is away. Before its first word it is.
pub(super) type Away = channel::Receiver<Option<Instant>>;

// === impl Recovery ===

impl Default for Recovery {
    fn default() -> Self {
        Self {
            is_away: false,
            last: None,
            back: channel::channel(0).0,
            away: channel::channel(Some(Instant::now())).0,
        }
    }
}

impl Recovery {
    pub(super) fn failed(&mut self, failure: &Failure) {
        if !failure.is_away() {
            // Whoever refuses is there.
            self.away.send_if_modified(|since| since.take().is_some());
            return;
        }
        self.is_away = true;
        self.away.send_if_modified(|since| {
            let is_news = since.is_none();
            since.get_or_insert_with(Instant::now);
            is_news
        });
    }

    pub(super) fn answered(&mut self, now: Instant) {
        self.away.send_if_modified(|since| since.take().is_some());
        if self.is_away && self.last.is_none_or(|last| now >= last + LEAST) {
            self.is_away = false;
            self.last = Some(now);
            self.back.send_modify(|times| *times += 1);
        }
    }

    pub(super) fn subscribe(&self) -> Back {
        self.back.subscribe()
    }

    pub(super) fn away(&self) -> Away {
        self.away.subscribe()
    }
}

/// Ready when the API server is back after it was away; never when nobody can tell.
pub(super) async fn is_back(back: &mut Back) {
    if back.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Ready when the API server has been away for this long.
pub(super) async fn is_away_for(away: &mut Away, time: Duration) {
    loop {
        let since = *away.borrow_and_update();
        tokio::select! {
            () = sleep_until(since.unwrap_or_else(Instant::now) + time), if since.is_some() => return,
            changed = away.changed() => if changed.is_err() {
                std::future::pending::<()>().await;
            }
        }
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

    #[tokio::test(start_paused = true)]
    async fn it_is_away_until_it_answers_and_from_the_first_failure_after_that() {
        let mut recovery = Recovery::default();
        let mut away = recovery.away();
        let start = Instant::now();
        let time = Duration::from_secs(3);
        is_away_for(&mut away, time).await;
        assert_eq!(start.elapsed(), time, "it never said a word");

        recovery.answered(Instant::now());
        let hour = Duration::from_hours(1);
        let waited = tokio::time::timeout(hour, is_away_for(&mut away, time)).await;
        assert!(waited.is_err(), "it has answered");
        let failure = Failure::Unreachable("refused".to_owned());
        recovery.failed(&failure);
        tokio::time::advance(Duration::from_secs(2)).await;
        recovery.failed(&failure);
        let before = Instant::now();
        is_away_for(&mut away, time).await;
        assert_eq!(before.elapsed(), Duration::from_secs(1));
    }
}
