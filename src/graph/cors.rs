//! What web pages of other origins may do with a route (the Fetch standard, <https://fetch.spec.whatwg.org/#http-cors-protocol>).

use std::sync::Arc;

use http::HeaderValue;

/// A policy, with its values as the headers of a response have them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cors {
    pub origins: Origins,
    pub methods: Option<HeaderValue>,
    pub headers: Option<HeaderValue>,
    pub exposed: Option<HeaderValue>,
    /// Whether cookies and the like are sent along.
    pub credentials: bool,
    /// Seconds.
    pub max_age: Option<HeaderValue>,
}

/// Which origins may.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origins {
    Any,
    /// These, byte for byte.
    Only(Arc<[Arc<str>]>),
}

impl Cors {
    pub fn allows(&self, origin: &[u8]) -> bool {
        match &self.origins {
            Origins::Any => true,
            Origins::Only(origins) => origins.iter().any(|one| one.as_bytes() == origin),
        }
    }
}
