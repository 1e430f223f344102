//! Which connections change hands that are not HTTP: those of each port, by the name that a handshake asks for.

use std::collections::BTreeSet;

use super::{
    moved::{Field, How, Moved, Part},
    witness::name,
};
use crate::{
    graph::{
        Graph,
        tcp::{ClientTls, TcpAction, TcpMember, TcpRoute},
    },
    plugin::{place::object_of, routes::percent},
};

/// All that moves, and how many routes lead where they led.
pub(super) fn moved(before: &Graph, after: &Graph) -> (Vec<Moved>, usize) {
    let mut all = Vec::new();
    let mut unchanged = 0;
    for (port, host) in places(before, after) {
        let [old, new] = [before, after].map(|graph| route(graph, port, host.as_deref()));
        let place = match &host {
            Some(host) => format!("port {port}, SNI {host}"),
            None => format!("port {port}, every connection"),
        };
        match change(place, old, new) {
            Some(moved) => all.push(moved),
            None => unchanged += usize::from(old.is_some()),
        }
    }
    (all, unchanged)
}

/// Ports and names that either graph has a route for; without a name, what asks for none that is found.
fn places(before: &Graph, after: &Graph) -> BTreeSet<(u16, Option<String>)> {
    let listeners = [before, after]
        .into_iter()
        .flat_map(|graph| &graph.listeners);
    let of_listener = listeners.flat_map(|listener| {
        let table = &listener.tcp;
        let named = table.by_name.entries();
        let named = named.map(|(pattern, _)| Some(pattern.to_string()));
        let any = table.any.iter().map(|_| None);
        named.chain(any).map(|host| (listener.port, host))
    });
    of_listener.collect()
}

fn route<'g>(graph: &'g Graph, port: u16, host: Option<&str>) -> Option<&'g TcpRoute> {
    let table = &graph.listener(port)?.tcp;
    let found = match host {
        None => table.any.as_ref(),
        Some(host) => {
            let (asked, _) = name(&host.parse().ok()?);
            match table.by_name.best_by_name(&asked) {
                Some(found) => found.as_ref(),
                None => table.any.as_ref(),
            }
        }
    };
    found.map(|route| &**route)
}

fn change(place: String, old: Option<&TcpRoute>, new: Option<&TcpRoute>) -> Option<Moved> {
    let [before, after] = [old, new].map(|route| route.map_or_else(Vec::new, parts));
    let mut fields = Vec::new();
    if let (Some(old), Some(new)) = (old, new) {
        let tls = [old, new].map(|route| match route.client_tls {
            ClientTls::Untouched => "passed on",
            ClientTls::Terminate => "ends here",
        });
        fields.extend(Field::between("tls", tls[0], tls[1]));
        let [was, is] = [old, new].map(idle);
        fields.extend(Field::between("idle timeout", &was, &is));
    }
    let how = How::of(&before, &after).or((!fields.is_empty()).then_some(How::Changed))?;
    Some(Moved {
        place,
        how,
        request: String::new(),
        through: Vec::new(),
        before,
        after,
        fields,
    })
}

fn idle(route: &TcpRoute) -> String {
    let timeouts = route.members.iter().map(|member| match &member.action {
        TcpAction::Forward(forward) => format!("{:?}", forward.idle_timeout),
        TcpAction::Fail(_) => "none".to_owned(),
    });
    timeouts.collect::<Vec<_>>().join(", ")
}

fn parts(route: &TcpRoute) -> Vec<Part> {
    let total = route.members.iter().map(|m| u64::from(m.share)).sum();
    let serving = route.members.iter().filter(|member| member.share > 0);
    let part = |member: &TcpMember| Part {
        object: object_of(&member.id.to_string()),
        to: match &member.action {
            TcpAction::Forward(forward) => {
                let id = forward.upstream.id.to_string();
                id.split(' ').next().unwrap_or_default().to_owned()
            }
            TcpAction::Fail(fail) => format!("closed ({fail})"),
        },
        percent: percent(member.share, total),
    };
    serving.map(part).collect()
}
