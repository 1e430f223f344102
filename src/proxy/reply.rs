//! The replies that Postern makes itself, all of them.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, UPGRADE},
};
use serde::Serialize;
use smallvec::SmallVec;

use super::{
    body::Kind,
    error::{ProxyError, Reason},
    forwarding::RequestId,
    grpc,
};

/// What a reply depends on beside the error itself.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) prefers_json: bool,
    pub(super) is_head: bool,
    pub(super) is_http1: bool,
    pub(super) request_id: RequestId,
    /// What the client speaks, if that is gRPC.
    pub(super) grpc: Option<Box<grpc::Client>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'p> {
    status: u16,
    code: &'p str,
    message: &'p str,
    /// Nothing has been done: the same request may be sent again.
    retryable: bool,
    request_id: &'p str,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Says why a request was not answered by its upstream.
pub(super) fn error<B>(error: ProxyError, asked: &Asked) -> Response<Kind<B>> {
    let (code, message) = words(error);
    if let Some(client) = &asked.grpc {
        let mut response = client.error(error, &format!("{code}: {message}"));
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, asked.request_id.to_value());
        return closed(response, error, asked);
    }
    let problem = Problem {
        status: error.status().as_u16(),
        code: &code,
        message: &message,
        retryable: error.is_retryable(),
        request_id: asked.request_id.as_str(),
    };
    let (kind, text) = if asked.prefers_json {
        (JSON, serde_json::to_string(&problem).unwrap_or_default())
    } else {
        let Problem {
            status, request_id, ..
        } = problem;
        (
            TEXT,
            format!("{status} {code}: {message}\nrequest id: {request_id}\n"),
        )
    };
    let mut response = with_body(error.status(), text.into(), asked.is_head);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(REQUEST_ID, asked.request_id.to_value());
    if error == ProxyError::Version {
        headers.insert(UPGRADE, HeaderValue::from_static("HTTP/1.1"));
    }
    closed(response, error, asked)
}

