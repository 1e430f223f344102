//! Bodies of responses that become others on their way to the client.
//!
//! ```text
//! upstream ─> Streaming ─> Recoder: take, flush, end ─> client
//! ```
//!
//! What has been taken is never held back while the upstream says nothing.

use std::{
    io,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response, request::Parts};
use http_body::{Body, Frame};

use super::{
    body::{Kind, ReplyBodyError, Streaming, UpstreamFrame},
    compression::{Compressor, Encoders, Wanted},
    grpc::web::{Encoding, Form, Writer},
};
use crate::graph::{ClientPolicy, Forward};

/// What becomes of the response to a request. Nothing as a rule.
#[derive(Clone, Copy, Debug)]
pub(super) enum Plan<'g> {
    AsItIs,
    Compression(Wanted<'g>),
    GrpcWeb(Form),
}

/// Bytes that are taken before other connections have their turn.
const TURN: usize = 64 * 1024;

/// Makes one body of another, piece by piece.
#[derive(Debug)]
pub(super) enum Recoder {
    Compression(Box<Compressor>),
    GrpcWeb(Writer),
    /// It has given everything.
    Done,
}

/// What the last piece of a body becomes.
pub(super) type End = (Option<Bytes>, Option<HeaderMap>);

/// A body that becomes another.
#[derive(Debug)]
pub(super) struct Recoded<B> {
    from: Streaming<B>,
    recoder: Recoder,
    /// Whether all of the body has been handed over; the trailers may still be to come.
    ended: bool,
    trailers: Option<HeaderMap>,
}

// === impl Plan ===

impl<'g> Plan<'g> {
    /// Looks at a request that goes on, and makes its head that of what goes on.
    pub(super) fn begin(
        clients: &'g ClientPolicy,
        forward: &Forward,
        is_grpc: bool,
        parts: &mut Parts,
    ) -> Self {
        let (method, headers) = (&parts.method, &mut parts.headers);
        if clients.grpc_web
            && is_grpc
            && let Some(form) = Form::begin(forward, method, headers)
        {
            return Self::GrpcWeb(form);
        }
        match &clients.compression {
            Some(compression) => Self::Compression(Wanted::of(compression, method, headers)),
            None => Self::AsItIs,
        }
    }

    /// Whether the response goes on as it came.
    pub(super) fn is_to_do_nothing(&self) -> bool {
        matches!(self, Self::AsItIs)
    }

    /// Whether the body of the request is base64 and must not go on so.
    pub(super) fn decodes(&self) -> bool {
        matches!(self, Self::GrpcWeb(form) if form.request == Encoding::Text)
    }

    /// The last that is done to the head of the request.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        if let Self::GrpcWeb(_) = self {
            Form::tell(headers);
        }
    }

    pub(super) fn apply<B: Body>(
        self,
        response: Response<Kind<B>>,
        encoders: &Encoders,
    ) -> Response<Kind<B>> {
        match self {
            Self::AsItIs => response,
            Self::Compression(wanted) => wanted.apply(response, encoders),
            Self::GrpcWeb(form) => form.answer(response),
        }
    }
}

// === impl Recoder ===

impl Recoder {
    /// Takes a piece; returns what is ready.
    fn take(&mut self, data: &Bytes) -> io::Result<Option<Bytes>> {
        match self {
            Self::Compression(compressor) => compressor.take(data),
            Self::GrpcWeb(writer) => Ok(writer.take(data)),
            Self::Done => Ok(None),
        }
    }

    /// All that has been taken and not returned.
    fn flush(&mut self) -> io::Result<Option<Bytes>> {
        match self {
            Self::Compression(compressor) => compressor.flush(),
            Self::GrpcWeb(_) | Self::Done => Ok(None),
        }
    }

    /// The rest, and the trailers for the client.
    fn end(&mut self, trailers: Option<HeaderMap>) -> io::Result<End> {
        match std::mem::replace(self, Self::Done) {
            Self::Compression(compressor) => Ok((compressor.end()?, trailers)),
            Self::GrpcWeb(writer) => Ok((writer.end(trailers), None)),
            Self::Done => Ok((None, trailers)),
        }
    }
}

// === impl Recoded ===

impl<B> Recoded<B> {
    pub(super) fn new(from: Streaming<B>, recoder: Recoder) -> Box<Self> {
        Box::new(Self {
            from,
            recoder,
            ended: false,
            trailers: None,
        })
    }

    /// Whether everything has been handed over.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.trailers.is_none()
    }
}

impl<B> Recoded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<UpstreamFrame> {
        if self.ended {
            return Poll::Ready(self.trailers.take().map(|rest| Ok(Frame::trailers(rest))));
        }
        let polled = self.poll_body(context);
        if let Poll::Ready(Some(Err(_))) = polled {
            self.ended = true;
        }
        polled
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<UpstreamFrame> {
        let mut taken = 0;
        loop {
            let ready = match self.from.poll_frame(context) {
                Poll::Pending => match self.recoder.flush() {
                    Ok(None) => return Poll::Pending,
                    ready => ready,
                },
                Poll::Ready(None) => return Poll::Ready(self.end(None)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        taken += data.len();
                        self.recoder.take(&data)
                    }
                    Err(other) => return Poll::Ready(self.end(other.into_trailers().ok())),
                },
            };
            match ready {
                Ok(Some(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Ok(None) if taken < TURN => {}
                Ok(None) => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Some(Err(ReplyBodyError::Recoding(error)))),
            }
        }
    }

    /// The last data, or the trailers where there is none.
    fn end(&mut self, trailers: Option<HeaderMap>) -> UpstreamFrame {
        match self.recoder.end(trailers) {
            Ok((data, trailers)) => {
                self.ended = true;
                self.trailers = trailers;
                let data = data.map(Frame::data);
                let next = data.or_else(|| self.trailers.take().map(Frame::trailers));
                next.map(Ok)
            }
            Err(error) => Some(Err(ReplyBodyError::Recoding(error))),
        }
    }
}
