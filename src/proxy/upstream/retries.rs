//! How much of an upstream's load may be retries: when everything fails, it must not get several times what it had.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use super::{breaker::Lane, counters::Counters, load::Counted};

/// What a retry costs.
const RETRY: u32 = 100;
/// What a request brings: of 100 requests, 18 may be sent again.
const REQUEST: u32 = 18;
/// As much as can be saved up, and is there at the beginning: for an upstream with few requests, and for a short trouble.
const MOST: u32 = 20 * RETRY;

/// What may be spent on retries; one for an upstream, whichever worker they are on.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Budget(AtomicU32);

/// The budget of an upstream in the hands of a worker, who counts for itself what it does with it.
#[derive(Clone, Debug, Default)]
pub struct Retries {
    budget: Arc<Budget>,
    counters: Arc<Counters>,
    /// Where the upstream has limits.
    lane: Option<Arc<Lane>>,
}

/// That a request is being sent again. Counts until it is dropped, where that is counted.
#[derive(Debug, Default)]
pub struct Retrying {
    _counted: Option<Counted>,
}

// === impl Budget ===

impl Default for Budget {
    fn default() -> Self {
        Self(AtomicU32::new(MOST))
    }
}

impl Budget {
    fn earn(&self) {
        // Another worker's may get lost or be counted above the limit once: it bounds a share, and is no account.
        let saved = self.0.load(Relaxed);
        if saved < MOST {
            self.0.fetch_add(REQUEST, Relaxed);
        }
    }

    fn spend(&self) -> bool {
        let less = |saved: u32| saved.checked_sub(RETRY);
        self.0.fetch_update(Relaxed, Relaxed, less).is_ok()
    }
}

// === impl Retries ===

impl Retries {
    pub(super) fn new(
        budget: Arc<Budget>,
        counters: Arc<Counters>,
        lane: Option<Arc<Lane>>,
    ) -> Self {
        Self {
            budget,
            counters,
            lane,
        }
    }

    /// A request is sent for the first time, on a route that may send it again.
    pub fn begin(&self) {
        self.budget.earn();
    }

    /// Whether a request may be sent again now. It counts as sent if so.
    pub fn allow(&self) -> Option<Retrying> {
        let allowed = self.try_allow();
        if allowed.is_some() {
            self.counters.retries.increase();
        } else {
            self.counters.retries_refused.increase();
        }
        allowed
    }

    fn try_allow(&self) -> Option<Retrying> {
        let counted = match &self.lane {
            Some(lane) => Some(lane.retry()?),
            None => None,
        };
        self.budget
            .spend()
            .then_some(Retrying { _counted: counted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_not_amplified_beyond_a_fifth() {
        let retries = Retries::default();
        let (requests, mut sent) = (2_000, 0);
        for _ in 0..requests {
            retries.begin();
            sent += 1;
            // Everything fails, and may be tried three times more.
            sent += (0..3).take_while(|_| retries.allow().is_some()).count();
        }
        assert!(sent * 10 <= requests * 12, "{sent} for {requests}");
        assert!(sent > requests, "some were sent again");
    }

    #[test]
    fn few_requests_may_all_be_sent_again_and_what_is_saved_up_is_bounded() {
        let retries = Retries::default();
        for _ in 0..10_000 {
            retries.begin();
        }
        assert_eq!(
            (0..100).take_while(|_| retries.allow().is_some()).count(),
            20
        );
        assert_eq!(retries.counters.retries.get(), 20);
        assert_eq!(retries.counters.retries_refused.get(), 1);
    }
}