/// Says that it is the last on its connection, where it is.
fn closed<B>(
    mut response: Response<Kind<B>>,
    error: ProxyError,
    asked: &Asked,
) -> Response<Kind<B>> {
    if asked.is_http1 && closes(error) {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// Sends the client elsewhere. A location that is no header value cannot be made of a canonical path: it is refused.
pub(super) fn redirect<B>(
    status: StatusCode,
    location: String,
    asked: &Asked,
) -> Result<Response<Kind<B>>, ProxyError> {
    let location = HeaderValue::try_from(location)
        .map_err(|_| ProxyError::Path(crate::graph::PathError::Byte))?;
    let mut response = with_body(status, Bytes::new(), asked.is_head);
    response.headers_mut().insert(LOCATION, location);
    response
        .headers_mut()
        .insert(REQUEST_ID, asked.request_id.to_value());
    Ok(response)
}

/// Answers a probe.
pub(super) fn probed<B>(status: StatusCode, asked: &Asked) -> Response<Kind<B>> {
    let mut response = with_body(status, Bytes::new(), asked.is_head);
    response
        .headers_mut()
        .insert(REQUEST_ID, asked.request_id.to_value());
    response
}

/// An answer that says all with its status and headers.
pub(super) fn empty<B>(status: StatusCode) -> Response<Kind<B>> {
    with_body(status, Bytes::new(), false)
}

/// Takes out of an upstream's response what speaks of its connection only (RFC 9110, section 7.6.1), and what a mesh says to its
/// gateway.
pub(super) fn clean(headers: &mut HeaderMap) {
    let ends_here = headers.keys().filter(|name| ends_here(name.as_str()));
    let drop: SmallVec<[HeaderName; 2]> = ends_here.cloned().collect();
    if drop.contains(&CONNECTION) {
        for name in nominated(headers) {
            headers.remove(name);
        }
    }
    for name in drop {
        headers.remove(name);
    }
}

/// The fields that `Connection` names. The length stays: it is the response's own.
fn nominated(headers: &HeaderMap) -> SmallVec<[HeaderName; 2]> {
    let values = headers.get_all(CONNECTION).iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| name != CONTENT_LENGTH)
        .collect()
}

fn ends_here(name: &str) -> bool {
    // Most names are told by their first letter.
    match name.as_bytes().first() {
        Some(b'c') => name == "connection",
        Some(b'k') => name == "keep-alive",
        Some(b'l') => name.starts_with("l5d-"),
        Some(b'p') => matches!(
            name,
            "proxy-connection" | "proxy-authenticate" | "proxy-authorization"
        ),
        Some(b't') => matches!(name, "te" | "transfer-encoding"),
        Some(b'u') => name == "upgrade",
        _ => false,
    }
}

fn with_body<B>(status: StatusCode, body: Bytes, is_head: bool) -> Response<Kind<B>> {
    let length = HeaderValue::from(body.len());
    let kind = if is_head || body.is_empty() {
        Kind::Empty
    } else {
        Kind::Full(body)
    };
    let mut response = Response::new(kind);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

/// The code word and the text for the client. A route that cannot serve says the number that the report explains.
fn words(error: ProxyError) -> (String, String) {
    match error {
        ProxyError::Failed(fail) => (
            format!("PST{:04}", fail.code),
            "this route cannot serve".to_owned(),
        ),
        _ => (error.reason().as_str().to_owned(), error.to_string()),
    }
}

/// Whether nothing more may be read from an HTTP/1 connection.
fn closes(error: ProxyError) -> bool {
    matches!(
        error.reason(),
        Reason::BadRequest
            | Reason::MethodNotSupported
            | Reason::VersionNotSupported
            | Reason::UriTooLong
            | Reason::HeadersTooLarge
            | Reason::BodyTooLarge
            | Reason::RequestTimeout
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Fail;

    fn asked(prefers_json: bool) -> Asked {
        Asked {
            prefers_json,
            is_head: false,
            is_http1: true,
            request_id: RequestId::Given(HeaderValue::from_static("7")),
            grpc: None,
        }
    }

    fn text(response: Response<Kind<()>>) -> String {
        match response.into_body() {
            Kind::Full(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Kind::Empty | Kind::Upstream(_) | Kind::Recoded(_) => String::new(),
        }
    }

    #[test]
    fn a_reply_has_status_code_word_and_request_id() {
        let response = error(ProxyError::NoRoute, &asked(false));
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()["x-request-id"], "7");
        assert!(!response.headers().contains_key("connection"));
        assert_eq!(
            text(response),
            "404 no_route: no route for this request\nrequest id: 7\n"
        );
    }

    #[test]
    fn json_when_it_was_asked_for() {
        let response = error(ProxyError::Failed(Fail { code: 301 }), &asked(true));
        assert_eq!(response.headers()["content-type"], "application/json");
        let read: serde_json::Value = serde_json::from_str(&text(response)).unwrap();
        assert_eq!(read["status"], 503);
        assert_eq!(read["code"], "PST0301");
        assert_eq!(read["retryable"], false);
        assert_eq!(read["requestId"], "7");
    }

    #[test]
    fn head_gets_the_length_and_no_body() {
        let asked = Asked {
            is_head: true,
            ..asked(false)
        };
        let response = error(ProxyError::NoRoute, &asked);
        assert_eq!(response.headers()["content-length"], "54");
        assert_eq!(text(response), "");
    }

    #[test]
    fn what_speaks_of_the_upstreams_connection_stays_here() {
        let mut headers = HeaderMap::new();
        for name in [
            "connection",
            "keep-alive",
            "l5d-proxy-error",
            "l5d-x",
            "proxy-authenticate",
            "server",
            "te",
            "x-hop",
        ] {
            headers.insert(name, HeaderValue::from_static("a"));
        }
        let named = HeaderValue::from_static("X-Hop, close, Content-Length, @");
        headers.insert(CONNECTION, named);
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("5"));
        clean(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "server"]);
    }
}
