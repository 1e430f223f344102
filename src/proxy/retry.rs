//! Sending a request again when it has failed: as often as its route asks for, as long as the budget of the upstream lasts, and
//! never when its body is not there any more.

mod replay;

use std::time::Duration;

use futures_util::FutureExt;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::time::{sleep, timeout};

use super::{
    body::RequestBody,
    error::ProxyError,
    forward::Upstreams,
    upstream::{Retrying, Way},
};
use crate::graph::retry::{NoResponse, Retry};
pub(super) use replay::{Memory, Replay, Replayed};

/// Before the second time, at most; each further time twice as long, up to [`BACK_OFF_MOST`]. Chance takes a part of it, so that
/// what failed together does not come back together.
const BACK_OFF: Duration = Duration::from_millis(25);
const BACK_OFF_MOST: Duration = Duration::from_millis(250);
/// Frames of a response that will not be used that are read if they are there already, so that its connection can be.
const DRAINED_FRAMES: usize = 8;

/// A request that can be made once more.
struct Head {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
}

/// Sends a request until there is an answer to be content with. `body` makes that of the next time; None when it cannot.
pub(super) async fn send<U: Upstreams>(
    upstreams: &U,
    way: Way<'_>,
    retry: Retry,
    first: Request<RequestBody>,
    body: impl Fn() -> Option<RequestBody>,
) -> Result<Response<U::Body>, ProxyError> {
    let retries = upstreams.retries(way.upstream, way.priority);
    retries.begin();
    let head = Head::of(&first);
    let mut request = first;
    let mut sent = 0;
    // Counts until there is an answer.
    let mut _retrying = Retrying::default();
    loop {
        let outcome = attempt(upstreams.send(way, request), retry.per_try).await;
        if outcome.as_ref().err() == Some(&ProxyError::UpstreamTimeout) {
            way.trial.late();
        }
        if sent >= retry.count || !is_failure(retry, &outcome) {
            return outcome;
        }
        let Some(body) = body() else {
            return outcome;
        };
        let Some(allowed) = retries.allow() else {
            return outcome;
        };
        _retrying = allowed;
        match outcome {
            Ok(response) => drain(response.into_body()),
            Err(error) => tracing::debug!(upstream = %way.upstream.id, %error, "Sending again"),
        }
        sleep(back_off(sent)).await;
        request = head.with(body);
        sent += 1;
    }
}

async fn attempt<B>(
    sent: impl Future<Output = Result<Response<B>, ProxyError>>,
    limit: Option<Duration>,
) -> Result<Response<B>, ProxyError> {
    match limit {
        None => sent.await,
        Some(limit) => timeout(limit, sent)
            .await
            .unwrap_or(Err(ProxyError::UpstreamTimeout)),
    }
}

fn is_failure<B>(retry: Retry, outcome: &Result<Response<B>, ProxyError>) -> bool {
    match outcome {
        Ok(response) => retry.on.status(response.status()),
        Err(error) => error.no_response().is_some_and(|why| retry.on.failure(why)),
    }
}

fn back_off(sent: u32) -> Duration {
    let most = BACK_OFF.saturating_mul(1 << sent.min(8)).min(BACK_OFF_MOST);
    most.mul_f64(fastrand::f64())
}

/// Reads what has come of a response. If that is all, its connection takes the next request; else it is closed.
fn drain(mut body: impl Body + Unpin) {
    for _ in 0..DRAINED_FRAMES {
        let Some(Some(Ok(_))) = body.frame().now_or_never() else {
            return;
        };
    }
}

impl Head {
    fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: request.headers().clone(),
        }
    }

    fn with<B>(&self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers.clone();
        request
    }
}

impl ProxyError {
    /// Why there is no response, as far as another try may mend it.
    fn no_response(self) -> Option<NoResponse> {
        match self {
            Self::Connect | Self::ConnectTimeout | Self::UpstreamTls => Some(NoResponse::Connect),
            Self::Overloaded => Some(NoResponse::Refused),
            Self::UpstreamReset | Self::UpstreamProtocol | Self::UpstreamTimeout => {
                Some(NoResponse::Lost)
            }
            Self::Malformed(_)
            | Self::Path(_)
            | Self::Authority(_)
            | Self::EscapedSlash
            | Self::Method
            | Self::Version
            | Self::UriTooLong
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::BodyStalled
            | Self::BodyBroken
            | Self::Misdirected
            | Self::AddressDenied
            | Self::NoHost
            | Self::Insecure
            | Self::NoRoute
            | Self::Failed(_)
            | Self::Resolve
            | Self::DialRefused
            | Self::CircuitOpen => None,
        }
    }
}
