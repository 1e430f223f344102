//! The timeouts of connections, looked at now and then: one timer for each connection, and none for each request.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use tokio::time::Instant;

use crate::proxy::{alarm::Alarm, guard::Watch, limits, peer::Peer};

/// What the clock of a connection finds.
pub(super) enum Verdict {
    /// The client has had its time.
    Cut,
    /// No more requests: what runs is finished.
    Finish,
}

/// The timeouts of an HTTP/1 connection, looked at now and then.
pub(super) struct Http1Clock {
    alarm: Rc<Alarm>,
    next: Instant,
    /// The number of the head that is being read, and since when.
    head: Option<(u64, Instant)>,
    /// How much the client had taken when it stopped, and when that was.
    blocked: Option<(u64, Instant)>,
    /// When an idle connection is closed, because the worker drains.
    drain_at: Option<Instant>,
}

impl Http1Clock {
    pub(super) fn new(peer: &Peer) -> Self {
        Self {
            alarm: peer.alarm.clone().unwrap_or_default(),
            next: peer.started + limits::TICK,
            head: None,
            blocked: None,
            drain_at: None,
        }
    }

    /// The next response says that it is the last. A connection without a request is given a moment: its client may have
    /// sent one already.
    pub(super) fn drain(&mut self, peer: &Peer) {
        if self.drain_at.is_none() {
            peer.close();
            let at = Instant::now() + limits::DRAIN_IDLE;
            self.drain_at = Some(at);
            self.next = self.next.min(at);
        }
    }

    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        peer: &Peer,
        watch: &Watch,
    ) -> Poll<Verdict> {
        match (watch.head_under_way(), self.head) {
            (None, None) => {}
            (None, Some(_)) => self.head = None,
            (Some(number), Some((same, _))) if number == same => {}
            (Some(number), _) => {
                let now = Instant::now();
                self.head = Some((number, now));
                self.next = self.next.min(now + limits::HEAD);
            }
        }
        loop {
            if self.alarm.poll(context, self.next).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            self.next = now + limits::TICK;
            if let Some(verdict) = self.look(now, peer, watch) {
                return Poll::Ready(verdict);
            }
        }
    }

    fn look(&mut self, now: Instant, peer: &Peer, watch: &Watch) -> Option<Verdict> {
        if now - peer.started >= limits::CONNECTION_AGE {
            peer.close();
        }
        // What has been handed over may still wait for the client, after its request has ended.
        if self.is_blocked(now, watch) {
            return Some(Verdict::Cut);
        }
        if peer.is_busy() || self.blocked.is_some() {
            return None;
        }
        if let Some((_, since)) = self.head {
            let mut late = since + limits::HEAD;
            if let Some(at) = self.drain_at {
                late = late.min(since.max(at - limits::DRAIN_IDLE) + limits::DRAIN_BEGUN);
            }
            self.next = self.next.min(late);
            return (now >= late).then_some(Verdict::Cut);
        }
        let limit = if peer.has_served() {
            limits::IDLE
        } else {
            limits::HEAD
        };
        let idle = peer.idle_since() + limit;
        let drained = self.drain_at.is_some_and(|at| now >= at);
        if now >= idle || drained {
            return Some(Verdict::Finish);
        }
        let end = self.drain_at.map_or(idle, |at| idle.min(at));
        self.next = self.next.min(end);
        None
    }

    fn is_blocked(&mut self, now: Instant, watch: &Watch) -> bool {
        self.blocked = match (watch.blocked_at(), self.blocked) {
            (Some(taken), Some((same, since))) if taken == same => Some((taken, since)),
            (Some(taken), _) => Some((taken, now)),
            (None, _) => None,
        };
        self.blocked
            .is_some_and(|(_, since)| now - since >= limits::WRITE_STALL)
    }
}

/// The timeouts of an HTTP/2 connection.
pub(super) struct Http2Clock {
    alarm: Alarm,
    next: Instant,
    /// How far the streams had come, and when.
    progress: (u64, Instant),
    /// When a client without streams must have taken in that no more are wanted.
    end: Option<Instant>,
}

impl Http2Clock {
    pub(super) fn new(peer: &Peer) -> Self {
        Self {
            alarm: Alarm::default(),
            next: peer.started + limits::TICK,
            progress: (0, peer.started),
            end: None,
        }
    }

    /// The client is being told that no more requests are wanted.
    pub(super) fn closing(&mut self) {
        let end = Instant::now() + limits::DRAIN_BEGUN;
        self.end = Some(end);
        self.next = self.next.min(end);
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>, peer: &Peer) -> Poll<Verdict> {
        loop {
            if self.alarm.poll(context, self.next).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            self.next = now + limits::TICK;
            if self.progress.0 != peer.progress() {
                self.progress = (peer.progress(), now);
            }
            if now - peer.started >= limits::CONNECTION_AGE {
                peer.close();
            }
            if peer.is_busy() {
                if now - self.progress.1 >= limits::STREAM_STALL {
                    return Poll::Ready(Verdict::Cut);
                }
            } else if self.end.is_some_and(|end| now >= end) {
                return Poll::Ready(Verdict::Cut);
            } else if now - peer.idle_since() >= limits::IDLE {
                return Poll::Ready(Verdict::Finish);
            }
        }
    }
}
