//! Routes and Hosts behind a TCPMapping that has the TLS of their name: no handshake reaches them, and they are told.

use std::{borrow::Cow, sync::Arc};

use crate::{
    compile::{finding::Findings, safety::covers, virtual_host::some_name},
    graph::{
        ClientTls, Handshake, HostPattern, HostTls, Listener, RouteId, TcpRoute, host::NamePattern,
    },
    report::Code,
};

/// As many as one message names.
const SHOWN: usize = 3;

/// What is behind TCPMappings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::compile) enum Behind {
    /// Requests for a name that would have TLS.
    Requests,
    /// The certificate of a Host: one that is passed by, not one that a TCPMapping ends TLS with.
    Certificate,
}

/// What a route does with TLS, and whose it is.
type Taking = (ClientTls, Vec<RouteId>);

/// What [`tell`] depends on, of one Listener.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::compile) struct Shape {
    names: Vec<(HostPattern, Option<Taking>)>,
    /// Which hostnames have a certificate.
    hosts: Vec<(HostPattern, bool)>,
}

impl Shape {
    pub(in crate::compile) fn of(listener: &Listener) -> Self {
        if listener.tcp.by_name.is_empty() {
            return Self::default();
        }
        let ids = |route: &Arc<TcpRoute>| {
            let ids = route.members.iter().map(|member| member.id.clone());
            (route.client_tls, ids.collect())
        };
        let names = listener.tcp.by_name.entries();
        let hosts = listener.hosts.entries();
        Self {
            names: names
                .map(|(host, route)| (host.clone(), route.as_ref().map(ids)))
                .collect(),
            hosts: hosts
                .map(|(host, of)| (host.clone(), !matches!(of.tls, HostTls::None)))
                .collect(),
        }
    }
}

/// Says which TCPMappings have the TLS of all these names. Of other people's objects no more is told than what they are called.
pub(in crate::compile) fn tell(
    behind: Behind,
    names: &HostPattern,
    listeners: &[Arc<Listener>],
    findings: &mut Findings,
) {
    let serving = listeners.iter().filter(|at| at.http && at.tls);
    for listener in serving {
        let Some(route) = taking(names, listener) else {
            continue;
        };
        let is_lost = match behind {
            Behind::Certificate => route.client_tls == ClientTls::Untouched,
            Behind::Requests => {
                let found = listener.handshake(Some(&some_name(names)));
                matches!(found, Handshake::Certificate(_))
            }
        };
        if is_lost {
            findings.push(
                Code::TlsGoesElsewhere,
                "spec.hostname",
                format!(
                    "TLS for {} on port {} goes to {}, so none of it reaches this object",
                    nameless(names),
                    listener.port,
                    shown(route)
                ),
                "Give one of them another hostname or port, or leave it so",
            );
        }
    }
}

/// The route that has every handshake for these names.
fn taking<'l>(names: &HostPattern, listener: &'l Listener) -> Option<&'l Arc<TcpRoute>> {
    let table = &listener.tcp.by_name;
    if let NamePattern::Exact(name) = &names.name {
        return table.best_by_name(name)?.as_ref();
    }
    let mut wider = table.entries();
    let found = wider.find(|(other, _)| covers(&other.name, &names.name));
    found?.1.as_ref()
}

/// Without a port, of which a handshake says nothing.
fn nameless(names: &HostPattern) -> Cow<'_, HostPattern> {
    match names.port {
        None => Cow::Borrowed(names),
        Some(_) => Cow::Owned(HostPattern {
            name: names.name.clone(),
            port: None,
        }),
    }
}

fn shown(route: &TcpRoute) -> String {
    let name = |id: &RouteId| {
        let id = id.to_string();
        let name = id.split_once('/').map_or(&*id, |(_, name)| name);
        format!("TCPMapping {name}")
    };
    let all = route.members.iter();
    let mut shown: Vec<_> = all.take(SHOWN).map(|member| name(&member.id)).collect();
    if route.members.len() > SHOWN {
        shown.push("more".to_owned());
    }
    shown.join(", ")
}
