//! gRPC as far as a gateway must speak it: errors of our own in the form that its clients read, and gRPC-Web.
//!
//! A client of gRPC looks for `grpc-status`, not for the status of HTTP
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

pub(super) mod web;

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};

use super::{body::Kind, error::ProxyError, reply};
use crate::graph::compression::essence;
use web::Form;

pub(super) const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// How the client of a request reads errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// Of requests and responses.
    content_type: HeaderValue,
    /// None when it speaks gRPC itself.
    web: Option<Form>,
}

impl Client {
    /// None when it speaks no gRPC, or gRPC-Web and that is not for us.
    pub(super) fn of(headers: &HeaderMap, web: bool) -> Option<Self> {
        let content_type = headers.get(CONTENT_TYPE)?;
        let form = Form::of(headers);
        let is_taken = match &form {
            Some(_) => web,
            None => is_grpc(content_type),
        };
        is_taken.then(|| Self {
            content_type: content_type.clone(),
            web: form,
        })
    }

    /// An error of ours: the status and nothing else.
    pub(super) fn error<B>(&self, error: ProxyError, message: &str) -> Response<Kind<B>> {
        let mut response = reply::empty(StatusCode::OK);
        let mut status = HeaderMap::with_capacity(2);
        status.insert(STATUS, HeaderValue::from(error.grpc_status()));
        status.insert(MESSAGE, percent_encoded(message));
        let Some(form) = &self.web else {
            let content_type = self.content_type.clone();
            response.headers_mut().remove(CONTENT_LENGTH);
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            response.headers_mut().extend(status);
            return response;
        };
        // A page may not be shown the headers; the body it is.
        let body = form.trailers(&status);
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        headers.insert(CONTENT_TYPE, form.content_type(&self.content_type));
        *response.body_mut() = Kind::Full(body);
        response
    }
}

/// Whether it is gRPC itself.
fn is_grpc(content_type: &HeaderValue) -> bool {
    suffix(essence(content_type), b"application/grpc").is_some()
}

/// What follows the name of a media type: nothing, or `+proto` and the like.
fn suffix<'t>(essence: &'t [u8], name: &[u8]) -> Option<&'t [u8]> {
    let (start, rest) = essence.split_at_checked(name.len())?;
    let ends = matches!(rest.first(), None | Some(b'+'));
    (ends && start.eq_ignore_ascii_case(name)).then_some(rest)
}

/// As `grpc-message` has it: all but visible ASCII as `%XX`.
fn percent_encoded(message: &str) -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = Vec::with_capacity(message.len());
    for byte in message.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(byte);
        } else {
            let digit = |half: u8| DIGITS[usize::from(half & 15)];
            out.extend([b'%', digit(byte >> 4), digit(byte)]);
        }
    }
    HeaderValue::from_bytes(&out).unwrap_or(HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(content_type: &'static str, web: bool) -> Option<Client> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Client::of(&headers, web)
    }

    #[test]
    fn a_client_is_known_by_what_it_sends() {
        for (content_type, plain, web) in [
            ("application/grpc", true, true),
            ("application/grpc+proto", true, true),
            ("Application/GRPC; charset=x", true, true),
            ("application/grpc-web", false, true),
            ("application/grpc-web-text+proto", false, true),
            ("application/grpcs", false, false),
            ("application/json", false, false),
        ] {
            assert_eq!(
                client(content_type, false).is_some(),
                plain,
                "{content_type}"
            );
            assert_eq!(client(content_type, true).is_some(), web, "{content_type}");
        }
    }

    #[test]
    fn an_error_has_the_status_where_the_client_looks_for_it() {
        let error = ProxyError::NoRoute;
        let plain = client("application/grpc+proto", false).unwrap();
        let response = plain.error::<()>(error, "no route 100%\n");
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers["content-type"], "application/grpc+proto");
        assert_eq!(headers["grpc-status"], "12");
        assert_eq!(headers["grpc-message"], "no route 100%25%0A");
        assert!(matches!(response.body(), Kind::Empty));

        let web = client("application/grpc-web+proto", true).unwrap();
        let response = web.error::<()>(error, "no route");
        let headers = response.headers();
        assert_eq!(headers["content-type"], "application/grpc-web+proto");
        assert!(!headers.contains_key("grpc-status"));
        let Kind::Full(body) = response.body() else {
            panic!("a body");
        };
        assert_eq!(
            &body[..],
            b"\x80\0\0\0\x27grpc-status:12\r\ngrpc-message:no route\r\n"
        );
    }
}
