//! Routes of TCPMappings as data that travels.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::UpstreamView;
use crate::graph::tcp::{ClientTls, TcpAction, TcpMember, TcpRoute, TcpTable};

/// TCPMappings that share connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TcpRouteView {
    /// What a handshake asks for; none for every connection without such a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Whether the TLS of clients ends here.
    pub terminates_tls: bool,
    /// None where a claim keeps the name out of a wildcard.
    pub members: Vec<TcpMemberView>,
}

/// One TCPMapping of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TcpMemberView {
    /// `tcpmapping/db/orders`.
    pub id: String,
    pub share: u32,
    pub action: TcpActionView,
}

/// What is done with a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TcpActionView {
    Forward {
        upstream: String,
        #[serde(rename = "idleTimeout")]
        idle_timeout: String,
    },
    /// It is closed, for the reason with this code.
    Fail(String),
}

/// The routes of a table; what they lead to is added to `upstreams`.
pub(super) fn routes(
    table: &TcpTable,
    upstreams: &mut BTreeMap<String, UpstreamView>,
) -> Vec<TcpRouteView> {
    for upstream in table.upstreams() {
        upstreams
            .entry(upstream.id.to_string())
            .or_insert_with(|| UpstreamView::of(upstream));
    }
    let named = table.by_name.entries();
    let named =
        named.map(|(host, route)| TcpRouteView::of(Some(host.to_string()), route.as_deref()));
    let any = table.any.iter();
    named
        .chain(any.map(|route| TcpRouteView::of(None, Some(route))))
        .collect()
}

impl TcpRouteView {
    fn of(host: Option<String>, route: Option<&TcpRoute>) -> Self {
        let members = route.iter().flat_map(|route| route.members.iter());
        Self {
            host,
            terminates_tls: route.is_some_and(|route| route.client_tls == ClientTls::Terminate),
            members: members.map(TcpMemberView::of).collect(),
        }
    }
}

impl TcpMemberView {
    pub(in crate::graph) fn of(member: &TcpMember) -> Self {
        Self {
            id: member.id.to_string(),
            share: member.share,
            action: match &member.action {
                TcpAction::Forward(forward) => TcpActionView::Forward {
                    upstream: forward.upstream.id.to_string(),
                    idle_timeout: format!("{:?}", forward.idle_timeout),
                },
                TcpAction::Fail(fail) => TcpActionView::Fail(fail.to_string()),
            },
        }
    }
}
