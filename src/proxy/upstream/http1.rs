//! HTTP/1.1 to an upstream: one exchange at a time on a connection, which is kept for the next when both messages are through.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    net::SocketAddr,
    rc::{Rc, Weak},
};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{
    task::{AbortHandle, spawn_local},
    time::Instant,
};
use tracing::{Instrument, debug, debug_span};

use super::{
    RequestBody,
    body::{Exchange, Lease, ResponseBody},
    breaker::Slot,
    endpoint::Endpoint,
    error::UpstreamError,
    pool::Order,
    request::Unanswered,
    stream::{Heard, Stream},
    tape::Tape,
    worker::{is_due, retirement},
};

/// Bytes that are buffered on a connection in either direction, and so the largest head of a response.
const MAX_BUFFER: usize = 64 * 1024;

/// An open connection; of its endpoint, of the exchange that it is in, or of nobody, and then it closes.
pub(super) struct Connection<B> {
    sender: RefCell<SendRequest<B>>,
    endpoint: Weak<Endpoint<B>>,
    address: SocketAddr,
    heard: Heard,
    tape: Tape,
    retirement: Option<Instant>,
    /// Its place among the connections that there may be.
    slot: Option<Slot>,
    idle_since: Cell<Instant>,
    /// What reads and writes.
    driver: AbortHandle,
}

/// How far a request has come before anybody waits for it. `F` waits for its response.
enum Begun<F, B> {
    Sent(F),
    NotYet(Box<Request<B>>),
}

/// Sends a request on an idle connection, or opens one. When the idle one turns out to be dead and no harm can come of it, the
/// request goes out once more on a new one.
pub(super) fn send<B: RequestBody>(
    order: Order<'_, B>,
    mut request: Request<B>,
    replay: bool,
) -> impl Future<Output = Result<Response<ResponseBody>, UpstreamError>> {
    // Whatever the client speaks; and hyper panics on some others.
    *request.version_mut() = Version::HTTP_11;
    let begun = match order.endpoint.take_idle() {
        Some(connection) => {
            order.reaches(connection.address);
            Begun::Sent(connection.exchange(request, replay))
        }
        None => Begun::NotYet(Box::new(request)),
    };
    async move {
        let request = match begun {
            Begun::Sent(sent) => {
                let Unanswered { error, again } = match sent.await {
                    Ok(response) => return Ok(response),
                    Err(unanswered) => unanswered,
                };
                let request = again.ok_or(error)?;
                order.pool.worker.counters.replays.increase();
                request
            }
            Begun::NotYet(request) => request,
        };
        // Boxed: opening is rare and large, and the future of every request would have room for it.
        let connection = Box::pin(order.http1()).await?;
        order.reaches(connection.address);
        let sent = connection.exchange(*request, false).await;
        sent.map_err(|unanswered| unanswered.error)
    }
}

