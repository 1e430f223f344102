//! One look at all header fields of a request: what is wrong with them, and what must not go further.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, FORWARDED, HOST, TE, TRANSFER_ENCODING,
        UPGRADE,
    },
    request::Parts,
};
use smallvec::SmallVec;

use super::{
    error::{Malformed, ProxyError},
    limits,
};

/// What the header fields of a request say about the request itself.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Fields that end here: hop-by-hop ones, and those that only a trusted peer may send.
    pub(super) drop: SmallVec<[HeaderName; 4]>,
    /// `Connection` says that `Upgrade` is meant.
    pub(super) upgrade: bool,
    /// There is an `Upgrade`.
    pub(super) names_protocol: bool,
    /// The client takes trailers.
    pub(super) trailers: bool,
    /// The body is gRPC, or gRPC-Web.
    pub(super) grpc: bool,
    /// The client would rather have JSON.
    pub(super) prefers_json: bool,
    pub(super) content_length: Option<u64>,
    /// The protocol that an extended CONNECT asks for.
    pub(super) connect: Option<Box<HeaderValue>>,
    hosts: u32,
    cookies: u32,
}

/// What the survey needs to know beforehand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Whether the peer's forwarding headers count.
    pub(super) trusted: bool,
    pub(super) allow_underscores: bool,
    /// Whether what the peer says of certificates counts.
    pub(super) keeps_cert: bool,
}

impl Survey {
    pub(super) fn of(headers: &HeaderMap, rules: Rules) -> Result<Self, ProxyError> {
        if headers.len() > limits::HEAD_FIELDS {
            return Err(ProxyError::HeadTooLarge);
        }
        let mut survey = Self::default();
        for (name, value) in headers {
            survey.field(name, value, rules)?;
        }
        Ok(survey)
    }

    fn field(
        &mut self,
        name: &HeaderName,
        value: &HeaderValue,
        rules: Rules,
    ) -> Result<(), ProxyError> {
        let text = name.as_str();
        match text.as_bytes()[0] {
            b'a' if text == "accept" => self.prefers_json = prefers_json(value),
            b'c' if *name == CONNECTION => {
                self.drop.push(CONNECTION);
                self.connection(value)?;
            }
            b'c' if *name == CONTENT_TYPE => self.grpc = is_grpc(value),
            b'c' if *name == CONTENT_LENGTH => {
                let text = str::from_utf8(value.as_bytes()).ok();
                self.content_length = text.and_then(|text| text.parse().ok());
            }
            b'c' if text == "cookie" => self.cookies += 1,
            b'e' if *name == EXPECT => self.drop.push(EXPECT),
            b'f' if *name == FORWARDED && !rules.trusted => self.drop.push(FORWARDED),
            b'h' if *name == HOST => self.hosts += 1,
            b'k' if text == "keep-alive" => self.drop.push(name.clone()),
            b'l' if text.starts_with("l5d-") && !rules.trusted => self.drop.push(name.clone()),
            b'p' if matches!(text, "proxy-connection" | "proxy-authorization") => {
                self.drop.push(name.clone());
            }
            b't' if *name == TRANSFER_ENCODING => self.drop.push(TRANSFER_ENCODING),
            b't' if *name == TE => {
                self.trailers = has_token(value, "trailers");
                self.drop.push(TE);
            }
            b'u' if *name == UPGRADE => {
                self.names_protocol = true;
                self.drop.push(UPGRADE);
            }
            b'x' if !rules.keeps_cert && is_forwarded_cert(text) => self.drop.push(name.clone()),
            b'x' if !rules.trusted && is_forwarding(text) => self.drop.push(name.clone()),
            _ => {}
        }
        if text.contains('_') {
            if !rules.allow_underscores {
                return Err(Malformed::Underscore.into());
            }
            if is_alias(text) {
                self.drop.push(name.clone());
            }
        }
        Ok(())
    }

    /// A name here makes a field hop-by-hop; what others rely on must not be taken away so (CVE-2026-6338).
    fn connection(&mut self, value: &HeaderValue) -> Result<(), ProxyError> {
        for token in value.as_bytes().split(|byte| *byte == b',') {
            let token = token.trim_ascii();
            let is = |name: &str| token.eq_ignore_ascii_case(name.as_bytes());
            match token.len() {
                0 => {}
                5 if is("close") => {}
                10 if is("keep-alive") => {}
                7 if is("upgrade") => self.upgrade = true,
                2 if is("te") => {}
                7 if is("trailer") => {}
                14 if is("http2-settings") => self.drop.push(HTTP2_SETTINGS),
                16 if is("proxy-connection") => {}
                _ => return Err(Malformed::Connection.into()),
            }
        }
        Ok(())
    }

    /// Takes what must not go further out of the headers.
    pub(super) fn clean(&self, headers: &mut HeaderMap) {
        for name in &self.drop {
            headers.remove(name);
        }
        if self.cookies > 1 {
            join_cookies(headers);
        }
    }
}

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What upstreams are told of the certificates of clients.
const FORWARDED_CERT: &str = "x-forwarded-client-cert";

