//! gRPC-Web: what a web page can speak of gRPC, on its way to an upstream that speaks gRPC itself
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>).
//!
//! The messages are the same. What is different: the trailers are the last message of the body, and in the text form all of
//! it is base64.

use bytes::{BufMut, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, TE},
};

use super::{STATUS, suffix};
use crate::{
    graph::{Forward, UpstreamProtocol, compression::essence},
    proxy::{
        base64,
        body::Kind,
        recode::{Recoded, Recoder},
    },
};

const BINARY: &[u8] = b"application/grpc-web";
const TEXT: &[u8] = b"application/grpc-web-text";
const GRPC: &[u8] = b"application/grpc";

/// The first byte of the message that is trailers.
const TRAILERS: u8 = 0x80;

/// How the bytes of a body are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Encoding {
    Binary,
    Text,
}

/// What a request of gRPC-Web is, and what its response is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Form {
    pub(in crate::proxy) request: Encoding,
    response: Encoding,
}

/// Writes the body of a response.
#[derive(Debug)]
pub(in crate::proxy) struct Writer {
    form: Form,
    /// Those that came with the head, where there is no message.
    status: Option<HeaderMap>,
}

impl Form {
    /// None when the request is not one of gRPC-Web.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let (request, _) = read(headers.get(CONTENT_TYPE)?)?;
        let response = headers.get(ACCEPT).and_then(read);
        let response = response.map_or(request, |(encoding, _)| encoding);
        Some(Self { request, response })
    }

    /// Makes the head of a request that of gRPC, where it goes to an upstream that speaks that.
    pub(in crate::proxy) fn begin(
        forward: &Forward,
        method: &Method,
        headers: &mut HeaderMap,
    ) -> Option<Self> {
        if forward.upstream.protocol != UpstreamProtocol::Http2 || *method != Method::POST {
            return None;
        }
        let form = Self::of(headers)?;
        let (_, suffix) = read(headers.get(CONTENT_TYPE)?)?;
        let content_type = HeaderValue::from_bytes(&[GRPC, suffix].concat()).ok()?;
        headers.insert(CONTENT_TYPE, content_type);
        if form.request == Encoding::Text {
            headers.remove(CONTENT_LENGTH);
        }
        Some(form)
    }

    /// Asks for trailers, which is the last that is done to the head of the request.
    pub(in crate::proxy) fn tell(headers: &mut HeaderMap) {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }

    /// Makes a response of gRPC one of gRPC-Web; what is none stays as it is.
    pub(in crate::proxy) fn answer<B>(self, response: Response<Kind<B>>) -> Response<Kind<B>> {
        let (mut parts, kind) = response.into_parts();
        let headers = &mut parts.headers;
        let content_type = headers.get(CONTENT_TYPE);
        let content_type = content_type.filter(|value| super::is_grpc(value));
        let content_type = content_type.map(|value| self.content_type(value));
        let (from, content_type) = match (kind, content_type) {
            (Kind::Upstream(from), Some(content_type)) => (from, content_type),
            (kind, _) => return Response::from_parts(parts, kind),
        };
        headers.insert(CONTENT_TYPE, content_type);
        headers.remove(CONTENT_LENGTH);
        let writer = Writer {
            form: self,
            status: taken(headers),
        };
        let kind = Kind::Recoded(Recoded::new(from, Recoder::GrpcWeb(writer)));
        Response::from_parts(parts, kind)
    }

    /// The media type of the response, with the messages that `of` names.
    pub(super) fn content_type(self, of: &HeaderValue) -> HeaderValue {
        let name = match self.response {
            Encoding::Binary => BINARY,
            Encoding::Text => TEXT,
        };
        let essence = essence(of);
        let mut names = [TEXT, BINARY, GRPC].into_iter();
        let messages = names.find_map(|name| suffix(essence, name));
        let messages = messages.filter(|suffix| !suffix.is_empty());
        let bytes = [name, messages.unwrap_or(b"+proto")].concat();
        HeaderValue::from_bytes(&bytes).unwrap_or(HeaderValue::from_static("application/grpc-web"))
    }

    /// The message that is the trailers.
    pub(super) fn trailers(self, trailers: &HeaderMap) -> Bytes {
        let mut lines = BytesMut::with_capacity(64);
        for (name, value) in trailers {
            lines.put_slice(name.as_str().as_bytes());
            lines.put_u8(b':');
            lines.put_slice(value.as_bytes());
            lines.put_slice(b"\r\n");
        }
        let mut message = BytesMut::with_capacity(lines.len() + 5);
        message.put_u8(TRAILERS);
        message.put_u32(u32::try_from(lines.len()).unwrap_or(u32::MAX));
        message.put_slice(&lines);
        self.written(&message.freeze())
    }

    fn written(self, bytes: &Bytes) -> Bytes {
        match self.response {
            Encoding::Binary => bytes.clone(),
            Encoding::Text => base64::encoded(bytes),
        }
    }
}

impl Writer {
    pub(in crate::proxy) fn take(&self, data: &Bytes) -> Option<Bytes> {
        (!data.is_empty()).then(|| self.form.written(data))
    }

    /// The trailers as the last of the body.
    pub(in crate::proxy) fn end(self, trailers: Option<HeaderMap>) -> Option<Bytes> {
        let trailers = trailers.or(self.status)?;
        Some(self.form.trailers(&trailers))
    }
}

/// The status in the head of a response without messages: a page may be shown no headers but a few.
fn taken(headers: &mut HeaderMap) -> Option<HeaderMap> {
    const NAMES: [HeaderName; 3] = [
        STATUS,
        super::MESSAGE,
        HeaderName::from_static("grpc-status-details-bin"),
    ];
    headers.contains_key(STATUS).then(|| {
        let found = NAMES.into_iter().filter_map(|name| {
            let value = headers.remove(&name)?;
            Some((name, value))
        });
        found.collect()
    })
}

/// The encoding of a media type of gRPC-Web, and what it says of the messages.
fn read(value: &HeaderValue) -> Option<(Encoding, &[u8])> {
    let essence = essence(value);
    let of = |name| suffix(essence, name);
    let text = of(TEXT).map(|suffix| (Encoding::Text, suffix));
    text.or_else(|| of(BINARY).map(|suffix| (Encoding::Binary, suffix)))
}
