//! HTTP/2 to an upstream: many exchanges at a time on few connections.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    client::conn::http2::{Builder, SendRequest},
    rt::Executor,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{task::spawn_local, time::Instant};
use tracing::{Instrument, Span, debug, debug_span};

use super::{
    RequestBody,
    body::{Exchange, Lease, ResponseBody},
    error::UpstreamError,
    pool::Order,
    request::{Copied, Unanswered, for_http2},
    stream::Stream,
    worker::{is_due, retirement},
};

/// Bytes that an upstream may send ahead on one stream.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Bytes that an upstream may send ahead on all streams of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of a request that are buffered on one stream.
const SEND_BUFFER: usize = 64 * 1024;
/// The largest head of a response.
const MAX_HEAD: u32 = 64 * 1024;
/// Streams on one connection, whatever more the upstream would take: one connection is one pod behind a Service.
const MAX_STREAMS: usize = 100;
/// While there are streams, the upstream must answer to a ping this often…
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// … and this fast, or the connection is dead.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// An open connection.
pub(super) struct Connection<B> {
    sender: RefCell<SendRequest<B>>,
    address: SocketAddr,
    streams: Cell<usize>,
    /// How many streams the upstream takes.
    limit: Rc<Cell<usize>>,
    retirement: Option<Instant>,
    /// It failed a request: what comes next goes elsewhere.
    failed: Cell<bool>,
    idle_since: Cell<Instant>,
}

/// Runs what a connection needs on the worker that it belongs to.
#[derive(Clone, Debug)]
struct Local(Span);

/// Sends a request on a connection that is open, or opens one. Goes to another one, once, when the upstream did not take the
/// request, or when no harm can come of it.
pub(super) async fn send<B: RequestBody>(
    order: Order<'_, B>,
    mut request: Request<B>,
    replay: bool,
) -> Result<Response<ResponseBody>, UpstreamError> {
    for_http2(&mut request, order.upstream.tls.is_some())?;
    let copied = request
        .body()
        .is_end_stream()
        .then(|| Box::new(Copied::of(&request)));
    let (connection, opened) = order.http2().await?;
    order.reaches(connection.address);
    let unanswered = match connection.exchange(request).await {
        Ok(response) => return Ok(response),
        Err(unanswered) => unanswered,
    };
    let request = unanswered.or_copied(copied, |error| {
        matches!(error, UpstreamError::NotTaken(_))
            || (replay && !opened && matches!(error, UpstreamError::Reset(_)))
    })?;
    order.pool.worker.counters.replays.increase();
    let (connection, _) = order.http2().await?;
    order.reaches(connection.address);
    connection
        .exchange(*request)
        .await
        .map_err(|unanswered| unanswered.error)
}

// === impl Connection ===

impl<B: RequestBody> Connection<B> {
    pub(super) async fn open(order: &Order<'_, B>) -> Result<Rc<Self>, UpstreamError> {
        let dialled = order.dial().await?;
        let worker = &order.pool.worker;
        let stream = Stream::new(dialled.transport, worker.counters.clone());
        let span = debug_span!("upstream", server.addr = %dialled.address);
        let (sender, mut connection) = Builder::new(Local(span.clone()))
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            // Until the upstream has said how many it takes: it refuses what is more.
            .initial_max_send_streams(1)
            .max_header_list_size(MAX_HEAD)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| UpstreamError::before_head(error, false))?;
        let limit = Rc::new(Cell::new(MAX_STREAMS));
        let told = limit.clone();
        let driving = async move {
            let driven = poll_fn(|cx| {
                let polled = Pin::new(&mut connection).poll(cx);
                // One is what we began with, and no reason to open a second connection.
                let streams = connection.current_max_send_streams();
                told.set(if streams > 1 {
                    streams.min(MAX_STREAMS)
                } else {
                    MAX_STREAMS
                });
                polled
            });
            if let Err(error) = driven.await {
                debug!(%error, "Connection ended early");
            }
        };
        spawn_local(driving.instrument(span));
        Ok(Rc::new(Self {
            sender: RefCell::new(sender),
            address: dialled.address,
            streams: Cell::new(0),
            limit,
            retirement: retirement(order.upstream.max_age),
            failed: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
        }))
    }

    async fn exchange(
        self: Rc<Self>,
        request: Request<B>,
    ) -> Result<Response<ResponseBody>, Unanswered<B>> {
        self.streams.set(self.streams.get() + 1);
        let lease = Lease::new(self.clone());
        let sent = self.sender.borrow_mut().try_send_request(request);
        match sent.await {
            Ok(response) => Ok(response.map(|incoming| ResponseBody::new(incoming, lease))),
            Err(mut failed) => {
                let again = failed.take_message().map(Box::new);
                let error = UpstreamError::before_head(failed.into_error(), false);
                let elsewhere =
                    matches!(error, UpstreamError::NotTaken(_) | UpstreamError::Reset(_));
                if again.is_some() || elsewhere {
                    self.failed.set(true);
                }
                Err(Unanswered { error, again })
            }
        }
    }
}

impl<B> Connection<B> {
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn streams(&self) -> usize {
        self.streams.get()
    }

    pub(super) fn has_room(&self) -> bool {
        self.streams.get() < self.limit.get()
    }

    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since.get()
    }

    /// Whether new streams may be begun on it.
    pub(super) fn is_usable(&self) -> bool {
        !self.failed.get() && !self.sender.borrow().is_closed() && !is_due(self.retirement)
    }
}

impl<B> Exchange for Connection<B> {
    fn finish(self: Rc<Self>) {
        self.abandon();
    }

    fn abandon(&self) {
        self.streams.set(self.streams.get().saturating_sub(1));
        self.idle_since.set(Instant::now());
    }
}

// === impl Local ===

impl<F> Executor<F> for Local
where
    F: Future + 'static,
{
    fn execute(&self, future: F) {
        spawn_local(future.instrument(self.0.clone()));
    }
}
