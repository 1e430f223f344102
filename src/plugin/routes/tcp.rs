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
pub(super) struct Row {
    port: u16,
    /// None for every connection that asks for no name that is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// `tcp`, `tls`, or `passthrough`.
    protocol: &'static str,
    pub(super) to: Vec<To>,
}

/// Those of the namespaces and the place that are looked at.
pub(super) fn rows(graph: &GraphView, scope: &Scope, place: Option<&Place>) -> Vec<Row> {
    let listeners = graph.listeners.iter();
    let routes = listeners.flat_map(|listener| {
        let routes = listener
            .tcp
            .iter()
            .filter(|route| !route.members.is_empty());
        routes.map(move |route| row(listener, route, graph))
    });
    let fits = |row: &Row| {
        let own = row.to.iter().any(|to| scope.includes(namespace_of(&to.id)));
        own && place.is_none_or(|place| {
            let host = row.host.as_deref();
            host.is_some_and(|host| place.reaches_host(host))
        })
    };
    routes.filter(fits).collect()
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
