//! How a connection that is not HTTP ended.

use crate::proxy::error::ProxyError;

/// How a connection that is not HTTP ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::proxy) enum End {
    /// Both sides have said all that they had to say.
    Closed,
    /// The client went away in between.
    ClientClosed,
    UpstreamReset,
    /// Neither side said anything for too long.
    Idle,
    /// The worker that drained did not wait longer.
    Drained,
    /// No TCPMapping has the port, or the name that the handshake asks for.
    NoRoute,
    RouteFailed,
    /// The client does not speak TLS, or did not go through with it.
    HandshakeFailed,
    ConnectFailed,
    ConnectTimeout,
    ResolveFailed,
    DialRefused,
    UpstreamTls,
    CircuitOpen,
}

impl End {
    /// In the order of their numbers.
    pub(in crate::proxy) const ALL: [(Self, &'static str); 14] = [
        (Self::Closed, "closed"),
        (Self::ClientClosed, "client_closed"),
        (Self::UpstreamReset, "upstream_reset"),
        (Self::Idle, "idle"),
        (Self::Drained, "drained"),
        (Self::NoRoute, "no_route"),
        (Self::RouteFailed, "route_failed"),
        (Self::HandshakeFailed, "handshake_failed"),
        (Self::ConnectFailed, "connect_failed"),
        (Self::ConnectTimeout, "connect_timeout"),
        (Self::ResolveFailed, "resolve_failed"),
        (Self::DialRefused, "dial_refused"),
        (Self::UpstreamTls, "upstream_tls"),
        (Self::CircuitOpen, "circuit_open"),
    ];

    pub(in crate::proxy) fn index(self) -> usize {
        self as usize
    }

    pub(in crate::proxy) fn as_str(self) -> &'static str {
        Self::ALL[self.index()].1
    }
}

impl From<ProxyError> for End {
    fn from(error: ProxyError) -> Self {
        match error {
            ProxyError::ConnectTimeout => Self::ConnectTimeout,
            ProxyError::Resolve => Self::ResolveFailed,
            ProxyError::DialRefused => Self::DialRefused,
            ProxyError::UpstreamTls => Self::UpstreamTls,
            ProxyError::CircuitOpen | ProxyError::Overloaded => Self::CircuitOpen,
            ProxyError::Failed(_) => Self::RouteFailed,
            ProxyError::Connect
            | ProxyError::UpstreamReset
            | ProxyError::UpstreamProtocol
            | ProxyError::UpstreamTimeout
            | ProxyError::Malformed(_)
            | ProxyError::Path(_)
            | ProxyError::Authority(_)
            | ProxyError::EscapedSlash
            | ProxyError::Method
            | ProxyError::Version
            | ProxyError::UriTooLong
            | ProxyError::HeadTooLarge
            | ProxyError::BodyTooLarge
            | ProxyError::BodyStalled
            | ProxyError::BodyBroken
            | ProxyError::Misdirected
            | ProxyError::AddressDenied
            | ProxyError::NoHost
            | ProxyError::Insecure
            | ProxyError::NoRoute => Self::ConnectFailed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_ends_is_in_the_order_of_their_numbers() {
        for (index, (end, word)) in End::ALL.into_iter().enumerate() {
            assert_eq!((end.index(), end.as_str()), (index, word));
        }
    }
}
