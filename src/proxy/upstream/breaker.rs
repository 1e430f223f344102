//! The limits of an upstream, counted over all workers: one shared number each, and only for upstreams that have limits.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::load::{Counted, Load};
use crate::graph::breaker::{Breakers, Limits, Priority};

/// What is under way, by priority.
#[derive(Debug)]
pub(super) struct Breaker {
    default: Arc<Lane>,
    high: Arc<Lane>,
}

/// What is under way of one priority.
#[derive(Debug)]
pub(super) struct Lane {
    limits: Limits,
    requests: Arc<Load>,
    retries: Arc<Load>,
    pending: Arc<Load>,
    /// As many as may still be opened.
    connections: Arc<Semaphore>,
}

/// The right to one connection. Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    lane: Arc<Lane>,
    _permit: OwnedSemaphorePermit,
}

// === impl Breaker ===

impl Breaker {
    pub(super) fn new(breakers: &Breakers) -> Self {
        Self {
            default: Arc::new(Lane::new(breakers.default)),
            high: Arc::new(Lane::new(breakers.high)),
        }
    }

    pub(super) fn lane(&self, priority: Priority) -> Arc<Lane> {
        match priority {
            Priority::Default => self.default.clone(),
            Priority::High => self.high.clone(),
        }
    }
}

// === impl Lane ===

impl Lane {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            requests: Arc::default(),
            retries: Arc::default(),
            pending: Arc::default(),
            connections: Arc::new(Semaphore::new(
                limits.connections.min(Semaphore::MAX_PERMITS),
            )),
        }
    }

    /// One more request; None when there are enough.
    pub(super) fn request(&self) -> Option<Counted> {
        self.requests.count_up_to(self.limits.requests)
    }

    /// One more request that is sent again.
    pub(super) fn retry(&self) -> Option<Counted> {
        self.retries.count_up_to(self.limits.retries)
    }

    /// One more that waits for a connection.
    pub(super) fn wait(&self) -> Option<Counted> {
        self.pending.count_up_to(self.limits.pending)
    }

    /// The right to a connection, if there is one at once.
    pub(super) fn try_slot(self: &Arc<Self>) -> Option<Slot> {
        let permit = self.connections.clone().try_acquire_owned().ok()?;
        Some(self.slot(permit))
    }

    /// The right to a connection, as soon as another one is closed.
    pub(super) async fn next_slot(self: &Arc<Self>) -> Slot {
        let permit = self.connections.clone().acquire_owned().await;
        self.slot(permit.expect("nobody must close the semaphore"))
    }

    fn slot(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Slot {
        Slot {
            lane: self.clone(),
            _permit: permit,
        }
    }
}

// === impl Slot ===

impl Slot {
    /// Whether a request waits for a connection, perhaps that of another worker: nobody may keep one idle then.
    pub(super) fn is_wanted(&self) -> bool {
        self.lane.pending.get() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_priority_has_limits_of_its_own() {
        let breaker = Breaker::new(&Breakers {
            default: Limits {
                connections: 1,
                pending: 1,
                requests: 2,
                retries: 0,
            },
            high: Limits::default(),
        });
        let lane = breaker.lane(Priority::Default);
        let requests = [lane.request(), lane.request()];
        assert!(requests.iter().all(Option::is_some) && lane.request().is_none());
        assert!(breaker.lane(Priority::High).request().is_some());
        assert!(lane.retry().is_none());
        let slot = lane.try_slot().unwrap();
        assert!(lane.try_slot().is_none() && !slot.is_wanted());
        let waits = lane.wait().unwrap();
        assert!(lane.wait().is_none() && slot.is_wanted());
        drop((waits, slot, requests));
        assert!(lane.try_slot().is_some() && lane.request().is_some());
    }
}
