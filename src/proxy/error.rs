//! Why a request was not answered by its upstream.

use http::StatusCode;

use crate::graph::{AuthorityError, Fail, PathError};

/// Why a request was not answered by its upstream. The client gets status, text and reason; details go to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProxyError {
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    Path(#[from] PathError),
    #[error("{0}")]
    Authority(#[from] AuthorityError),
    #[error("the path has an escaped slash, which this route does not take")]
    EscapedSlash,
    #[error("the method is not supported")]
    Method,
    #[error("HTTP/1.1 or HTTP/2 is needed")]
    Version,
    #[error("the path and query are too long")]
    UriTooLong,
    #[error("the request has too many or too large header fields")]
    HeadTooLarge,
    #[error("the request body is too large")]
    BodyTooLarge,
    #[error("the request body did not arrive in time")]
    BodyStalled,
    #[error("the request body broke off")]
    BodyBroken,
    #[error("this connection was made for another host")]
    Misdirected,
    #[error("requests from this address are not taken")]
    AddressDenied,
    #[error("no such host")]
    NoHost,
    #[error("this host is not served without TLS")]
    Insecure,
    #[error("no route for this request")]
    NoRoute,
    #[error("the route cannot serve: {0:?}")]
    Failed(Fail),
    #[error("the upstream could not be connected to")]
    Connect,
    #[error("the upstream did not take the connection in time")]
    ConnectTimeout,
    #[error("the name of the upstream has no address")]
    Resolve,
    #[error("the upstream's address must not be dialled")]
    DialRefused,
    #[error("the upstream's TLS failed")]
    UpstreamTls,
    #[error("the upstream closed the connection")]
    UpstreamReset,
    #[error("the upstream broke the protocol")]
    UpstreamProtocol,
    #[error("the upstream did not answer in time")]
    UpstreamTimeout,
    #[error("too much is under way to this upstream")]
    Overloaded,
    #[error("as much as may be is under way to this upstream")]
    CircuitOpen,
}

/// What is wrong with the head of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(u8)]
pub(super) enum Malformed {
    #[error("the request has both Content-Length and Transfer-Encoding")]
    LengthAndEncoding = 1,
    #[error("the request has more than one Content-Length")]
    DuplicateLength,
    #[error("the Content-Length is not a number")]
    Length,
    #[error("the Transfer-Encoding is not exactly chunked")]
    Encoding,
    #[error("a line of the request does not end with CR LF")]
    BareLineFeed,
    #[error("a line of the request begins with a space")]
    Folded,
    #[error("the requests on this connection cannot be told apart")]
    Framing,
    #[error("the request has no Host")]
    NoHost,
    #[error("the request has more than one Host")]
    DuplicateHost,
    #[error("the Host is not that of the request target")]
    OtherHost,
    #[error("Connection names a header that is not for this connection")]
    Connection,
    #[error("a header name has an underscore")]
    Underscore,
    #[error("the request target is not a path")]
    Target,
}

/// Who has to do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    Client,
    Gateway,
    Upstream,
}

impl Malformed {
    pub(super) const ALL: [Self; 13] = [
        Self::LengthAndEncoding,
        Self::DuplicateLength,
        Self::Length,
        Self::Encoding,
        Self::BareLineFeed,
        Self::Folded,
        Self::Framing,
        Self::NoHost,
        Self::DuplicateHost,
        Self::OtherHost,
        Self::Connection,
        Self::Underscore,
        Self::Target,
    ];
}

