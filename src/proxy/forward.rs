//! The way to an upstream: who may take it, and how long it may take.

use std::{
    error::Error,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{TryFutureExt, future::Either};
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    alarm::Alarm,
    body::{RequestBody, Upload, UploadState},
    error::ProxyError,
    limits,
    retry::{self, Replay},
    upstream::{self, Pools, Reached, ResponseBody, Retries, Trial, UpstreamError, Way},
};
use crate::graph::{
    AuthorityError, DialPolicy, Forward, Graph, Upstream, breaker::Priority, retry::Retry,
};

/// The connections of one worker to its upstreams.
pub(super) trait Upstreams: 'static {
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + 'static;

    /// Sends a request, and returns the head of the response.
    fn send<'o>(
        &'o self,
        way: Way<'o>,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Self::Body>, ProxyError>>;

    /// What bounds how often requests are sent to an upstream again.
    fn retries(&self, upstream: &Upstream, priority: Priority) -> Retries;

    /// A connection that is not HTTP.
    type Tcp: AsyncRead + AsyncWrite + Unpin + 'static;

    /// Opens a connection for bytes of whatever protocol.
    fn open<'o>(
        &'o self,
        upstream: &'o Arc<Upstream>,
        dial: &'o DialPolicy,
        reached: &'o Reached,
    ) -> impl Future<Output = Result<Self::Tcp, ProxyError>>;

    /// The connection behind a 101.
    fn upgrade(response: Response<Self::Body>) -> OnUpgrade;

    /// A snapshot has taken the place of another.
    fn sweep(&self, graph: &Graph);

    /// No more requests will come.
    fn close(&self);
}

impl Upstreams for Pools<RequestBody> {
    type Body = ResponseBody;

    fn send<'o>(
        &'o self,
        way: Way<'o>,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<ResponseBody>, ProxyError>> {
        let upstream = way.upstream;
        Self::send(self, way, request).map_err(|error| {
            let reason = &error as &dyn Error;
            tracing::debug!(upstream = %upstream.id, error = reason, "A request got no response");
            (&error).into()
        })
    }

    fn retries(&self, upstream: &Upstream, priority: Priority) -> Retries {
        Self::retries(self, upstream, priority)
    }

    type Tcp = upstream::Opened;

    async fn open<'o>(
        &'o self,
        upstream: &'o Arc<Upstream>,
        dial: &'o DialPolicy,
        reached: &'o Reached,
    ) -> Result<upstream::Opened, ProxyError> {
        let opened = Self::open(self, upstream, dial, reached).await;
        opened.map_err(|error| {
            let reason = &error as &dyn Error;
            tracing::debug!(upstream = %upstream.id, error = reason, "A connection has no upstream");
            (&error).into()
        })
    }

    fn upgrade(mut response: Response<ResponseBody>) -> OnUpgrade {
        upstream::upgraded(&mut response)
    }

    fn sweep(&self, graph: &Graph) {
        Self::sweep(self, graph);
    }

    fn close(&self) {
        Self::close(self);
    }
}

impl From<&UpstreamError> for ProxyError {
    fn from(error: &UpstreamError) -> Self {
        match error {
            UpstreamError::NoAddress | UpstreamError::Dns(_) => Self::Resolve,
            UpstreamError::DialRefused(_) => Self::DialRefused,
            UpstreamError::CircuitOpen => Self::CircuitOpen,
            UpstreamError::Connect(_) => Self::Connect,
            UpstreamError::ConnectTimeout(_) => Self::ConnectTimeout,
            UpstreamError::Tls(_) => Self::UpstreamTls,
            UpstreamError::Authority(_) => Self::Authority(AuthorityError::Name),
            UpstreamError::RequestBody(_) => Self::BodyBroken,
            UpstreamError::NotTaken(_) => Self::Overloaded,
            UpstreamError::Reset(_) => Self::UpstreamReset,
            UpstreamError::HeadBroken(_)
            | UpstreamError::Protocol(_)
            | UpstreamError::Framing(_)
            | UpstreamError::UnexpectedUpgrade
            | UpstreamError::Body(_) => Self::UpstreamProtocol,
        }
    }
}