/// A server behind may read `_` as `-`.
fn is_forwarded_cert(name: &str) -> bool {
    if name.len() != FORWARDED_CERT.len() {
        return false;
    }
    let mut bytes = name.bytes().zip(FORWARDED_CERT.bytes());
    bytes.all(|(byte, wanted)| byte == wanted || (byte, wanted) == (b'_', b'-'))
}

/// Whether a name with `_`, which a server behind may read as `-`, then means what is said by us, by a trusted proxy under its right
/// name, or about the connection.
fn is_alias(name: &str) -> bool {
    let meant = name.replace('_', "-");
    is_forwarding(&meant)
        || meant.starts_with("l5d-")
        || matches!(
            &*meant,
            "x-forwarded-for"
                | "x-forwarded-proto"
                | "x-request-id"
                | "content-length"
                | "transfer-encoding"
                | "keep-alive"
                | "proxy-connection"
                | "proxy-authorization"
        )
}

/// Names that tell about the client, and are believed only from a trusted peer. x-forwarded-for, x-forwarded-proto and
/// x-request-id are not among them: they are replaced. x-forwarded-client-cert has rules of its own.
fn is_forwarding(name: &str) -> bool {
    if let Some(rest) = name.strip_prefix("x-forwarded-") {
        return !matches!(rest, "for" | "proto" | "client-cert");
    }
    name.starts_with("x-original-")
        || name.starts_with("x-envoy-")
        || matches!(name, "x-real-ip" | "x-rewrite-url")
}

/// Whether a comma-separated list has a token, parameters aside.
pub(super) fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|item| {
        let name = item.split(|byte| *byte == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(token.as_bytes())
    })
}

/// By its beginning alone: who is told more looks again.
fn is_grpc(content_type: &HeaderValue) -> bool {
    const START: &[u8] = b"application/grpc";
    let start = content_type.as_bytes().get(..START.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(START))
}

/// JSON is named, and before any kind of text.
fn prefers_json(accept: &HeaderValue) -> bool {
    let first = accept
        .as_bytes()
        .split(|byte| *byte == b',')
        .find_map(|item| {
            let range = item.split(|byte| *byte == b';').next()?.trim_ascii();
            let is_json = range.eq_ignore_ascii_case(b"application/json")
                || range.to_ascii_lowercase().ends_with(b"+json");
            let is_text = range.to_ascii_lowercase().starts_with(b"text/");
            (is_json || is_text).then_some(is_json)
        });
    first == Some(true)
}

/// HTTP/2 clients send cookies in pieces, which only HTTP/2 allows (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut joined = Vec::new();
    for cookie in headers.get_all(http::header::COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(value) = HeaderValue::from_bytes(&joined) {
        headers.insert(http::header::COOKIE, value);
    }
}

/// What can be said of a request before its Listener is asked.
pub(super) fn check_line(parts: &Parts, http10: bool) -> Result<(), ProxyError> {
    let is_old = parts.version == Version::HTTP_10 && !http10;
    if is_old || parts.version == Version::HTTP_09 {
        return Err(ProxyError::Version);
    }
    if parts.method == Method::CONNECT {
        return Err(ProxyError::Method);
    }
    if !matches!(parts.uri.scheme_str(), None | Some("http" | "https")) {
        return Err(Malformed::Target.into());
    }
    let target = parts.uri.path_and_query();
    if target.is_some_and(|target| target.as_str().len() > limits::URI_BYTES) {
        return Err(ProxyError::UriTooLong);
    }
    Ok(())
}

/// The same without the port, if that is `port`.
pub(super) fn without_port(
    authority: HeaderValue,
    port: u16,
    headers: &mut HeaderMap,
) -> HeaderValue {
    let bytes = authority.as_bytes();
    let (Some(colon), false) = (memchr::memrchr(b':', bytes), bytes.ends_with(b"]")) else {
        return authority;
    };
    let (name, named) = bytes.split_at(colon);
    let named = str::from_utf8(&named[1..]).ok();
    if named.and_then(|port| port.parse().ok()) != Some(port) {
        return authority;
    }
    let Ok(value) = HeaderValue::from_bytes(name) else {
        return authority;
    };
    headers.insert(HOST, value.clone());
    value
}

/// Whom the request is for: one value, whatever says it.
pub(super) fn authority(
    survey: &Survey,
    uri: &Uri,
    headers: &mut HeaderMap,
) -> Result<HeaderValue, ProxyError> {
    if survey.hosts > 1 {
        return Err(Malformed::DuplicateHost.into());
    }
    let named = uri.authority().map(http::uri::Authority::as_str);
    match (named, headers.get(HOST)) {
        (None, Some(host)) => Ok(host.clone()),
        (Some(named), Some(host)) if host.as_bytes().eq_ignore_ascii_case(named.as_bytes()) => {
            Ok(host.clone())
        }
        (Some(_), Some(_)) => Err(Malformed::OtherHost.into()),
        (Some(named), None) => {
            let value = HeaderValue::from_str(named).map_err(|_| Malformed::NoHost)?;
            headers.insert(HOST, value.clone());
            Ok(value)
        }
        (None, None) => Err(Malformed::NoHost.into()),
    }
}

#[cfg(test)]
mod tests;