impl ProxyError {
    /// The label in metrics and the access log, and the code word in replies.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::Malformed(_) | Self::Authority(_) | Self::BodyBroken => Reason::BadRequest,
            Self::Path(_) | Self::EscapedSlash => Reason::BadPath,
            Self::Method => Reason::MethodNotSupported,
            Self::Version => Reason::VersionNotSupported,
            Self::UriTooLong => Reason::UriTooLong,
            Self::HeadTooLarge => Reason::HeadersTooLarge,
            Self::BodyTooLarge => Reason::BodyTooLarge,
            Self::BodyStalled => Reason::RequestTimeout,
            Self::Misdirected => Reason::Misdirected,
            Self::AddressDenied => Reason::AddressDenied,
            Self::NoHost => Reason::NoHost,
            Self::Insecure => Reason::Insecure,
            Self::NoRoute => Reason::NoRoute,
            Self::Failed(_) => Reason::RouteFailed,
            Self::Connect => Reason::ConnectFailed,
            Self::ConnectTimeout => Reason::ConnectTimeout,
            Self::Resolve => Reason::ResolveFailed,
            Self::DialRefused => Reason::DialRefused,
            Self::UpstreamTls => Reason::UpstreamTls,
            Self::UpstreamReset => Reason::UpstreamReset,
            Self::UpstreamProtocol => Reason::UpstreamProtocol,
            Self::UpstreamTimeout => Reason::UpstreamTimeout,
            Self::Overloaded => Reason::Overloaded,
            Self::CircuitOpen => Reason::CircuitOpen,
        }
    }

    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Malformed(_)
            | Self::Path(_)
            | Self::Authority(_)
            | Self::EscapedSlash
            | Self::BodyBroken => StatusCode::BAD_REQUEST,
            Self::AddressDenied => StatusCode::FORBIDDEN,
            Self::NoHost | Self::Insecure | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::BodyStalled => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Method => StatusCode::NOT_IMPLEMENTED,
            Self::UpstreamTls | Self::UpstreamReset | Self::UpstreamProtocol => {
                StatusCode::BAD_GATEWAY
            }
            Self::Failed(_)
            | Self::Connect
            | Self::Resolve
            | Self::DialRefused
            | Self::Overloaded
            | Self::CircuitOpen => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectTimeout | Self::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The same for clients of gRPC: the numbers that they make of the statuses of HTTP
    /// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>), and better ones where there are.
    pub(super) fn grpc_status(self) -> u16 {
        const DEADLINE_EXCEEDED: u16 = 4;
        const PERMISSION_DENIED: u16 = 7;
        const RESOURCE_EXHAUSTED: u16 = 8;
        const UNIMPLEMENTED: u16 = 12;
        const INTERNAL: u16 = 13;
        const UNAVAILABLE: u16 = 14;
        match self {
            Self::Malformed(_)
            | Self::Path(_)
            | Self::Authority(_)
            | Self::EscapedSlash
            | Self::Method
            | Self::Version
            | Self::BodyBroken => INTERNAL,
            Self::UriTooLong | Self::HeadTooLarge | Self::BodyTooLarge => RESOURCE_EXHAUSTED,
            Self::NoHost | Self::Insecure | Self::NoRoute => UNIMPLEMENTED,
            Self::AddressDenied => PERMISSION_DENIED,
            Self::BodyStalled | Self::UpstreamTimeout => DEADLINE_EXCEEDED,
            Self::Misdirected
            | Self::Failed(_)
            | Self::Connect
            | Self::ConnectTimeout
            | Self::Resolve
            | Self::DialRefused
            | Self::UpstreamTls
            | Self::UpstreamReset
            | Self::UpstreamProtocol
            | Self::Overloaded
            | Self::CircuitOpen => UNAVAILABLE,
        }
    }

    pub(super) fn blame(self) -> Blame {
        match self {
            Self::Malformed(_)
            | Self::Path(_)
            | Self::Authority(_)
            | Self::EscapedSlash
            | Self::Method
            | Self::Version
            | Self::UriTooLong
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::BodyStalled
            | Self::BodyBroken
            | Self::Misdirected
            | Self::AddressDenied
            | Self::NoHost
            | Self::Insecure
            | Self::NoRoute => Blame::Client,
            Self::Failed(_) | Self::DialRefused | Self::Overloaded | Self::CircuitOpen => {
                Blame::Gateway
            }
            Self::Connect
            | Self::ConnectTimeout
            | Self::Resolve
            | Self::UpstreamTls
            | Self::UpstreamReset
            | Self::UpstreamProtocol
            | Self::UpstreamTimeout => Blame::Upstream,
        }
    }

    /// Whether the same request may be answered when it is sent again, and has done nothing yet.
    pub(super) fn is_retryable(self) -> bool {
        match self {
            Self::Connect
            | Self::ConnectTimeout
            | Self::Resolve
            | Self::Overloaded
            | Self::CircuitOpen => true,
            Self::Malformed(_)
            | Self::Path(_)
            | Self::Authority(_)
            | Self::EscapedSlash
            | Self::Method
            | Self::Version
            | Self::UriTooLong
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::BodyStalled
            | Self::BodyBroken
            | Self::Misdirected
            | Self::AddressDenied
            | Self::NoHost
            | Self::Insecure
            | Self::NoRoute
            | Self::Failed(_)
            | Self::DialRefused
            | Self::UpstreamTls
            | Self::UpstreamReset
            | Self::UpstreamProtocol
            | Self::UpstreamTimeout => false,
        }
    }
}

