//! Why a request got no response from its upstream, or not all of it.

use std::{error::Error, io, net::IpAddr, time::Duration};

use super::{dns::DnsError, tls::TlsError};

/// What went wrong between Postern and the upstream.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The upstream has no address at all.
    #[error("no address to connect to")]
    NoAddress,
    /// All addresses are among those that must not be dialled.
    #[error("address {0} must not be dialled")]
    DialRefused(IpAddr),
    #[error("name cannot be resolved")]
    Dns(#[source] DnsError),
    /// As much as may be is under way already.
    #[error("limit reached")]
    CircuitOpen,
    /// Nobody listens, or there is no way to get there.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// Name, TCP and TLS together took longer than the connect timeout.
    #[error("not connected within {0:?}")]
    ConnectTimeout(Duration),
    #[error("no TLS connection")]
    Tls(#[source] TlsError),
    /// The Host header is not an authority, which HTTP/2 needs.
    #[error("host is not an authority")]
    Authority(#[source] http::Error),
    /// The body of the request broke off; what its own error was is in the chain of sources.
    #[error("request body broke off")]
    RequestBody(#[source] hyper::Error),
    /// The connection ended before the first byte of a response.
    #[error("connection closed without a response")]
    Reset(#[source] hyper::Error),
    /// The upstream says that it has not touched the request: REFUSED_STREAM, or GOAWAY.
    #[error("upstream did not take the request")]
    NotTaken(#[source] hyper::Error),
    /// The head of the response broke off.
    #[error("response head broke off")]
    HeadBroken(#[source] hyper::Error),
    /// What came is not HTTP, or not allowed in it.
    #[error("not a valid response")]
    Protocol(#[source] hyper::Error),
    /// Where the response ends can be read in more than one way: somebody behind us might read it in the other.
    #[error("end of the response is ambiguous: {0}")]
    Framing(&'static str),
    /// A 101 that nobody asked for.
    #[error("switched protocols without being asked")]
    UnexpectedUpgrade,
    /// The body of the response broke off.
    #[error("response body broke off")]
    Body(#[source] hyper::Error),
}

/// The label of a failure in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Dns,
    Refused,
    Connect,
    Timeout,
    Tls,
}

impl UpstreamError {
    /// Whether no part of a response had been handed on: an error reply can still be made.
    pub fn is_before_head(&self) -> bool {
        match self {
            Self::NoAddress
            | Self::DialRefused(_)
            | Self::Dns(_)
            | Self::CircuitOpen
            | Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::Tls(_)
            | Self::Authority(_)
            | Self::RequestBody(_)
            | Self::Reset(_)
            | Self::NotTaken(_)
            | Self::HeadBroken(_)
            | Self::Protocol(_)
            | Self::Framing(_)
            | Self::UnexpectedUpgrade => true,
            Self::Body(_) => false,
        }
    }

    /// Whether the upstream cannot have acted on the request.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Dns(_)
            | Self::CircuitOpen
            | Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::Tls(_)
            | Self::NotTaken(_) => true,
            Self::NoAddress
            | Self::DialRefused(_)
            | Self::Authority(_)
            | Self::RequestBody(_)
            | Self::Reset(_)
            | Self::HeadBroken(_)
            | Self::Protocol(_)
            | Self::Framing(_)
            | Self::UnexpectedUpgrade
            | Self::Body(_) => false,
        }
    }

    /// Whether it is the fault of whoever sent the request.
    pub fn is_by_client(&self) -> bool {
        match self {
            Self::Authority(_) | Self::RequestBody(_) => true,
            Self::NoAddress
            | Self::DialRefused(_)
            | Self::Dns(_)
            | Self::CircuitOpen
            | Self::Connect(_)
            | Self::ConnectTimeout(_)
            | Self::Tls(_)
            | Self::Reset(_)
            | Self::NotTaken(_)
            | Self::HeadBroken(_)
            | Self::Protocol(_)
            | Self::Framing(_)
            | Self::UnexpectedUpgrade
            | Self::Body(_) => false,
        }
    }

    /// Whether the time to connect ran out: 504 rather than 502.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::ConnectTimeout(_))
    }

    /// For metrics and the access log.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoAddress => "upstream_no_address",
            Self::DialRefused(_) => "upstream_dial_refused",
            Self::Dns(_) => "upstream_dns",
            Self::CircuitOpen => "circuit_open",
            Self::Connect(_) => "upstream_connect",
            Self::ConnectTimeout(_) => "upstream_connect_timeout",
            Self::Tls(_) => "upstream_tls",
            Self::Authority(_) => "upstream_authority",
            Self::RequestBody(_) => "request_body",
            Self::Reset(_) => "upstream_reset",
            Self::NotTaken(_) => "upstream_not_taken",
            Self::HeadBroken(_) => "upstream_head_broken",
            Self::Protocol(_) | Self::Framing(_) | Self::UnexpectedUpgrade => "upstream_protocol",
            Self::Body(_) => "upstream_body",
        }
    }

    /// What it counts as among failed connections; none when a connection there was.
    pub(super) fn failure(&self) -> Option<Failure> {
        match self {
            Self::NoAddress | Self::DialRefused(_) => Some(Failure::Refused),
            Self::Dns(_) => Some(Failure::Dns),
            Self::Connect(_) => Some(Failure::Connect),
            Self::ConnectTimeout(_) => Some(Failure::Timeout),
            Self::Tls(_) => Some(Failure::Tls),
            Self::CircuitOpen
            | Self::Authority(_)
            | Self::RequestBody(_)
            | Self::Reset(_)
            | Self::NotTaken(_)
            | Self::HeadBroken(_)
            | Self::Protocol(_)
            | Self::Framing(_)
            | Self::UnexpectedUpgrade
            | Self::Body(_) => None,
        }
    }

    /// What an error of hyper means while the head of the response is waited for. `heard` says whether a byte of it came.
    pub(super) fn before_head(error: hyper::Error, heard: bool) -> Self {
        if let Some(h2) = http2_error(&error) {
            let refused = h2.is_remote() && h2.reason() == Some(h2::Reason::REFUSED_STREAM);
            // On GOAWAY only the streams above the last one that the peer has looked at fail with it (RFC 9113, section 6.8).
            return if refused || (h2.is_remote() && h2.is_go_away()) {
                Self::NotTaken(error)
            } else if h2.is_io() {
                Self::Reset(error)
            } else {
                Self::Protocol(error)
            };
        }
        if error.is_user() {
            Self::RequestBody(error)
        } else if error.is_parse() {
            Self::Protocol(error)
        } else if heard {
            Self::HeadBroken(error)
        } else {
            Self::Reset(error)
        }
    }
}

/// What the HTTP/2 library said, if it is the cause.
fn http2_error(error: &hyper::Error) -> Option<&h2::Error> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(h2) = error.downcast_ref() {
            return Some(h2);
        }
        source = error.source();
    }
    None
}
