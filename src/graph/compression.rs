//! Which responses are compressed, and how (RFC 9110, sections 8.4 and 12.5.3).

use std::sync::Arc;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_TYPE, ETAG,
    },
};

/// What holds for the responses of upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    /// The most wanted first.
    pub coders: Vec<Coder>,
    /// Bytes. What is shorter stays as it is.
    pub min_length: u64,
    /// Media types in lower case, without parameters. Others stay as they are.
    pub content_types: Arc<[Arc<str>]>,
    /// Whether what has an ETag stays as it is.
    pub leaves_etags: bool,
    /// Whether upstreams are not told which codings the client takes.
    pub hides_codings: bool,
}

/// A coding, and how much work is put into it: a number that the coding gives a meaning to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coder {
    pub coding: Coding,
    pub level: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

/// Digests of the bytes as they are: they would be wrong (RFC 9530).
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// How much a client wants something, in thousandths; none of it with 0.
type Quality = u16;

impl Coding {
    /// As headers name it.
    pub fn token(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    fn is(self, token: &[u8]) -> bool {
        token.eq_ignore_ascii_case(self.token().as_bytes())
            || self == Self::Gzip && token.eq_ignore_ascii_case(b"x-gzip")
    }
}

impl Compression {
    /// The coding that the client wants most; none when it would rather have none, or sees no body.
    pub fn coder(&self, method: &Method, headers: &HeaderMap) -> Option<Coder> {
        if *method == Method::HEAD {
            return None;
        }
        let wanted = Wanted(headers);
        let plain = wanted.named(|token| token.eq_ignore_ascii_case(b"identity"));
        let any = || wanted.named(|token| token == b"*");
        let mut best: Option<(Quality, Coder)> = None;
        for coder in &self.coders {
            let named = wanted.named(|token| coder.coding.is(token));
            let quality = named.or_else(any).unwrap_or(0);
            if quality > best.map_or(0, |(best, _)| best) {
                best = Some((quality, *coder));
            }
        }
        best.filter(|(quality, _)| *quality >= plain.unwrap_or(0))
            .map(|(_, coder)| coder)
    }

    /// Whether a response with this head may be compressed for those who take that.
    pub fn suits(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let bodiless = matches!(
            status,
            StatusCode::NO_CONTENT
                | StatusCode::RESET_CONTENT
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
        );
        if bodiless || status.is_informational() || !self.is_long_enough(headers) {
            return false;
        }
        let has = |name: &HeaderName| headers.contains_key(name);
        let is_taken = { headers.get(CONTENT_TYPE) }.is_some_and(|value| self.takes_type(value));
        let must_stay = has(&CONTENT_ENCODING)
            || has(&CONTENT_RANGE)
            || self.leaves_etags && has(&ETAG)
            || DIGESTS.iter().any(has)
            || headers.get_all(CACHE_CONTROL).iter().any(forbids);
        is_taken && !must_stay
    }

    /// What does not say its length may be long.
    fn is_long_enough(&self, headers: &HeaderMap) -> bool {
        let length = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok());
        let length = length.and_then(|text| text.parse::<u64>().ok());
        length.is_none_or(|length| length > 0 && length >= self.min_length)
    }

    fn takes_type(&self, value: &HeaderValue) -> bool {
        let essence = essence(value);
        !is_stream(essence) && { self.content_types.iter() }
            .any(|taken| essence.eq_ignore_ascii_case(taken.as_bytes()))
    }
}

/// A media type without its parameters.
pub fn essence(content_type: &HeaderValue) -> &[u8] {
    let bytes = content_type.as_bytes();
    let essence = bytes.split(|byte| *byte == b';').next();
    essence.unwrap_or_default().trim_ascii()
}

/// Whether each message of it is waited for, and has a frame of its own.
pub fn is_stream(essence: &[u8]) -> bool {
    let starts = |with: &[u8]| {
        essence
            .get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    starts(b"application/grpc") || essence.eq_ignore_ascii_case(b"text/event-stream")
}

/// Whether a `Cache-Control` says that nobody may change the body on its way.
fn forbids(value: &HeaderValue) -> bool {
    let mut directives = value.as_bytes().split(|byte| *byte == b',');
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// What a client says in `Accept-Encoding`.
struct Wanted<'h>(&'h HeaderMap);

impl Wanted<'_> {
    /// How much it wants the first that `is` knows; None when it does not say.
    fn named(&self, is: impl Fn(&[u8]) -> bool) -> Option<Quality> {
        let lines = self.0.get_all(ACCEPT_ENCODING).iter();
        let mut items = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        items.find_map(|item| {
            let mut parts = item.split(|byte| *byte == b';');
            let token = parts.next()?.trim_ascii();
            is(token).then(|| parts.find_map(quality).unwrap_or(1000))
        })
    }
}

/// The value of a `q`; what is not a number counts as 0.
fn quality(parameter: &[u8]) -> Option<Quality> {
    let (name, value) = parameter.trim_ascii().split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let (whole, digits) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return Some(0),
    };
    let padded = (0..3).map(|place| digits.get(place).copied().unwrap_or(b'0'));
    let thousandths = padded
        .map(|digit| digit.is_ascii_digit().then(|| u16::from(digit - b'0')))
        .try_fold(0, |sum, digit| Some(sum * 10 + digit?));
    Some(match (whole, thousandths) {
        (b'0', Some(thousandths)) => thousandths,
        (b'1', Some(0)) => 1000,
        _ => 0,
    })
}

#[cfg(test)]
mod tests;