/// Proof that a request may go to its upstream. Only [`admit`] makes one, and [`call`] takes it.
#[derive(Debug)]
pub(super) struct Admitted(());

/// The auth phase: between routing, which decides what a request must show, and every edit of it. Routes that ask for what
/// cannot be checked are compiled to [`Fail`](crate::graph::Action::Fail), so a route that forwards asks for nothing.
#[expect(
    clippy::unnecessary_wraps,
    reason = "every caller must be ready to be refused"
)]
pub(super) fn admit(
    _forward: &Forward,
    _method: &Method,
    _headers: &HeaderMap,
) -> Result<Admitted, ProxyError> {
    Ok(Admitted(()))
}

/// How long a request may take.
#[derive(Debug)]
pub(super) struct Patience {
    started: Instant,
    head: Option<Duration>,
    total: Option<Instant>,
    pub(super) idle: Duration,
    pub(super) upload: Option<Rc<Upload>>,
    pub(super) alarm: Rc<Alarm>,
    trial: Trial,
}

impl Patience {
    pub(super) fn new(
        forward: &Forward,
        started: Instant,
        upload: Option<Rc<Upload>>,
        alarm: Rc<Alarm>,
    ) -> Self {
        Self {
            started,
            head: forward.head_timeout,
            total: forward.total_timeout.map(|total| started + total),
            // "Never" is bounded too: a client that is gone may not be seen to be.
            idle: forward.idle_timeout.unwrap_or(limits::STREAM_STALL),
            upload,
            alarm,
            trial: Trial::default(),
        }
    }

    /// When the whole response must have been sent.
    pub(super) fn end(&self) -> Option<Instant> {
        self.total
    }

    /// When what is waited for must have happened, and what it is when it has not. While the body of the request runs, the
    /// client is waited for; the upstream has its time from the end of that body.
    fn next(&self) -> Option<(Instant, ProxyError)> {
        let upload = self.upload.as_ref();
        let next = match upload.map(|upload| (upload.state(), upload.last())) {
            Some((UploadState::Running, last)) => Some((last + self.idle, ProxyError::BodyStalled)),
            ended => self.head.map(|head| {
                let from = ended.map_or(self.started, |(_, last)| last);
                (from + head, ProxyError::UpstreamTimeout)
            }),
        };
        let total = self.total.map(|at| (at, ProxyError::UpstreamTimeout));
        match (next, total) {
            (Some(next), Some(total)) if total.0 < next.0 => Some(total),
            (Some(next), _) => Some(next),
            (None, total) => total,
        }
    }
}

/// What of the way is not the route's.
#[derive(Debug)]
pub(super) struct Sending<'o> {
    pub(super) dial: &'o DialPolicy,
    pub(super) affinity: Option<u64>,
    /// Where somebody wants to know the address.
    pub(super) reached: Option<&'o Reached>,
    /// The body, where it may be sent again.
    pub(super) again: Again,
}

/// Whether a request may be sent again, and with which body.
#[derive(Debug)]
pub(super) enum Again {
    Never,
    WithoutBody(Retry),
    WithBody(Retry, Rc<Replay>),
}

/// Sends a request that was admitted; [`wait`] waits for the head of the response.
pub(super) fn call<'o, U: Upstreams>(
    _admitted: Admitted,
    upstreams: &'o U,
    forward: &'o Forward,
    sending: Sending<'o>,
    request: Request<RequestBody>,
    patience: &'o Patience,
) -> impl Future<Output = Result<Response<U::Body>, ProxyError>> {
    let way = Way {
        upstream: &forward.upstream,
        dial: sending.dial,
        replay: request.method().is_idempotent() && patience.upload.is_none(),
        affinity: sending.affinity,
        priority: forward.priority,
        reached: sending.reached,
        trial: &patience.trial,
    };
    match sending.again {
        Again::Never => Either::Left(upstreams.send(way, request)),
        // Boxed: rare, and the future of every request would have room for it.
        again => Either::Right(Box::pin(send_again(
            upstreams, way, again, request, patience,
        ))),
    }
}

