//! Routes of TCPMappings: one line for each port and name.

use serde::Serialize;

use super::{To, objects, targets};
use crate::{
    graph::wire::{GraphView, ListenerView, TcpActionView, TcpRouteView},
    plugin::{
        facts::Scope,
        output::Cell,
        place::{Place, namespace_of},
    },
};

/// A route of connections.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::plugin) struct Row {
    pub(in crate::plugin) port: u16,
    /// None for every connection that asks for no name that is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::plugin) host: Option<String>,
    /// `tcp`, `tls`, or `passthrough`.
    pub(in crate::plugin) protocol: &'static str,
    pub(in crate::plugin) to: Vec<To>,
}

/// Those of the namespaces and the place that are looked at.
pub(super) fn rows(graph: &GraphView, scope: &Scope, place: Option<&Place>) -> Vec<Row> {
    let fits = |row: &Row| {
        let own = row.to.iter().any(|to| scope.includes(namespace_of(&to.id)));
        own && place.is_none_or(|place| place.reaches_connections(row.port, row.host.as_deref()))
    };
    all(graph).filter(fits).collect()
}

/// All of them, in the order of the Listeners.
pub(in crate::plugin) fn all(graph: &GraphView) -> impl Iterator<Item = Row> {
    graph.listeners.iter().flat_map(move |listener| {
        let routes = { listener.tcp.iter() }.filter(|route| !route.members.is_empty());
        routes.map(move |route| row(listener, route, graph))
    })
}

fn row(listener: &ListenerView, route: &TcpRouteView, graph: &GraphView) -> Row {
    let shares = route.members.iter().map(|member| u64::from(member.share));
    let total: u64 = shares.sum();
    let to = route.members.iter().map(|member| To {
        id: member.id.clone(),
        percent: (u64::from(member.share) * 100)
            .checked_div(total)
            .unwrap_or(0),
        action: match &member.action {
            TcpActionView::Forward { upstream, .. } => super::upstream(upstream, graph),
            TcpActionView::Fail(code) => format!("closed ({code})"),
        },
        fails: matches!(member.action, TcpActionView::Fail(_)),
    });
    Row {
        port: listener.port,
        host: route.host.clone(),
        protocol: match &route.host {
            Some(_) if route.terminates_tls => "tls",
            Some(_) => "passthrough",
            None => "tcp",
        },
        to: to.collect(),
    }
}

impl Row {
    pub(super) fn cells(&self) -> [Cell; 8] {
        let host = self.host.as_deref().unwrap_or_default();
        [
            format!("{host}:{}", self.port).into(),
            "".into(),
            self.protocol.into(),
            "".into(),
            targets(&self.to),
            objects(&self.to).into(),
            "".into(),
            "".into(),
        ]
    }
}
