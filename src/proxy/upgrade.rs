//! Connections that stop being HTTP: asked for by the client, allowed by the route, agreed to by the upstream.

use std::{cell::Cell, rc::Rc, time::Duration};

use http::{
    HeaderMap, HeaderValue,
    header::{CONNECTION, UPGRADE},
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::{
    limits,
    metrics::Count,
    peer::Peer,
    tcp::relay::{self, Meter},
};
use crate::graph::Forward;

/// The protocol that a request asks to change to, if its route allows it.
pub(super) fn wanted(headers: &HeaderMap, forward: &Forward) -> Option<HeaderValue> {
    let mut lines = headers.get_all(UPGRADE).iter();
    let (value, None) = (lines.next()?, lines.next()) else {
        return None;
    };
    let asked = value.as_bytes().trim_ascii();
    let allowed = |protocol: &&std::sync::Arc<str>| asked.eq_ignore_ascii_case(protocol.as_bytes());
    forward.upgrades.iter().find(allowed).map(|_| value.clone())
}

/// Asks the next server for the change of protocol, or tells the client of it.
pub(super) fn write(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Whether the upstream agreed to what it was asked for, and to nothing else.
pub(super) fn agreed(headers: &HeaderMap, wanted: &HeaderValue) -> bool {
    let same = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes());
    headers.get(UPGRADE).is_some_and(same)
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
        Ok((client, upstream)) => join(client, upstream, idle.unwrap_or(limits::TUNNEL_IDLE)).await,
        Err(error) => tracing::debug!(%error, "A connection did not become a tunnel"),
    }
    peer.request_ended(Instant::now());
}

async fn join(client: Upgraded, upstream: Upgraded, idle: Duration) {
    let (cell, count) = (Cell::new(0), Count::default());
    // What goes through a tunnel is not counted.
    let meter = Meter {
        received: (&cell, &count),
        sent: (&cell, &count),
    };
    relay::join(TokioIo::new(client), TokioIo::new(upstream), idle, &meter).await;
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
            let mut headers = HeaderMap::new();
            headers.insert(UPGRADE, HeaderValue::from_static(value));
            assert_eq!(wanted(&headers, &forward).is_some(), expected, "{value}");
        }
        assert!(wanted(&HeaderMap::new(), &forward).is_none());
    }
}
