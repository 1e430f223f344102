//! Connections that are not HTTP: which names of a port fit, and whose it is.

use crate::{
    graph::{
        HostPattern,
        why::{Answer, ConnectionAnswer},
        wire::{GraphView, TcpRouteView},
    },
    plugin::{
        facts::Facts,
        output::{Cell, Style},
        place::object_of,
        who,
    },
};

/// Which name was found, and what becomes of the TLS.
pub(super) fn name(answer: &Answer) -> String {
    let Some(ConnectionAnswer {
        host,
        terminates_tls,
    }) = &answer.connection
    else {
        return String::new();
    };
    let sni = answer.sni.as_deref().unwrap_or("none");
    match host {
        None => format!("SNI {sni}, which nobody asks for by name: passed on as it is"),
        Some(_) if *terminates_tls => format!("SNI {sni}, ends here"),
        Some(_) => format!("SNI {sni}, passed on as it is"),
    }
}

/// The claim that decides whose the connection is.
pub(super) fn claim(answer: &Answer, facts: &Facts) -> Option<String> {
    let port = answer.listener.as_ref()?.port;
    let host = answer.connection.as_ref()?.host.clone();
    let owned = who::owned(facts).into_iter();
    let mut at_place = owned.filter(|owned| {
        owned.port == Some(port) && owned.hostname == *host.as_deref().unwrap_or_default()
    });
    at_place.next()?.claim
}

/// The routes of the port that a connection fits, the one that has it first: rule, objects, place, kind and why.
pub(super) fn candidates(answer: &Answer, graph: &GraphView) -> Vec<[Cell; 5]> {
    let (Some(taken), Some(listener)) = (&answer.connection, &answer.listener) else {
        return Vec::new();
    };
    let port = listener.port;
    let of_port = graph.listeners.iter().filter(|found| found.port == port);
    let fits = |route: &&TcpRouteView| match (&route.host, answer.sni.as_deref()) {
        (Some(host), Some(sni)) => {
            { host.parse::<HostPattern>() }.is_ok_and(|pattern| pattern.matches(sni, None))
        }
        (Some(host), None) => Some(host) == taken.host.as_ref(),
        (None, _) => true,
    };
    // They are told the most specific first, and the one for every connection last.
    let fitting = of_port.flat_map(|listener| &listener.tcp).filter(fits);
    let served = fitting.filter(|route| !route.members.is_empty());
    served
        .map(|route| {
            let objects = route.members.iter().map(|member| object_of(&member.id));
            let objects = objects.collect::<Vec<_>>().join(", ");
            let host = route.host.as_deref().unwrap_or_default();
            let kind = match &route.host {
                None => "port",
                Some(_) if route.terminates_tls => "tls",
                Some(_) => "passthrough",
            };
            let (rule, why) = if route.host == taken.host {
                let why = match &route.host {
                    Some(_) => "the most specific name that fits",
                    None => "every connection that no name is found for",
                };
                (Cell::new("TAKEN", Style::Good), why)
            } else {
                ("lost".into(), "a more specific name fits")
            };
            [
                rule,
                objects.into(),
                format!("{host}:{port}").into(),
                kind.into(),
                why.into(),
            ]
        })
        .collect()
}
