//! One connection of a client: what it speaks, and how long it may say nothing.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::{Instant, timeout},
};

use super::{
    alarm::Alarm,
    drain::Pass,
    exchange,
    forward::Upstreams,
    guard::{Guard, Watch},
    limits,
    peer::{Peer, PeerParts, Transport},
    prefixed::Prefixed,
    site::Site,
    tls,
};

/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: &[u8] = &[22];

/// No HTTP/1 method begins so: it is the preface of HTTP/2 (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI ";

/// Serves a connection to its end.
pub(super) async fn serve<U, IO>(site: Rc<Site<U>>, parts: PeerParts, io: IO, pass: Pass)
where
    U: Upstreams,
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let graph = site.graph();
    let Some(listener) = graph.listener(parts.port) else {
        return;
    };
    let streams = listener.http2_max_concurrent_streams;
    let mut io = Prefixed::new(io);
    let encrypted = listener.tls
        && (!listener.cleartext || begins_with(&mut io, TLS_HANDSHAKE).await == Some(true));
    if encrypted {
        match tls::handshake(io, listener, &site.certificates).await {
            Ok(encrypted) => {
                drop(graph);
                let transport = Transport::Tls { sni: encrypted.sni };
                if encrypted.is_http2 {
                    http2(site, parts, transport, encrypted.stream, pass, streams).await;
                } else {
                    http1(site, parts, transport, encrypted.stream, pass).await;
                }
            }
            Err(error) => {
                parts.counters.handshakes_failed.add(1);
                let error = &error as &dyn std::error::Error;
                tracing::debug!(client.addr = %parts.client, error, "TLS handshake failed");
            }
        }
        return;
    }
    drop(graph);
    match begins_with(&mut io, HTTP2_PREFACE).await {
        Some(true) => http2(site, parts, Transport::Cleartext, io, pass, streams).await,
        Some(false) => http1(site, parts, Transport::Cleartext, io, pass).await,
        None => {}
    }
}

/// None when the client does not say in time what it speaks.
async fn begins_with<IO>(io: &mut Prefixed<IO>, expected: &[u8]) -> Option<bool>
where
    IO: AsyncRead + Unpin,
{
    timeout(limits::HEAD, io.begins_with(expected))
        .await
        .ok()?
        .ok()
}

async fn http1<U, IO>(
    site: Rc<Site<U>>,
    parts: PeerParts,
    transport: Transport,
    io: IO,
    mut pass: Pass,
) where
    U: Upstreams,
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let watch = Arc::new(Watch::default());
    let peer = Peer::new(parts, transport, Some(watch.clone()));
    let io = TokioIo::new(Guard::new(io, watch.clone()));
    let service = {
        let peer = peer.clone();
        service_fn(move |request| exchange::serve(site.clone(), peer.clone(), request))
    };
    let builder = http1_builder();
    let mut connection = pin!(builder.serve_connection(io, service).with_upgrades());
    let mut clock = Http1Clock::new(&peer);
    let mut closing = false;
    let result = poll_fn(|context| {
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            if pass.is_closing(context) {
                clock.drain(&peer);
            }
            match clock.poll(context, &peer, &watch) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Verdict::Cut) => return Poll::Ready(Ok(())),
                Poll::Ready(Verdict::Finish) if closing => {}
                Poll::Ready(Verdict::Finish) => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    });
    if let Err(error) = result.await {
        let error = &error as &dyn std::error::Error;
        tracing::debug!(client.addr = %peer.client, error, "A connection ended with an error");
    }
}

fn http1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        // Held back, the last response is lost when the client has sent more and the connection closes.
        .pipeline_flush(false)
        .writev(false)
        .max_buf_size(limits::HTTP1_BUFFER)
        .max_header_size(limits::HEAD_BYTES)
        // The connection's own clock does what this would do with a timer for each request.
        .header_read_timeout(None);
    builder
}

/// What the clock of a connection finds.
enum Verdict {
    /// The client has had its time.
    Cut,
    /// No more requests: what runs is finished.
    Finish,
}

/// The timeouts of an HTTP/1 connection, looked at now and then.
struct Http1Clock {
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
    fn new(peer: &Peer) -> Self {
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
    fn drain(&mut self, peer: &Peer) {
        if self.drain_at.is_none() {
            peer.close();
            let at = Instant::now() + limits::DRAIN_IDLE;
            self.drain_at = Some(at);
            self.next = self.next.min(at);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, peer: &Peer, watch: &Watch) -> Poll<Verdict> {
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
            let late = since + limits::HEAD;
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

async fn http2<U, IO>(
    site: Rc<Site<U>>,
    parts: PeerParts,
    transport: Transport,
    io: IO,
    mut pass: Pass,
    streams: u32,
) where
    U: Upstreams,
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let peer = Peer::new(parts, transport, None);
    let service = {
        let peer = peer.clone();
        service_fn(move |request| exchange::serve(site.clone(), peer.clone(), request))
    };
    let builder = http2_builder(streams);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut clock = Http2Clock::new(&peer);
    let mut closing = false;
    let result = poll_fn(|context| {
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            if pass.is_closing(context) {
                peer.close();
            }
            let is_done = closing || !peer.is_closing();
            match clock.poll(context, &peer) {
                Poll::Ready(Verdict::Cut) => return Poll::Ready(Ok(())),
                Poll::Pending if is_done => return Poll::Pending,
                Poll::Ready(Verdict::Finish) if closing => {}
                Poll::Ready(Verdict::Finish) | Poll::Pending => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    });
    if let Err(error) = result.await {
        let error = &error as &dyn std::error::Error;
        tracing::debug!(client.addr = %peer.client, error, "A connection ended with an error");
    }
}

fn http2_builder(streams: u32) -> http2::Builder<Spawn> {
    let mut builder = http2::Builder::new(Spawn);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_send_buf_size(limits::STREAM_SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits::HEAD_BYTES).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(limits::PENDING_RESETS)
        .max_local_error_reset_streams(limits::LOCAL_RESETS)
        .keep_alive_interval(limits::PING)
        .keep_alive_timeout(limits::PING);
    builder
}

/// The timeouts of an HTTP/2 connection.
struct Http2Clock {
    alarm: Alarm,
    next: Instant,
    /// How far the streams had come, and when.
    progress: (u64, Instant),
}

impl Http2Clock {
    fn new(peer: &Peer) -> Self {
        Self {
            alarm: Alarm::default(),
            next: peer.started + limits::TICK,
            progress: (0, peer.started),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, peer: &Peer) -> Poll<Verdict> {
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
            } else if now - peer.idle_since() >= limits::IDLE {
                return Poll::Ready(Verdict::Finish);
            }
        }
    }
}

/// Streams are tasks of the connection's own thread.
#[derive(Clone, Copy, Debug)]
struct Spawn;

impl<F: Future + 'static> hyper::rt::Executor<F> for Spawn {
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(async move {
            stream.await;
        });
    }
}
