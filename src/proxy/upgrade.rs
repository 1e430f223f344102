//! Connections that stop being HTTP: asked for by the client, allowed by the route, agreed to by the upstream.

use std::{rc::Rc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, UPGRADE},
    request::Parts,
};
use hyper::{
    ext::Protocol,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::{base64, limits, peer::Peer, tcp::relay};
use crate::graph::{Forward, UpstreamProtocol};

/// A change of protocol that a request asks for and its route allows.
#[derive(Debug)]
pub(super) struct Change {
    protocol: HeaderValue,
    /// The client's side of it.
    pub(super) client: OnUpgrade,
    by: By,
}

/// How it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// By `Upgrade` of HTTP/1.1.
    Upgrade,
    /// By CONNECT on a stream of HTTP/2 (RFC 8441).
    Connect,
}

const WEBSOCKET: &[u8] = b"websocket";
const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// The protocol of an extended CONNECT, which becomes the GET that it stands for.
pub(super) fn connect(parts: &mut Parts) -> Option<Box<HeaderValue>> {
    if parts.method != Method::CONNECT {
        return None;
    }
    let protocol = parts.extensions.remove::<Protocol>()?;
    parts.method = Method::GET;
    HeaderValue::from_bytes(protocol.as_ref())
        .ok()
        .map(Box::new)
}

impl Change {
    pub(super) fn by_upgrade(
        forward: &Forward,
        headers: &HeaderMap,
        client: Option<OnUpgrade>,
    ) -> Option<Self> {
        let mut lines = headers.get_all(UPGRADE).iter();
        let (value, None) = (lines.next()?, lines.next()) else {
            return None;
        };
        allows(forward, value).then_some(Self {
            protocol: value.clone(),
            client: client?,
            by: By::Upgrade,
        })
    }

    /// Only towards HTTP/1.1: there it is an upgrade.
    pub(super) fn by_connect(
        forward: &Forward,
        protocol: &HeaderValue,
        client: Option<OnUpgrade>,
    ) -> Option<Self> {
        let is_http1 = forward.upstream.protocol == UpstreamProtocol::Http1;
        (is_http1 && allows(forward, protocol)).then_some(Self {
            protocol: protocol.clone(),
            client: client?,
            by: By::Connect,
        })
    }

    /// Asks the upstream for it.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        write(headers, self.protocol.clone());
        // A client of HTTP/2 has no need of one; what HTTP/1.1 has it for, we do not have: caches that mistake one for the other.
        if self.by == By::Connect && self.protocol.as_bytes().eq_ignore_ascii_case(WEBSOCKET) {
            let random = fastrand::u128(..).to_be_bytes();
            let key = HeaderValue::from_maybe_shared(base64::encoded(&random));
            headers.insert(KEY, key.unwrap_or(HeaderValue::from_static("")));
        }
    }

    /// Whether the upstream agreed to what it was asked for, and to nothing else.
    pub(super) fn is_agreed(&self, headers: &HeaderMap) -> bool {
        let wanted = self.protocol.as_bytes();
        let same = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(wanted);
        headers.get(UPGRADE).is_some_and(same)
    }

    /// Whether this status of an upstream that does not change would tell the client that it does.
    pub(super) fn is_refused_by(&self, status: StatusCode) -> bool {
        self.by == By::Connect && status.is_success()
    }

    /// Tells the client that it happens, with this status.
    pub(super) fn tell(&self, headers: &mut HeaderMap) -> StatusCode {
        match self.by {
            By::Upgrade => {
                write(headers, self.protocol.clone());
                StatusCode::SWITCHING_PROTOCOLS
            }
            By::Connect => {
                headers.remove(ACCEPT);
                headers.remove(CONTENT_LENGTH);
                StatusCode::OK
            }
        }
    }
}

fn allows(forward: &Forward, asked: &HeaderValue) -> bool {
    let asked = asked.as_bytes().trim_ascii();
    let mut allowed = forward.upgrades.iter();
    allowed.any(|protocol| asked.eq_ignore_ascii_case(protocol.as_bytes()))
}

fn write(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Joins the two connections when both have changed, until one side ends or neither says anything for `idle`. `peer` counts
/// as busy for as long.
pub(super) async fn tunnel(
    client: OnUpgrade,
    upstream: OnUpgrade,
    idle: Option<Duration>,
    peer: Rc<Peer>,
) {
    peer.request_began();
    match tokio::try_join!(client, upstream) {
        Ok((client, upstream)) => {
            let idle = idle.unwrap_or(limits::TUNNEL_IDLE);
            join(client, upstream, idle, &peer).await;
        }
        Err(error) => tracing::debug!(%error, "A connection did not become a tunnel"),
    }
    peer.request_ended(Instant::now());
}

async fn join(client: Upgraded, upstream: Upgraded, idle: Duration, peer: &Peer) {
    relay::join(TokioIo::new(client), TokioIo::new(upstream), idle, peer).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::testing;

    #[test]
    fn only_what_the_route_allows_is_asked_for() {
        let mut forward = testing::forward("chat");
        forward.upgrades = vec!["websocket".into()];
        for (value, expected) in [
            ("websocket", true),
            ("WebSocket", true),
            ("h2c", false),
            ("websocket, h2c", false),
        ] {
            let value = HeaderValue::from_static(value);
            assert_eq!(allows(&forward, &value), expected, "{value:?}");
        }
    }
}
