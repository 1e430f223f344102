//! Requests as upstreams get them, and what is left of one that got no response.

use http::{
    HeaderMap, HeaderValue, Method, Request, Uri, Version,
    header::{self, HeaderName},
    uri::{Authority, PathAndQuery, Scheme},
};

use super::error::UpstreamError;
use crate::{config::STAND_IN, graph::Target};

/// What belongs to a connection of HTTP/1, and is malformed in HTTP/2 (RFC 9113, section 8.2.2).
const OF_HTTP1: [HeaderName; 6] = [
    header::HOST,
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The head of a request, for sending it once more. Rarely needed: a list is made with less work than a map.
pub(super) struct Copied {
    method: Method,
    uri: Uri,
    version: Version,
    fields: Box<[(HeaderName, HeaderValue)]>,
}

/// A request that got no response.
pub(super) struct Unanswered<B> {
    pub(super) error: UpstreamError,
    /// The whole of it, if not a byte of it went out.
    pub(super) unsent: Option<Box<Request<B>>>,
}

/// Tells the echo server for whom it answers. To any other upstream that header is one like all others.
pub(super) fn name_stand_in<B>(request: &mut Request<B>, target: &Target) {
    let Target::Echo { name, .. } = target else {
        return;
    };
    let header = HeaderName::from_static(STAND_IN);
    match HeaderValue::from_str(name) {
        Ok(name) => request.headers_mut().insert(header, name),
        Err(_) => request.headers_mut().remove(header),
    };
}

/// Puts into the URI what HTTP/2 has there, and takes away what belongs to HTTP/1.
pub(super) fn for_http2<B>(request: &mut Request<B>, tls: bool) -> Result<(), UpstreamError> {
    let host = request.headers().get(header::HOST);
    let host = host.map_or(&b""[..], HeaderValue::as_bytes);
    let invalid = |error: http::Error| UpstreamError::Authority(error);
    let authority = Authority::try_from(host).map_err(|error| invalid(error.into()))?;
    let path = request.uri().path_and_query().cloned();
    let uri = Uri::builder()
        .scheme(if tls { Scheme::HTTPS } else { Scheme::HTTP })
        .authority(authority)
        .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
        .build()
        .map_err(invalid)?;
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_2;
    remove_connection_fields(request.headers_mut());
    Ok(())
}

fn remove_connection_fields(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_HTTP1) {
        headers.remove(name);
    }
    let trailers = headers.get(header::TE).is_some_and(|te| te == "trailers");
    if !trailers {
        headers.remove(header::TE);
    }
}

// === impl Copied ===

impl Copied {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            fields: cloned(request.headers()),
        }
    }

    fn with_empty_body<B: Default>(self) -> Request<B> {
        let mut request = Request::new(B::default());
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        for (name, value) in self.fields {
            request.headers_mut().append(name, value);
        }
        request
    }
}

fn cloned(headers: &HeaderMap) -> Box<[(HeaderName, HeaderValue)]> {
    let mut fields = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        fields.push((name.clone(), value.clone()));
    }
    fields.into()
}

// === impl Unanswered ===

impl<B> Unanswered<B> {
    /// The request to send once more: the very same if it was not sent, and a copy after an error that is `harmless`.
    pub(super) fn again(
        self,
        copied: Option<Copied>,
        harmless: impl FnOnce(&UpstreamError) -> bool,
    ) -> Result<Box<Request<B>>, UpstreamError>
    where
        B: Default,
    {
        match (self.unsent, copied) {
            (Some(request), _) => Ok(request),
            (None, Some(copied)) if harmless(&self.error) => Ok(Box::new(copied.with_empty_body())),
            (None, Some(_) | None) => Err(self.error),
        }
    }
}

impl<B> From<UpstreamError> for Unanswered<B> {
    fn from(error: UpstreamError) -> Self {
        Self {
            error,
            unsent: None,
        }
    }
}
