//! The body of a response. It holds the connection that it comes over, and gives it back when it has ended.

use std::{
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::{error::UpstreamError, load::Counted};

/// Streams from the upstream. Dropped before its end, it closes the connection, or resets the stream of HTTP/2.
pub struct ResponseBody {
    incoming: Incoming,
    lease: Option<Lease>,
    held: Held,
}

/// That the request is under way, where that is counted.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// To the endpoint.
    pub(super) _load: Option<Counted>,
    /// To the upstream.
    pub(super) request: Option<Counted>,
}

/// A connection that can be told what became of an exchange.
pub(super) trait Exchange {
    /// The response has been read to its end.
    fn finish(self: Rc<Self>);

    /// Nobody waits for the rest.
    fn abandon(&self);
}

/// The use of a connection for one exchange. Abandons it when dropped.
pub(super) struct Lease(Option<Rc<dyn Exchange>>);

// === impl ResponseBody ===

impl ResponseBody {
    pub(super) fn new(incoming: Incoming, lease: Lease) -> Self {
        let mut body = Self {
            incoming,
            lease: Some(lease),
            held: Held::default(),
        };
        if body.incoming.is_end_stream() {
            body.finish();
        }
        body
    }

    /// Of a response that has none, over no connection in particular.
    pub(super) fn unleased(incoming: Incoming) -> Self {
        Self {
            incoming,
            lease: None,
            held: Held::default(),
        }
    }

    /// Counts until its end.
    pub(super) fn holding(mut self, held: Held) -> Self {
        if self.lease.is_some() {
            self.held = held;
        }
        self
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.finish();
            self.held = Held::default();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let polled = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        Poll::Ready(match polled {
            Some(Ok(frame)) => {
                // Who knows the length does not ask again.
                if frame.is_trailers() || self.incoming.is_end_stream() {
                    self.finish();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                self.lease = None;
                Some(Err(UpstreamError::Body(error)))
            }
            None => {
                self.finish();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.lease.is_none();
        f.debug_struct("ResponseBody")
            .field("incoming", &self.incoming)
            .field("ended", &ended)
            .field("held", &self.held)
            .finish()
    }
}

// === impl Lease ===

impl Lease {
    pub(super) fn new(exchange: Rc<dyn Exchange>) -> Self {
        Self(Some(exchange))
    }

    pub(super) fn finish(mut self) {
        if let Some(exchange) = self.0.take() {
            exchange.finish();
        }
    }

    /// The connection is no longer one of HTTP: it ends with the tunnel that it has become.
    pub(super) fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(exchange) = self.0.take() {
            exchange.abandon();
        }
    }
}
