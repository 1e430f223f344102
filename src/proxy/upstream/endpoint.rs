//! The connections of one worker to one endpoint of an upstream. They outlive every change that leaves the endpoint there.

use std::{
    cell::RefCell, collections::VecDeque, net::SocketAddr, rc::Rc, sync::Arc, time::Duration,
};

use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};

use super::{http1, http2, load::Load, worker::Worker};

/// Idle connections of one worker to one endpoint.
pub(super) const MAX_IDLE: usize = 256;
/// HTTP/2 connections of one worker to one endpoint: more are opened only while all others are full.
pub(super) const MAX_HTTP2: usize = 4;

/// An address, or all that a name leads to.
pub(super) struct Endpoint<B> {
    pub(super) address: Option<SocketAddr>,
    worker: Rc<Worker>,
    /// The last one was used last, and is used next: what is too much grows old at the bottom.
    idle: RefCell<Vec<Rc<http1::Connection<B>>>>,
    http2: RefCell<Vec<Rc<http2::Connection<B>>>>,
    /// Held while an HTTP/2 connection is opened: whoever comes meanwhile waits for that one.
    pub(super) opening: Semaphore,
    /// What is under way there, where endpoints are chosen by it.
    load: RefCell<Option<Arc<Load>>>,
    /// Requests that wait for a connection, where there may be no more of them; the first came first.
    waiting: RefCell<VecDeque<oneshot::Sender<Rc<http1::Connection<B>>>>>,
}

// === impl Endpoint ===

impl<B> Endpoint<B> {
    pub(super) fn new(address: Option<SocketAddr>, worker: Rc<Worker>) -> Self {
        Self {
            address,
            worker,
            idle: RefCell::default(),
            http2: RefCell::default(),
            opening: Semaphore::new(1),
            load: RefCell::default(),
            waiting: RefCell::default(),
        }
    }

    /// The load of all workers on it; `make` finds it at the first use.
    pub(super) fn load(&self, make: impl FnOnce() -> Arc<Load>) -> Arc<Load> {
        self.load.borrow_mut().get_or_insert_with(make).clone()
    }

    /// The idle connection that was used last.
    pub(super) fn take_idle(&self) -> Option<Rc<http1::Connection<B>>> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let connection = idle.pop()?;
            self.worker.idle_less(1);
            if connection.is_usable() {
                return Some(connection);
            }
        }
    }

    /// The next connection that becomes free, given to who has waited longest.
    pub(super) fn next_free(&self) -> oneshot::Receiver<Rc<http1::Connection<B>>> {
        let (give, free) = oneshot::channel();
        let mut waiting = self.waiting.borrow_mut();
        waiting.retain(|one| !one.is_closed());
        waiting.push_back(give);
        free
    }

    /// Gives a connection to who waits for it, or keeps it for the next request, if there is room.
    pub(super) fn put_idle(&self, mut connection: Rc<http1::Connection<B>>) {
        loop {
            let Some(waits) = self.waiting.borrow_mut().pop_front() else {
                break;
            };
            match waits.send(connection) {
                Ok(()) => return,
                Err(unwanted) => connection = unwanted,
            }
        }
        if connection.is_wanted_elsewhere() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MAX_IDLE && self.worker.has_room() {
            idle.push(connection);
            self.worker.idle_more();
        }
    }

    /// The HTTP/2 connection with the fewest streams. One without room only if there may be no more connections.
    pub(super) fn take_http2(&self) -> Option<Rc<http2::Connection<B>>> {
        let mut connections = self.http2.borrow_mut();
        connections.retain(|connection| connection.is_usable());
        let least = connections
            .iter()
            .min_by_key(|connection| connection.streams())?;
        let full = connections.len() >= MAX_HTTP2;
        (least.has_room() || full).then(|| least.clone())
    }

    pub(super) fn put_http2(&self, connection: Rc<http2::Connection<B>>) {
        if !self.worker.is_closing() {
            self.http2.borrow_mut().push(connection);
        }
    }

    /// Closes what has been idle for longer, or has aged. Says whether anything is left.
    pub(super) fn tidy(&self, now: Instant, timeout: Duration) -> bool {
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain(|idle| {
            idle.is_usable() && now < idle.idle_since() + timeout && !idle.is_wanted_elsewhere()
        });
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

impl<B> Drop for Endpoint<B> {
    fn drop(&mut self) {
        self.worker.idle_less(self.idle.get_mut().len());
    }
}