/// How a request ended, as metrics and the access log name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reason {
    /// The upstream's answer arrived whole.
    Upstream,
    /// A redirect of ours.
    Redirect,
    /// A CORS preflight was answered.
    Preflight,
    /// The connection became a tunnel.
    Upgraded,
    /// The client went away, or was cut off, before the end.
    ClientClosed,
    /// The upstream's answer broke off or stalled.
    ResponseBroken,
    BadRequest,
    BadPath,
    MethodNotSupported,
    VersionNotSupported,
    UriTooLong,
    HeadersTooLarge,
    BodyTooLarge,
    RequestTimeout,
    Misdirected,
    AddressDenied,
    NoHost,
    Insecure,
    NoRoute,
    RouteFailed,
    ConnectFailed,
    ConnectTimeout,
    ResolveFailed,
    DialRefused,
    UpstreamTls,
    UpstreamReset,
    UpstreamProtocol,
    UpstreamTimeout,
    Overloaded,
    CircuitOpen,
    /// A path at which the gateway itself answers probes.
    Probe,
}

impl Reason {
    /// In the order of their numbers.
    pub(super) const ALL: [(Self, &'static str); 31] = [
        (Self::Upstream, "upstream"),
        (Self::Redirect, "redirect"),
        (Self::Preflight, "preflight"),
        (Self::Upgraded, "upgraded"),
        (Self::ClientClosed, "client_closed"),
        (Self::ResponseBroken, "response_broken"),
        (Self::BadRequest, "bad_request"),
        (Self::BadPath, "bad_path"),
        (Self::MethodNotSupported, "method_not_supported"),
        (Self::VersionNotSupported, "version_not_supported"),
        (Self::UriTooLong, "uri_too_long"),
        (Self::HeadersTooLarge, "headers_too_large"),
        (Self::BodyTooLarge, "body_too_large"),
        (Self::RequestTimeout, "request_timeout"),
        (Self::Misdirected, "misdirected"),
        (Self::AddressDenied, "address_denied"),
        (Self::NoHost, "no_host"),
        (Self::Insecure, "insecure"),
        (Self::NoRoute, "no_route"),
        (Self::RouteFailed, "route_failed"),
        (Self::ConnectFailed, "connect_failed"),
        (Self::ConnectTimeout, "connect_timeout"),
        (Self::ResolveFailed, "resolve_failed"),
        (Self::DialRefused, "dial_refused"),
        (Self::UpstreamTls, "upstream_tls"),
        (Self::UpstreamReset, "upstream_reset"),
        (Self::UpstreamProtocol, "upstream_protocol"),
        (Self::UpstreamTimeout, "upstream_timeout"),
        (Self::Overloaded, "overloaded"),
        (Self::CircuitOpen, "circuit_open"),
        (Self::Probe, "probe"),
    ];

    pub(super) fn index(self) -> usize {
        self as usize
    }

    pub(super) fn as_str(self) -> &'static str {
        Self::ALL[self.index()].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_reasons_is_in_the_order_of_their_numbers() {
        for (index, (reason, word)) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index, "{word}");
        }
    }

    #[test]
    fn malformed_heads_keep_their_numbers() {
        for (index, malformed) in Malformed::ALL.into_iter().enumerate() {
            assert_eq!(malformed as usize, index + 1, "{malformed:?}");
        }
    }

    #[test]
    fn the_class_of_the_status_says_who_is_to_blame() {
        for error in [
            ProxyError::Malformed(Malformed::NoHost),
            ProxyError::NoRoute,
            ProxyError::BodyTooLarge,
            ProxyError::Misdirected,
            ProxyError::Version,
        ] {
            assert_eq!(error.blame(), Blame::Client, "{error:?}");
            assert!(error.status().is_client_error(), "{error:?}");
            assert!(!error.is_retryable(), "{error:?}");
        }
        for error in [
            ProxyError::Failed(Fail { code: 1201 }),
            ProxyError::Connect,
            ProxyError::UpstreamTimeout,
            ProxyError::DialRefused,
        ] {
            assert_ne!(error.blame(), Blame::Client, "{error:?}");
            assert!(error.status().is_server_error(), "{error:?}");
        }
    }
}
