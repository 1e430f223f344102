//! What the pools of one worker have in common.

use std::{cell::Cell, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::counters::Counters;

/// Idle connections of one worker to all upstreams: beyond this, what becomes idle is closed.
pub(super) const MAX_IDLE: usize = 2048;

/// Counters, and what bounds all pools together.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) counters: Arc<Counters>,
    idle: Cell<usize>,
    closing: Cell<bool>,
}

impl Worker {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            idle: Cell::new(0),
            closing: Cell::new(false),
        }
    }

    /// From now on nothing is kept for later.
    pub(super) fn close(&self) {
        self.closing.set(true);
    }

    /// Whether one more connection may wait for a request.
    pub(super) fn has_room(&self) -> bool {
        !self.closing.get() && self.idle.get() < MAX_IDLE
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    pub(super) fn idle_more(&self) {
        self.set_idle(self.idle.get() + 1);
    }

    pub(super) fn idle_less(&self, count: usize) {
        self.set_idle(self.idle.get().saturating_sub(count));
    }

    fn set_idle(&self, idle: usize) {
        self.idle.set(idle);
        self.counters.idle.set(idle);
    }
}

/// When a connection that is opened now takes its last request. Spread over the last fifth of the time, so that what was
/// opened together is not closed together.
pub(super) fn retirement(max_age: Option<Duration>) -> Option<Instant> {
    max_age.map(|age| Instant::now() + age.mul_f64(0.8 + 0.2 * fastrand::f64()))
}

/// Whether that moment has come.
pub(super) fn is_due(retirement: Option<Instant>) -> bool {
    retirement.is_some_and(|at| at <= Instant::now())
}
