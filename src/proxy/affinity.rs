//! Clients that stay at an endpoint: what of a request is hashed, and the cookie for those that have none yet.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header::SET_COOKIE};

use crate::graph::{Affinity, Balance, matching::HeadView};

/// Where a request belongs.
#[derive(Debug, Default)]
pub(super) struct Stay {
    pub(super) hash: Option<u64>,
    /// For the response.
    cookie: Option<Box<HeaderValue>>,
}

struct Headers<'r>(&'r HeaderMap);

impl HeadView for Headers<'_> {
    fn method(&self) -> &Method {
        // No affinity asks for it.
        &Method::GET
    }

    fn header_values(&self, name: &HeaderName, found: &mut dyn FnMut(&[u8])) {
        for value in self.0.get_all(name) {
            found(value.as_bytes());
        }
    }
}

impl Stay {
    pub(super) fn of(balance: &Balance, headers: &HeaderMap, client: IpAddr) -> Self {
        let Balance::Hash(hashed) = balance else {
            return Self::default();
        };
        let hash = hashed.by.hash(&Headers(headers), client);
        if let (None, Affinity::Cookie(cookie)) = (hash, &hashed.by)
            && let Some((hash, text)) = cookie.make(fastrand::u64(..))
        {
            return Self {
                hash: Some(hash),
                cookie: HeaderValue::try_from(text).ok().map(Box::new),
            };
        }
        Self { hash, cookie: None }
    }

    /// Gives the client its cookie, if it has none.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        if let Some(cookie) = self.cookie {
            headers.append(SET_COOKIE, *cookie);
        }
    }
}
