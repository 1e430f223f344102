//! The bodies of requests and responses while they pass through.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{
    alarm::Alarm,
    base64::{Decoder, Malformed},
    error::Reason,
    recode::Recoded,
    record::Record,
    retry::{Replay, Replayed},
    shadow::{self, Copied, Tee},
};

/// What goes to the upstream: counted, and cut off above the limit of the route.
#[derive(Debug, Default)]
pub(super) struct RequestBody(Option<(Source, Rc<Upload>)>);

/// Where the bytes of a request come from.
#[derive(Debug)]
enum Source {
    Client(Incoming),
    /// The same, of base64.
    Text(Incoming, Decoder),
    Replayed(Replayed),
    Copied(Copied),
}

/// Why the body of a request ends before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestBodyError {
    #[error("the request body is too large")]
    TooLarge,
    #[error("the request body broke off")]
    Broken(#[source] hyper::Error),
    #[error("the request body is no base64")]
    Encoding(#[source] Malformed),
    #[error("the body of the copy broke off")]
    CopyBroken,
}

/// How far the body of a request has come; shared by the body, which travels with the request, and who waits for an answer.
#[derive(Debug)]
pub(super) struct Upload {
    limit: u64,
    bytes: Cell<u64>,
    last: Cell<Instant>,
    state: Cell<UploadState>,
    /// Where it passes for a copy.
    tee: RefCell<Option<Tee>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UploadState {
    Running,
    Ended,
    TooLarge,
    Broken,
}

impl Upload {
    pub(super) fn new(limit: Option<u64>, now: Instant) -> Rc<Self> {
        Rc::new(Self {
            limit: limit.unwrap_or(u64::MAX),
            bytes: Cell::new(0),
            last: Cell::new(now),
            state: Cell::new(UploadState::Running),
            tee: RefCell::default(),
        })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    pub(super) fn state(&self) -> UploadState {
        self.state.get()
    }

    /// A copy of what passes from now on, which must be all of it.
    pub(super) fn copy(&self) -> Copied {
        let (tee, copied) = shadow::tee();
        self.tee.replace(Some(tee));
        copied
    }

    /// The last of it has passed.
    fn end(&self) {
        self.state.set(UploadState::Ended);
        if let Some(tee) = self.tee.take() {
            tee.end();
        }
    }

    /// What is still to come of it is waited for again.
    fn go_on(&self) {
        self.state.set(UploadState::Running);
        self.last.set(Instant::now());
    }

    /// When its last byte went through.
    pub(super) fn last(&self) -> Instant {
        self.last.get()
    }
}

impl RequestBody {
    pub(super) fn new(body: Incoming, upload: Rc<Upload>) -> Self {
        Self(Some((Source::Client(body), upload)))
    }

    /// What the base64 of the client means.
    pub(super) fn decoding(body: Incoming, upload: Rc<Upload>) -> Self {
        Self(Some((Source::Text(body, Decoder::default()), upload)))
    }

    /// That of a copy.
    pub(super) fn copied(body: Copied) -> Self {
        let upload = Upload::new(None, Instant::now());
        Self(Some((Source::Copied(body), upload)))
    }

    /// The body of a request that may be sent again, or is: None when it cannot be.
    pub(super) fn again(replay: &Rc<Replay>, upload: &Rc<Upload>) -> Option<Self> {
        match upload.state() {
            UploadState::Running | UploadState::Ended => {}
            UploadState::TooLarge | UploadState::Broken => return None,
        }
        let body = replay.again()?;
        if replay.is_still_coming() {
            upload.go_on();
        }
        Some(Self(Some((Source::Replayed(body), upload.clone()))))
    }
}

impl Source {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Client(body) | Self::Text(body, _) => body.is_end_stream(),
            Self::Replayed(body) => body.is_end_stream(),
            Self::Copied(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Client(body) => body.size_hint(),
            Self::Replayed(body) => body.size_hint(),
            Self::Text(..) | Self::Copied(_) => SizeHint::default(),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let Some((body, upload)) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let frame = match body {
            Source::Client(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                frame.map(|frame| frame.map_err(RequestBodyError::Broken))
            }
            Source::Text(body, decoder) => {
                let frame = ready!(Pin::new(&mut *body).poll_frame(context));
                decoded(frame, decoder, body.is_end_stream())
            }
            Source::Replayed(body) => match ready!(body.poll(context)) {
                (frame, true) => frame.map(|frame| frame.map_err(RequestBodyError::Broken)),
                // It was looked at when it came.
                (frame, false) => {
                    return Poll::Ready(frame.map(|frame| frame.map_err(RequestBodyError::Broken)));
                }
            },
            Source::Copied(body) => {
                let frame = ready!(body.poll(context));
                let broken = |()| RequestBodyError::CopyBroken;
                return Poll::Ready(frame.map(|frame| frame.map_err(broken)));
            }
        };
        upload.last.set(Instant::now());
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                upload.bytes.set(upload.bytes.get() + length);
                if upload.bytes.get() > upload.limit {
                    upload.state.set(UploadState::TooLarge);
                    return Poll::Ready(Some(Err(RequestBodyError::TooLarge)));
                }
                if let Some(tee) = &*upload.tee.borrow() {
                    tee.pass(&frame);
                }
                if body.is_end_stream() {
                    upload.end();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                upload.tee.take();
                upload.state.set(UploadState::Broken);
                Some(Err(error))
            }
            None => {
                upload.end();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let empty = || SizeHint::with_exact(0);
        self.0
            .as_ref()
            .map_or_else(empty, |(body, _)| body.size_hint())
    }
}

/// A frame of base64 as what it means.
fn decoded(
    frame: Option<Result<Frame<Bytes>, hyper::Error>>,
    decoder: &mut Decoder,
    ends: bool,
) -> Option<Result<Frame<Bytes>, RequestBodyError>> {
    let frame = match frame {
        Some(Ok(frame)) => Some(frame),
        Some(Err(error)) => return Some(Err(RequestBodyError::Broken(error))),
        None => None,
    };
    let taken = match frame.map(Frame::into_data) {
        Some(Ok(data)) => decoder.take(&data).map(|data| Some(Frame::data(data))),
        Some(Err(other)) => Ok(Some(other)),
        None => Ok(None),
    };
    let whole = taken.and_then(|frame| {
        if ends || frame.is_none() {
            decoder.end()?;
        }
        Ok(frame)
    });
    whole.map_err(RequestBodyError::Encoding).transpose()
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // An upstream that answers early does not read to the end: nobody waits for this body any more.
        if let Some((_, upload)) = &self.0
            && upload.state.get() == UploadState::Running
        {
            upload.state.set(UploadState::Ended);
        }
    }
}

/// What goes to the client; when it is gone, the request has ended.
#[derive(Debug)]
pub(super) struct ReplyBody<B> {
    kind: Kind<B>,
    record: Record,
}

/// Where the bytes of a response come from.
#[derive(Debug)]
pub(super) enum Kind<B> {
    Empty,
    Full(Bytes),
    Upstream(Streaming<B>),
    /// The upstream's, in another form.
    Recoded(Box<Recoded<B>>),
}

/// The body of an upstream's response, with its timeouts.
#[derive(Debug)]
pub(super) struct Streaming<B> {
    pub(super) body: B,
    pub(super) alarm: Rc<Alarm>,
    pub(super) idle: Duration,
    /// The end of everything.
    pub(super) deadline: Option<Instant>,
    /// Since when nothing has come.
    pub(super) waiting_since: Option<Instant>,
    pub(super) upload: Option<Rc<Upload>>,
}

/// Why the body of a response ends before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReplyBodyError {
    #[error("the response body did not arrive in time")]
    Timeout,
    #[error("the response body broke off")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the response body could not be put into another form")]
    Recoding(#[source] std::io::Error),
}

/// A frame of a response, or its end.
pub(super) type UpstreamFrame = Option<Result<Frame<Bytes>, ReplyBodyError>>;

impl<B> Streaming<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<UpstreamFrame> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting_since = None;
            return Poll::Ready(
                frame.map(|frame| frame.map_err(|error| ReplyBodyError::Broken(error.into()))),
            );
        }
        let since = *self.waiting_since.get_or_insert_with(Instant::now);
        loop {
            let deadline = self.next_deadline(since);
            ready!(self.alarm.poll(context, deadline));
            // Meanwhile bytes may have gone the other way.
            if self.next_deadline(since) == deadline {
                return Poll::Ready(Some(Err(ReplyBodyError::Timeout)));
            }
        }
    }

    fn next_deadline(&self, since: Instant) -> Instant {
        let sent = self.upload.as_ref().map_or(since, |upload| upload.last());
        let idle = since.max(sent) + self.idle;
        self.deadline.map_or(idle, |deadline| deadline.min(idle))
    }
}

