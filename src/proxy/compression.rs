//! Compression of responses while they pass through: which ones is decided in [`graph::compression`](crate::graph::compression).

use std::{
    cell::Cell,
    fmt,
    io::{self, Write},
    rc::Rc,
};

use brotli::{CompressorWriter, enc::BrotliEncoderParams};
use bytes::Bytes;
use flate2::write::GzEncoder;
use http::{
    HeaderMap, HeaderValue, Method, Response,
    header::{ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, VARY},
};
use http_body::Body;

use super::{
    body::Kind,
    limits,
    recode::{Recoded, Recoder},
    survey::has_token,
};
use crate::graph::compression::{Coder, Coding, Compression};

/// Bytes that an encoder looks back at, as a power of two: what it needs of memory goes with it.
const WINDOW: u8 = 18;

/// The smallest window of brotli.
const LEAST_WINDOW: u8 = 10;

/// Bytes that brotli hands over at a time.
const BUFFER: usize = 8 * 1024;

/// Bytes that the encoders of a worker take, by what each is known to take.
#[derive(Clone, Debug, Default)]
pub(super) struct Encoders(Rc<Cell<usize>>);

/// What becomes of the response to a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'g> {
    compression: &'g Compression,
    /// None when the client takes none.
    coder: Option<Coder>,
}

/// Compresses a body, piece by piece.
pub(super) struct Compressor {
    encoder: Encoder,
    /// Whether there are bytes that it may have kept.
    holds: bool,
    _part: Part,
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::Encoder<'static, Vec<u8>>),
}

/// Given back when it is dropped.
#[derive(Debug)]
struct Part {
    of: Encoders,
    bytes: usize,
}

impl<'g> Wanted<'g> {
    /// Looks at the request before it goes on, and may keep from the upstream which codings the client takes.
    pub(super) fn of(
        compression: &'g Compression,
        method: &Method,
        headers: &mut HeaderMap,
    ) -> Self {
        let coder = compression.coder(method, headers);
        if compression.hides_codings {
            headers.remove(ACCEPT_ENCODING);
        }
        Self { compression, coder }
    }

    /// Compresses the response, if that is wanted, worth it and allowed.
    pub(super) fn apply<B: Body>(
        self,
        response: Response<Kind<B>>,
        encoders: &Encoders,
    ) -> Response<Kind<B>> {
        let (mut parts, kind) = response.into_parts();
        if !self.compression.suits(parts.status, &parts.headers) {
            return Response::from_parts(parts, kind);
        }
        // Also where this client gets it as it is: a cache must not show the one to who takes the other only.
        vary(&mut parts.headers);
        let kind = match (kind, self.coder) {
            (Kind::Upstream(from), Some(coder)) if !from.body.is_end_stream() => {
                match Compressor::new(coder, length(&parts.headers), encoders) {
                    Some(compressor) => {
                        tell(&mut parts.headers, coder.coding);
                        Kind::Recoded(Recoded::new(
                            from,
                            Recoder::Compression(Box::new(compressor)),
                        ))
                    }
                    None => Kind::Upstream(from),
                }
            }
            (kind, _) => kind,
        };
        Response::from_parts(parts, kind)
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    text.parse().ok()
}

/// Makes the head that of the compressed response.
fn tell(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
    headers.remove(CONTENT_LENGTH);
    // Of what is compressed now, no part can be asked for.
    headers.remove(ACCEPT_RANGES);
    let tag = headers.get(ETAG).map(HeaderValue::as_bytes);
    // What is the same is so no more to the byte (RFC 9110, section 8.8.3.3).
    if let Some(tag) = tag.filter(|tag| !tag.starts_with(b"W/"))
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag].concat())
    {
        headers.insert(ETAG, weak);
    }
}

fn vary(headers: &mut HeaderMap) {
    let said = |value: &HeaderValue| has_token(value, "accept-encoding") || has_token(value, "*");
    if !headers.get_all(VARY).iter().any(said) {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
}

// === impl Encoders ===

impl Encoders {
    /// Room for one more, if there is any.
    fn take(&self, bytes: usize) -> Option<Part> {
        let all = self.0.get() + bytes;
        (all <= limits::ENCODERS).then(|| {
            self.0.set(all);
            Part {
                of: self.clone(),
                bytes,
            }
        })
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.of.0.set(self.of.0.get() - self.bytes);
    }
}

// === impl Compressor ===

impl Compressor {
    /// For a body of so many bytes, if that is known. None when there are as many as there may be.
    fn new(coder: Coder, length: Option<u64>, encoders: &Encoders) -> Option<Self> {
        let part = encoders.take(match coder.coding {
            Coding::Gzip => 320 * 1024,
            Coding::Brotli | Coding::Zstd => 2 * 1024 * 1024,
        })?;
        let encoder = match Encoder::new(coder, length) {
            Ok(encoder) => encoder,
            Err(error) => {
                tracing::debug!(%error, "A response is not compressed");
                return None;
            }
        };
        Some(Self {
            encoder,
            holds: false,
            _part: part,
        })
    }

    pub(super) fn take(&mut self, data: &Bytes) -> io::Result<Option<Bytes>> {
        if data.is_empty() {
            return Ok(None);
        }
        self.encoder.write().write_all(data)?;
        self.holds = true;
        Ok(self.encoder.ready())
    }

    pub(super) fn flush(&mut self) -> io::Result<Option<Bytes>> {
        if !std::mem::take(&mut self.holds) {
            return Ok(None);
        }
        self.encoder.write().flush()?;
        Ok(self.encoder.ready())
    }

    pub(super) fn end(self) -> io::Result<Option<Bytes>> {
        let rest = self.encoder.finish()?;
        Ok(some(rest))
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

// === impl Encoder ===

impl Encoder {
    fn new(coder: Coder, length: Option<u64>) -> io::Result<Self> {
        let window = window(length);
        Ok(match coder.coding {
            Coding::Gzip => {
                let level = flate2::Compression::new(coder.level.into());
                Self::Gzip(GzEncoder::new(Vec::new(), level))
            }
            Coding::Brotli => {
                let params = BrotliEncoderParams {
                    quality: coder.level.into(),
                    lgwin: window.into(),
                    size_hint: usize::try_from(length.unwrap_or(0)).unwrap_or(0),
                    ..BrotliEncoderParams::default()
                };
                let writer = CompressorWriter::with_params(Vec::new(), BUFFER, &params);
                Self::Brotli(Box::new(writer))
            }
            Coding::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), coder.level.into())?;
                encoder.set_pledged_src_size(length)?;
                encoder.window_log(window.into())?;
                Self::Zstd(encoder)
            }
        })
    }

    fn write(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(encoder) => encoder,
            Self::Brotli(encoder) => encoder,
            Self::Zstd(encoder) => encoder,
        }
    }

    /// What has come out of it.
    fn ready(&mut self) -> Option<Bytes> {
        let out = match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        };
        some(std::mem::take(out))
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

/// A window that is not larger than the body.
fn window(length: Option<u64>) -> u8 {
    let bits = |length: u64| u64::BITS - length.leading_zeros();
    let needed = length.and_then(|length| u8::try_from(bits(length)).ok());
    needed.map_or(WINDOW, |bits| bits.clamp(LEAST_WINDOW, WINDOW))
}

fn some(bytes: Vec<u8>) -> Option<Bytes> {
    (!bytes.is_empty()).then(|| bytes.into())
}

#[cfg(test)]
mod tests;