impl<B: RequestBody> Connection<B> {
    pub(super) async fn open(
        order: &Order<'_, B>,
        slot: Option<Slot>,
    ) -> Result<Rc<Self>, UpstreamError> {
        let dialled = order.dial().await?;
        let worker = &order.pool.worker;
        let stream = Stream::new(dialled.transport, worker.counters.clone());
        let (heard, tape) = (stream.heard(), stream.tape());
        let (sender, connection) = Builder::new()
            // One buffer for head and body: a mesh decides what a connection is by its first bytes.
            .writev(false)
            .max_buf_size(MAX_BUFFER)
            // At most 100 fields is hyper's own limit; said in words, it clears the memory for them each time.
            .max_header_size(MAX_BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(UpstreamError::Reset)?;
        let span = debug_span!("upstream", server.addr = %dialled.address);
        let driving = async move {
            if let Err(error) = connection.with_upgrades().await {
                debug!(%error, "Connection ended early");
            }
        };
        let endpoint = order.pool.at(dialled.address);
        Ok(Rc::new(Self {
            sender: RefCell::new(sender),
            endpoint: endpoint.map_or_else(Weak::new, |endpoint| Rc::downgrade(&endpoint)),
            address: dialled.address,
            heard,
            tape,
            retirement: retirement(order.upstream.max_age),
            slot,
            idle_since: Cell::new(Instant::now()),
            driver: spawn_local(driving.instrument(span)).abort_handle(),
        }))
    }

    /// Sends the request at once, and waits for the head of the response. The future does not hold the request; with `replay`
    /// what was written of it is kept, and comes back if the connection turns out to be dead.
    fn exchange(
        self: Rc<Self>,
        request: Request<B>,
        replay: bool,
    ) -> impl Future<Output = Result<Response<ResponseBody>, Unanswered<B>>> {
        // Among so few, looking at each is less than looking one up.
        let mut names = request.headers().keys();
        let upgrade = names.any(|name| *name == header::UPGRADE);
        self.heard.forget();
        self.tape.begin(replay);
        // Boxed: it has room for a request that is not taken, and every future above this one would have it twice.
        let sent = Box::pin(self.sender.borrow_mut().try_send_request(request));
        let lease = Lease::new(self.clone());
        async move {
            match sent.await {
                Ok(response) => {
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                        self.tape.begin(false);
                    }
                    Ok(leased(response, lease, upgrade)?)
                }
                Err(mut failed) => {
                    let unsent = failed.take_message();
                    let error = UpstreamError::before_head(failed.into_error(), self.heard.get());
                    let harmless = replay && matches!(error, UpstreamError::Reset(_));
                    let again = unsent.or_else(|| self.tape.request().filter(|_| harmless));
                    let again = again.map(Box::new);
                    Err(Unanswered { error, again })
                }
            }
        }
    }
}

/// The response with what it holds of its connection; `upgrade` says whether one was asked for.
fn leased(
    response: Response<Incoming>,
    lease: Lease,
    upgrade: bool,
) -> Result<Response<ResponseBody>, UpstreamError> {
    check_framing(response.headers())?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        if !upgrade {
            return Err(UpstreamError::UnexpectedUpgrade);
        }
        lease.detach();
        return Ok(response.map(ResponseBody::unleased));
    }
    Ok(response.map(|incoming| ResponseBody::new(incoming, lease)))
}

/// Refuses what hyper lets through of ambiguous lengths (RFC 9112, section 6.3, where a proxy is asked to be strict).
fn check_framing(headers: &HeaderMap) -> Result<(), UpstreamError> {
    let (mut encoding, mut length) = (None, None);
    for (name, value) in headers {
        let seen = match *name {
            header::TRANSFER_ENCODING => &mut encoding,
            header::CONTENT_LENGTH => &mut length,
            _ => continue,
        };
        if seen.replace(value).is_some() {
            return Err(UpstreamError::Framing("said twice"));
        }
    }
    if encoding.is_some() && length.is_some() {
        return Err(UpstreamError::Framing("both length and transfer encoding"));
    }
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(UpstreamError::Framing("unknown transfer encoding"));
    }
    let digits = |length: &HeaderValue| length.as_bytes().iter().all(u8::is_ascii_digit);
    if length.is_some_and(|length| !digits(length)) {
        return Err(UpstreamError::Framing("length is no number"));
    }
    Ok(())
}

impl<B> Connection<B> {
    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since.get()
    }

    /// Whether somebody waits for its place.
    pub(super) fn is_wanted_elsewhere(&self) -> bool {
        self.slot.as_ref().is_some_and(Slot::is_wanted)
    }

    /// Whether it can take a request: open, idle, and not too old.
    pub(super) fn is_usable(&self) -> bool {
        self.sender.borrow().is_ready() && !is_due(self.retirement)
    }
}

impl<B> Exchange for Connection<B> {
    fn finish(self: Rc<Self>) {
        let (ready, closed) = {
            let sender = self.sender.borrow();
            (sender.is_ready(), sender.is_closed())
        };
        if ready {
            self.idle_since.set(Instant::now());
            if let Some(endpoint) = self.endpoint.upgrade() {
                endpoint.put_idle(self);
            }
        } else if !closed {
            // The response is through and the request is not: what is still to come of it must not meet the next one.
            self.driver.abort();
        }
    }

    fn abandon(&self) {
        // Dropping the sender is not enough: hyper would notice when the upstream next says something.
        self.driver.abort();
    }
}