impl<B> ReplyBody<B>
where
    B: Body<Data = Bytes>,
{
    pub(super) fn new(kind: Kind<B>, mut record: Record) -> Self {
        record.complete = match &kind {
            Kind::Empty => true,
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Upstream(streaming) => streaming.body.is_end_stream(),
            Kind::Recoded(recoded) => recoded.is_done(),
        };
        Self { kind, record }
    }
}

impl<B> Body for ReplyBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = ReplyBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyBodyError>>> {
        let this = &mut *self;
        let frame = match &mut this.kind {
            Kind::Empty => None,
            Kind::Full(bytes) if bytes.is_empty() => None,
            Kind::Full(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Kind::Upstream(streaming) => ready!(streaming.poll_frame(context)),
            Kind::Recoded(recoded) => ready!(recoded.poll_frame(context)),
        };
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                this.record.sent(length);
                this.record.complete = match &this.kind {
                    Kind::Empty | Kind::Full(_) => true,
                    Kind::Upstream(streaming) => streaming.body.is_end_stream(),
                    Kind::Recoded(recoded) => recoded.is_done(),
                };
            }
            Some(Err(error)) => {
                tracing::debug!(
                    error = error as &dyn std::error::Error,
                    "A response broke off"
                );
                this.record.reason = Reason::ResponseBroken;
                this.record.complete = true;
            }
            None => this.record.complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Upstream(streaming) => streaming.body.is_end_stream(),
            Kind::Recoded(recoded) => recoded.is_done(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Upstream(streaming) => streaming.body.size_hint(),
            Kind::Recoded(_) => SizeHint::default(),
        }
    }
}
