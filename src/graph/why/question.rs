//! A request, as somebody describes it.

use std::{borrow::Cow, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use serde::{Deserialize, Serialize};

use crate::graph::{Authority, AuthorityError, matching::HeadView};

/// A request that may be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Question {
    /// With scheme and host: `https://example.com/path?query`; `tcp://example.com:6379` for a connection that is not HTTP.
    pub url: String,
    /// GET without one.
    pub method: Option<String>,
    pub headers: Vec<(String, String)>,
    /// The server name of the TLS handshake; that of the URL without one.
    pub sni: Option<String>,
    /// The address that the connection comes from: it decides whose forwarding headers count.
    pub from: Option<IpAddr>,
}

/// Why a question cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    #[error("url: {0:?} is no URL: {1}")]
    Url(String, String),
    #[error(
        "url: {0:?} has no scheme: write it with scheme and host, such as http://example.com/path"
    )]
    Relative(String),
    #[error("url: only http, https and tcp are routed, not {0}")]
    Scheme(String),
    #[error("url: a connection has a port: write tcp://{0}:6379")]
    Port(String),
    #[error("url: {0}")]
    Authority(AuthorityError),
    #[error("method: {0:?} is not a method")]
    Method(String),
    #[error("header: {0:?} is not `name: value`")]
    Header(String),
}

/// The same, read.
pub(super) struct Asked {
    url: Uri,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) tls: bool,
    /// A connection, and no request.
    pub(super) raw: bool,
    sni: Option<String>,
    pub(super) from: Option<IpAddr>,
}

impl HeadView for Asked {
    fn method(&self) -> &Method {
        &self.method
    }

    fn header_values(&self, name: &HeaderName, found: &mut dyn FnMut(&[u8])) {
        for value in self.headers.get_all(name) {
            found(value.as_bytes());
        }
    }
}

impl Question {
    /// Reads `name: value`.
    pub fn header(text: &str) -> Result<(String, String), QuestionError> {
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| QuestionError::Header(text.to_owned()))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    }
}

impl Asked {
    pub(super) fn of(question: &Question) -> Result<Self, QuestionError> {
        let url = question.url.split('#').next().unwrap_or_default();
        if !url.contains("://") {
            return Err(QuestionError::Relative(question.url.clone()));
        }
        let url: Uri = url.parse().map_err(|error: http::uri::InvalidUri| {
            QuestionError::Url(question.url.clone(), error.to_string())
        })?;
        let (tls, raw) = match url.scheme_str() {
            Some("https") => (true, false),
            Some("http") => (false, false),
            Some("tcp") => (false, true),
            other => {
                return Err(QuestionError::Scheme(other.unwrap_or_default().to_owned()));
            }
        };
        let method = question.method.as_deref().unwrap_or("GET");
        let method = method
            .parse()
            .map_err(|_| QuestionError::Method(method.to_owned()))?;
        Ok(Self {
            url,
            method,
            headers: headers(&question.headers)?,
            tls,
            raw,
            sni: question.sni.clone(),
            from: question.from,
        })
    }

    pub(super) fn authority(&self) -> &str {
        self.url
            .authority()
            .map_or("", http::uri::Authority::as_str)
    }

    pub(super) fn path(&self) -> &str {
        self.url.path()
    }

    pub(super) fn query(&self) -> Option<&str> {
        self.url.query()
    }

    /// What a client sends for this URL: an address is no server name (RFC 6066, section 3).
    pub(super) fn sni(&self, authority: &Authority<'_>) -> Option<String> {
        if !self.tls && !self.raw {
            return None;
        }
        let own = authority.host();
        let is_address = own.starts_with('[') || own.parse::<IpAddr>().is_ok();
        let said = self.sni.as_deref().map(|name| {
            let name = name.strip_suffix('.').unwrap_or(name);
            Cow::Owned(name.to_ascii_lowercase())
        });
        said.or((!is_address).then_some(Cow::Borrowed(own)))
            .map(Cow::into_owned)
            .filter(|name| !name.is_empty())
    }
}

fn headers(said: &[(String, String)]) -> Result<HeaderMap, QuestionError> {
    let mut headers = HeaderMap::new();
    for (name, value) in said {
        let wrong = || QuestionError::Header(format!("{name}: {value}"));
        let name: HeaderName = name.parse().map_err(|_| wrong())?;
        let value: HeaderValue = value.parse().map_err(|_| wrong())?;
        headers.append(name, value);
    }
    Ok(headers)
}
