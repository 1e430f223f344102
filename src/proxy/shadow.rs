//! Copies of requests. They never delay or fail the request that they are copies of: what they would take too much of, they go
//! without.

mod tee;

use std::{cell::Cell, rc::Rc, time::Duration};

use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header::HOST};
use http_body_util::BodyExt;
use tokio::{
    task::spawn_local,
    time::{Instant, timeout_at},
};

use super::{
    affinity::Stay,
    body::{RequestBody, Upload},
    exchange,
    forward::{Admitted, Upstreams},
    peer::Peer,
    site::Site,
    upstream::{Trial, Way},
};
use crate::graph::{DialPolicy, breaker::Priority, shadow::Shadow};
pub(super) use tee::{Copied, Tee, tee};

/// Copies of one worker that are under way; while there are as many, no more are made.
const MOST: usize = 256;
/// What a copy has time for: the request that it is copied from may take long to come.
const TIME: Duration = Duration::from_mins(1);
/// Bytes of an answer that are read, so that its connection can take the next request; it is closed beyond that.
const ANSWER: usize = 1024 * 1024;

/// How many are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay(Rc<Cell<usize>>);

/// One that is. It is until it is dropped.
#[derive(Debug)]
struct Running(UnderWay);

/// The head of the request that a copy is made of, with what it depends on.
pub(super) struct Original<'r> {
    pub(super) request: &'r Request<RequestBody>,
    /// Where a body passes.
    pub(super) upload: Option<&'r Rc<Upload>>,
    pub(super) client: std::net::IpAddr,
    pub(super) peer: &'r Rc<Peer>,
    pub(super) dial: &'r DialPolicy,
}

/// Sends a copy of a request that was admitted, if there is room for it. Returns at once.
pub(super) fn send<U: Upstreams>(
    _admitted: &Admitted,
    site: &Rc<Site<U>>,
    shadow: &Shadow,
    original: &Original<'_>,
) {
    let counters = &original.peer.counters;
    let Some(running) = site.shadows.begin() else {
        counters.shadows_dropped.add(1);
        return;
    };
    counters.shadows_sent.add(1);
    let head = Head::of(original.request);
    let body = match original.upload {
        None => RequestBody::default(),
        Some(upload) => RequestBody::copied(upload.copy()),
    };
    let request = head.with(body);
    let forward = shadow.forward.clone();
    let seen = exchange::Head {
        method: request.method(),
        headers: request.headers(),
    };
    let stay = Stay::of(&forward.upstream.balance, &seen, original.client);
    let dial = original.dial.clone();
    let site = site.clone();
    spawn_local(async move {
        let until = Instant::now() + TIME;
        let way = Way {
            upstream: &forward.upstream,
            dial: &dial,
            replay: false,
            affinity: stay.hash,
            priority: Priority::Default,
            reached: None,
            // Nobody waits for an answer, and nobody is blamed for it.
            trial: &Trial::default(),
        };
        let sent = async {
            match site.upstreams.send(way, request).await {
                Ok(response) => read(response.into_body()).await,
                Err(error) => tracing::debug!(%error, "A copy of a request got no response"),
            }
        };
        // Nobody waits for it.
        let _ = timeout_at(until, sent).await;
        drop(running);
    });
}

/// Reads an answer that nobody wants to its end, if that is not far.
async fn read<B>(mut body: B)
where
    B: http_body::Body<Data = bytes::Bytes> + Unpin,
{
    let mut left = ANSWER;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, bytes::Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

// === impl UnderWay ===

impl UnderWay {
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.get()
    }

    fn begin(&self) -> Option<Running> {
        let count = self.0.get();
        (count < MOST).then(|| {
            self.0.set(count + 1);
            Running(self.clone())
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let count = &self.0.0;
        count.set(count.get() - 1);
    }
}

/// The head of a copy.
struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Head {
    fn of<B>(request: &Request<B>) -> Self {
        let mut headers = request.headers().clone();
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        if let Some(host) = host.map(Shadow::host)
            && let Ok(host) = HeaderValue::from_str(&host)
        {
            headers.insert(HOST, host);
        }
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers,
        }
    }

    fn with<B>(self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers;
        request
    }
}
