//! What changes before routes are asked: Listeners, the Host that decides about a name, its certificate, and what it does with
//! insecure requests.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{
    moved::Field,
    way::{Spoken, Way, handshake},
    witness::{Witness, name},
};
use crate::{
    graph::{
        Graph, Handshake, InsecureAction,
        certificate::CertificateView,
        wire::{GraphView, ListenerView},
    },
    plugin::place::host_of,
};

/// What holds for all requests for a name, or of a port.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(in crate::plugin) struct Setting {
    /// `*.example.com`, `port 8443`, `every request`.
    pub(super) place: String,
    #[serde(flatten)]
    pub(super) field: Field,
}

/// In the order of what a request meets.
pub(super) fn settings(before: &Graph, after: &Graph) -> Vec<Setting> {
    let views = [before, after].map(GraphView::of);
    let mut all = of_requests([&views[0], &views[1]]);
    all.extend(of_listeners([&views[0], &views[1]]));
    all.extend(of_hosts([before, after]));
    all
}

fn setting(place: &str, field: Option<Field>) -> Option<Setting> {
    let place = place.to_owned();
    field.map(|field| Setting { place, field })
}

fn of_requests(views: [&GraphView; 2]) -> Vec<Setting> {
    let told = views.map(|view| [as_fields(&view.requests), as_fields(&view.envoy)].concat());
    between("every request", told)
}

fn as_fields(value: &impl Serialize) -> Vec<(String, String)> {
    let Ok(Value::Object(fields)) = serde_json::to_value(value) else {
        return Vec::new();
    };
    let text = |value: Value| match value {
        Value::String(text) => text,
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    };
    let fields = fields.into_iter();
    fields.map(|(name, value)| (name, text(value))).collect()
}

fn between(place: &str, [before, after]: [Vec<(String, String)>; 2]) -> Vec<Setting> {
    let after: BTreeMap<_, _> = after.into_iter().collect();
    let before: BTreeMap<_, _> = before.into_iter().collect();
    let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let value = |all: &BTreeMap<String, String>, name: &String| {
        all.get(name).map_or("none", |value| &**value).to_owned()
    };
    let found = names.into_iter().filter_map(|name| {
        let field = Field::between(name, &value(&before, name), &value(&after, name));
        setting(place, field)
    });
    found.collect()
}

fn of_listeners(views: [&GraphView; 2]) -> Vec<Setting> {
    let by_port = views.map(|view| {
        let all = view.listeners.iter();
        all.map(|listener| (listener.port, listener))
            .collect::<BTreeMap<_, _>>()
    });
    let [before, after] = &by_port;
    let ports: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let mut all = Vec::new();
    for port in ports {
        let place = format!("port {port}");
        let [old, new] = [before, after].map(|side| side.get(port).copied());
        let names = [old, new].map(|side| side.map_or("none", |listener| &*listener.name));
        all.extend(setting(
            &place,
            Field::between("Listener", names[0], names[1]),
        ));
        if let (Some(old), Some(new)) = (old, new) {
            all.extend(between(&place, [old, new].map(of_listener)));
        }
    }
    all
}

fn of_listener(listener: &ListenerView) -> Vec<(String, String)> {
    let ListenerView {
        tls,
        cleartext,
        security_model,
        l7_depth,
        trusted_proxies,
        only_tcp,
        name: _,
        port: _,
        hosts: _,
        // They are told one by one.
        tcp: _,
    } = listener;
    [
        ("tls", tls.to_string()),
        ("cleartext", cleartext.to_string()),
        ("securityModel", security_model.clone()),
        ("l7Depth", l7_depth.to_string()),
        ("trustedProxies", trusted_proxies.join(", ")),
        ("onlyTcp", only_tcp.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Names of Hosts of either graph, each asked about in both.
fn of_hosts(graphs: [&Graph; 2]) -> Vec<Setting> {
    let hosts = graphs
        .into_iter()
        .flat_map(|graph| &graph.listeners)
        .flat_map(|listener| listener.hosts.entries());
    let names: BTreeMap<_, _> = hosts
        .map(|(pattern, _)| (pattern.to_string(), name(pattern)))
        .collect();
    let [before, after] = graphs.map(Way::all);
    let ways: Vec<_> = before
        .into_iter()
        .filter(|way| after.contains(way))
        .collect();
    let mut all: Vec<Setting> = Vec::new();
    for (place, (name, port)) in names {
        let witness = Witness::below((&name, port), "/");
        for way in &ways {
            let told = graphs.map(|graph| of_host(*way, graph, &witness));
            for setting in between(&place, told) {
                if !all.contains(&setting) {
                    all.push(setting);
                }
            }
        }
    }
    all
}

fn of_host(way: Way, graph: &Graph, witness: &Witness) -> Vec<(String, String)> {
    let Some((listener, host)) = way.host(graph, witness) else {
        return Vec::new();
    };
    let id = host.id.to_string();
    let default = || {
        if id == "default" {
            "the default one".to_owned()
        } else {
            "a claim without a Host".to_owned()
        }
    };
    let mut all = vec![("Host", host_of(&id).unwrap_or_else(default))];
    if way.is_insecure(listener, witness) {
        let action = match host.insecure {
            InsecureAction::Redirect => "redirect",
            InsecureAction::RedirectMatched => "redirect where a route matches",
            InsecureAction::Route => "route",
            InsecureAction::Reject => "reject",
        };
        all.push(("insecure requests", action.to_owned()));
    }
    if way.spoken == Spoken::Tls {
        let certificate = match handshake(listener, witness) {
            Handshake::Certificate(tls) => {
                let certificate = &tls.certificate;
                let view = CertificateView::of(certificate).unwrap_or_default();
                let digest = certificate.digest.get(..8).unwrap_or_default();
                format!("{} ({digest})", view.names.join(", "))
            }
            Handshake::Unrecognized => "none".to_owned(),
            Handshake::Broken(fail) => format!("broken ({fail})"),
        };
        all.push(("certificate", certificate));
    }
    all.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