/// Waits until all of a body is there; returns it from its beginning.
pub(super) async fn gather(
    mut coming: RequestBody,
    replay: &Rc<Replay>,
    patience: &Patience,
) -> Result<RequestBody, ProxyError> {
    let all = pin!(async {
        while let Some(frame) = coming.frame().await {
            frame.map_err(|_| ProxyError::BodyBroken)?;
            if !replay.is_whole() {
                return Err(ProxyError::Overloaded);
            }
        }
        Ok(())
    });
    wait(all, patience).await?;
    let upload = patience.upload.as_ref();
    let whole = upload.and_then(|upload| RequestBody::again(replay, upload));
    whole.ok_or(ProxyError::Overloaded)
}

async fn send_again<U: Upstreams>(
    upstreams: &U,
    way: Way<'_>,
    again: Again,
    request: Request<RequestBody>,
    patience: &Patience,
) -> Result<Response<U::Body>, ProxyError> {
    let (retry, replay) = match again {
        Again::Never => return upstreams.send(way, request).await,
        Again::WithoutBody(retry) => (retry, None),
        Again::WithBody(retry, replay) => (retry, Some(replay)),
    };
    retry::send(upstreams, way, retry, request, || {
        match (&replay, &patience.upload) {
            (Some(replay), Some(upload)) => RequestBody::again(replay, upload),
            _ => Some(RequestBody::default()),
        }
    })
    .await
}

/// Waits for what the upstream answers, and not longer than the request may take. Where it is pinned is the caller's matter: a
/// future that is handed over has room twice in that of every request.
pub(super) async fn wait<R>(
    mut send: Pin<&mut impl Future<Output = Result<R, ProxyError>>>,
    patience: &Patience,
) -> Result<R, ProxyError> {
    let result = poll_fn(|context| {
        if let Poll::Ready(result) = send.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        while let Some((at, late)) = patience.next() {
            // The body may end, and the upstream's time begin, without anybody waking this task: look again by then.
            let look = patience.upload.as_ref().and(patience.head);
            let by = look.map_or(at, |look| at.min(Instant::now() + look));
            if patience.alarm.poll(context, by).is_pending() {
                return Poll::Pending;
            }
            if by == at && patience.next() == Some((at, late)) {
                if late == ProxyError::UpstreamTimeout {
                    patience.trial.late();
                }
                return Poll::Ready(Err(late));
            }
        }
        Poll::Pending
    })
    .await;
    // What went wrong upstream may only follow from what the client did.
    match (
        patience.upload.as_ref().map(|upload| upload.state()),
        result,
    ) {
        (Some(UploadState::TooLarge), _) => Err(ProxyError::BodyTooLarge),
        (Some(UploadState::Broken), Err(_)) => Err(ProxyError::BodyBroken),
        (_, result) => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::testing;

    fn patience(upload: Option<Rc<Upload>>, total: Option<Duration>) -> Patience {
        let mut forward = testing::forward("quote");
        forward.head_timeout = Some(Duration::from_secs(3));
        forward.total_timeout = total;
        forward.idle_timeout = Some(Duration::from_secs(30));
        Patience::new(&forward, Instant::now(), upload, Rc::default())
    }

    #[tokio::test(start_paused = true)]
    async fn the_upstream_has_its_time_from_the_end_of_the_request() {
        let now = Instant::now();
        let seconds = |count| now + Duration::from_secs(count);
        assert_eq!(
            patience(None, None).next(),
            Some((seconds(3), ProxyError::UpstreamTimeout))
        );
        let upload = Upload::new(None, now);
        assert_eq!(
            patience(Some(upload.clone()), None).next(),
            Some((seconds(30), ProxyError::BodyStalled))
        );
        assert_eq!(
            patience(Some(upload), Some(Duration::from_secs(5))).next(),
            Some((seconds(5), ProxyError::UpstreamTimeout))
        );
    }
}
