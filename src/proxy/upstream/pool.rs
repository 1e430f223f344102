//! The connections of one worker to one upstream.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{
    dial::{Aim, Dialled, Dialler},
    error::UpstreamError,
    http1, http2,
    shared::Shared,
    worker::Worker,
};
use crate::graph::{DialPolicy, Upstream};

/// Idle connections of one worker to one upstream.
pub(super) const MAX_IDLE: usize = 256;
/// HTTP/2 connections of one worker to one address: more are opened only while all others are full.
pub(super) const MAX_HTTP2: usize = 4;

/// Everything that is known of one upstream.
pub(super) struct Pool<B> {
    pub(super) worker: Rc<Worker>,
    pub(super) dialler: Dialler,
    /// The last one was used last, and is used next: what is too much grows old at the bottom.
    idle: RefCell<Vec<Rc<http1::Connection<B>>>>,
    http2: RefCell<Vec<Rc<http2::Connection<B>>>>,
    /// Held while an HTTP/2 connection is opened: whoever comes meanwhile waits for that one.
    opening: Semaphore,
    idle_timeout: Cell<Duration>,
}

/// What a request needs to get a connection.
pub(super) struct Order<'r, B> {
    pub(super) shared: &'r Shared,
    pub(super) pool: Rc<Pool<B>>,
    pub(super) upstream: &'r Arc<Upstream>,
    pub(super) policy: &'r DialPolicy,
    pub(super) aim: Aim,
}

// === impl Pool ===

impl<B> Pool<B> {
    pub(super) fn new(worker: Rc<Worker>) -> Self {
        Self {
            worker,
            dialler: Dialler::default(),
            idle: RefCell::default(),
            http2: RefCell::default(),
            opening: Semaphore::new(1),
            idle_timeout: Cell::default(),
        }
    }

    /// What becomes idle from now on is closed after this.
    pub(super) fn set_idle_timeout(&self, timeout: Duration) {
        self.idle_timeout.set(timeout);
    }

    /// The idle connection that was used last, to the address whose turn it is.
    pub(super) fn take_idle(&self, aim: Aim) -> Option<Rc<http1::Connection<B>>> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let connection = match aim.address {
                None => idle.pop()?,
                Some(address) => {
                    let last = idle.iter().rposition(|idle| idle.address() == address)?;
                    idle.remove(last)
                }
            };
            self.worker.idle_less(1);
            if connection.is_usable() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next request, if there is room.
    pub(super) fn put_idle(&self, connection: Rc<http1::Connection<B>>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MAX_IDLE && self.worker.has_room() {
            idle.push(connection);
            self.worker.idle_more();
        }
    }

    /// The HTTP/2 connection with the fewest streams to the address whose turn it is. One without room only if there may be
    /// no more connections.
    pub(super) fn take_http2(&self, aim: Aim) -> Option<Rc<http2::Connection<B>>> {
        let mut connections = self.http2.borrow_mut();
        connections.retain(|connection| connection.is_usable());
        let aimed_at = |connection: &&Rc<http2::Connection<B>>| {
            aim.address
                .is_none_or(|address| connection.address() == address)
        };
        let least = connections
            .iter()
            .filter(aimed_at)
            .min_by_key(|connection| connection.streams())?;
        let full = connections.iter().filter(aimed_at).count() >= MAX_HTTP2;
        (least.has_room() || full).then(|| least.clone())
    }

    pub(super) fn put_http2(&self, connection: Rc<http2::Connection<B>>) {
        if !self.worker.is_closing() {
            self.http2.borrow_mut().push(connection);
        }
    }

    /// Closes what has been idle for too long, or has aged. Says whether anything is left.
    pub(super) fn tidy(&self, now: Instant) -> bool {
        let timeout = self.idle_timeout.get();
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain(|idle| idle.is_usable() && now < idle.idle_since() + timeout);
        self.worker.idle_less(before - idle.len());
        let mut http2 = self.http2.borrow_mut();
        http2.retain(|connection| {
            let idle = connection.streams() == 0 && now >= connection.idle_since() + timeout;
            connection.is_usable() && !idle
        });
        !idle.is_empty() || !http2.is_empty()
    }

    /// Closes what is idle. An HTTP/2 connection with streams ends with the last of them.
    pub(super) fn close(&self) {
        let idle = self.idle.take();
        self.worker.idle_less(idle.len());
        self.http2.borrow_mut().clear();
    }
}

impl<B> Drop for Pool<B> {
    fn drop(&mut self) {
        self.worker.idle_less(self.idle.get_mut().len());
    }
}

// === impl Order ===

impl<B> Order<'_, B> {
    /// Opens a connection, and counts it if that fails.
    pub(super) async fn dial(&self) -> Result<Dialled, UpstreamError> {
        let dialled = self
            .pool
            .dialler
            .dial(self.shared, self.upstream, self.policy, self.aim)
            .await;
        if let Some(failure) = dialled.as_ref().err().and_then(UpstreamError::failure) {
            self.pool.worker.counters.failed.by(failure).increase();
        }
        dialled
    }

    /// An HTTP/2 connection with room for a stream, and whether it was opened for this order.
    pub(super) async fn http2(&self) -> Result<(Rc<http2::Connection<B>>, bool), UpstreamError>
    where
        B: super::RequestBody,
    {
        if let Some(connection) = self.pool.take_http2(self.aim) {
            return Ok((connection, false));
        }
        let limit = self.upstream.connect_timeout;
        let deadline = Instant::now() + limit;
        let _turn = timeout_at(deadline, self.pool.opening.acquire())
            .await
            .map_err(|_| UpstreamError::ConnectTimeout(limit))?;
        if let Some(connection) = self.pool.take_http2(self.aim) {
            return Ok((connection, false));
        }
        let connection = http2::Connection::open(self).await?;
        self.pool.put_http2(connection.clone());
        Ok((connection, true))
    }
}
