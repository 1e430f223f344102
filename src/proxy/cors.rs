//! Requests of web pages of other origins. A preflight is answered before anybody is asked whether the request may pass: a
//! browser sends no credentials with it.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
        ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
};

use super::{body::Kind, reply};
use crate::graph::{Forward, cors::Cors};

/// A request to a route that has a policy.
#[derive(Debug)]
pub(super) struct Crossing<'f> {
    cors: &'f Cors,
    /// Where it comes from, if it may.
    origin: Option<HeaderValue>,
    preflight: bool,
}

impl<'f> Crossing<'f> {
    pub(super) fn of(forward: &'f Forward, method: &Method, headers: &HeaderMap) -> Option<Self> {
        let cors = forward.cors.as_deref()?;
        let origin = headers
            .get(ORIGIN)
            .filter(|from| cors.allows(from.as_bytes()));
        Some(Self {
            cors,
            origin: origin.cloned(),
            preflight: *method == Method::OPTIONS
                && origin.is_some()
                && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD),
        })
    }

    /// The answer, if the request only asks whether another may be sent.
    pub(super) fn preflight<B>(&self) -> Option<Response<Kind<B>>> {
        if !self.preflight {
            return None;
        }
        let mut response = reply::empty(StatusCode::OK);
        let headers = response.headers_mut();
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, &self.cors.methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, &self.cors.headers),
            (ACCESS_CONTROL_MAX_AGE, &self.cors.max_age),
        ] {
            set(headers, name, value.as_ref());
        }
        Some(response)
    }

    /// Tells the browser what the page may see of a response, whoever made it.
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        // A cache must not show to one origin what was made for another, or for none.
        headers.append(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = &self.origin else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.cors.credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
        if !self.preflight {
            let exposed = self.cors.exposed.as_ref();
            set(headers, ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<&HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value.clone());
    }
}
