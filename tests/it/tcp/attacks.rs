//! Attempts of a namespace to take the connections of others: each succeeds where nothing defends, and none in claimed space.

use std::collections::BTreeSet;

use postern::{compile::compile, graph::Graph, report::Report};
use serde_json::{Value, json};

use super::owners::tcp_mapping;
use crate::{
    attacks::plan::{self, ATTACKER, Defence},
    ownership::asking::{options, set},
};

/// What it is, the spec of a TCPMapping, whether it says to be older than everybody's, and the codes that say why it fails: in claimed
/// space, and where first come holds (or `taken`).
type Attack = (&'static str, Value, bool, &'static str, &'static str);

const SHOP: &str = "shop.example.com";

fn attacks() -> Vec<Attack> {
    let on = |port: u16, host: &str, passes: bool| {
        let mut spec = json!({"port": port, "service": "own", "host": host});
        if passes {
            spec["clientTls"] = json!("Passthrough");
        }
        spec
    };
    let port = |weight: Value| json!({"port": 6379, "service": "own", "weight": weight});
    vec![
        (
            "the port of others",
            port(json!(null)),
            false,
            "PST2012",
            "PST2007",
        ),
        (
            "nearly all of it",
            port(json!(99)),
            false,
            "PST2012",
            "PST2007",
        ),
        (
            "the port of others, as if older",
            port(json!(null)),
            true,
            "PST2012",
            "taken",
        ),
        (
            "the name of others, passed through",
            on(8443, SHOP, true),
            false,
            "PST2012",
            "PST2007",
        ),
        (
            "the name of others with their certificate",
            on(8443, SHOP, false),
            false,
            "PST2012",
            "PST2007",
        ),
        (
            "the same in upper case",
            on(8443, "SHOP.Example.COM", true),
            false,
            "PST2012",
            "PST2007",
        ),
        (
            "the same with a dot",
            on(8443, "shop.example.com.", true),
            false,
            "PST2012",
            "PST2007",
        ),
        (
            "the same, as if older",
            on(8443, SHOP, true),
            true,
            "PST2012",
            "taken",
        ),
        (
            "a wildcard around it",
            on(8443, "*.example.com", true),
            false,
            "PST2007",
            "PST2007",
        ),
        (
            "part of a label",
            on(8443, "*op.example.com", true),
            false,
            "PST2007",
            "PST2007",
        ),
        (
            "the beginning of it",
            on(8443, "shop.*", true),
            false,
            "PST2007",
            "PST2007",
        ),
        (
            "every name",
            on(8443, "*", true),
            false,
            "PST2007",
            "PST2007",
        ),
        (
            "every name, as if older",
            on(8443, "*", true),
            true,
            "PST2013",
            "taken",
        ),
    ]
}

/// Everybody else's objects; the platform has a port of TCP.
fn world(defence: Defence) -> Vec<Value> {
    let mut all = plan::world(defence);
    all.push(tcp_mapping(
        "postern",
        "orders",
        1,
        &json!({"port": 6379, "service": "orders"}),
    ));
    if defence == Defence::Claims {
        all.push(json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "RouteClaim", "metadata": {"name": "attacked-port"},
            "spec": {"ports": [6379], "namespaces": {"names": ["postern"]}},
        }));
    }
    all
}

/// What becomes of the connections of others.
fn answers(graph: &Graph) -> Vec<String> {
    let port = &graph.listener(6379).unwrap().tcp.any;
    let name = graph.listener(8443).unwrap().tcp.named(Some(SHOP));
    [port.as_ref(), name]
        .map(|route| {
            route.map_or_else(|| "HTTP".to_owned(), |route| format!("{:?}", route.members))
        })
        .into()
}

fn compiled(objects: &[Value]) -> (std::sync::Arc<Graph>, std::sync::Arc<Report>) {
    let mut options = options();
    options.namespace = "postern".into();
    compile(&set(objects), &options)
}

/// Whether it changes something, and the codes that the attacker gets.
fn run((_, spec, old, ..): &Attack, defence: Defence) -> (bool, BTreeSet<String>) {
    let mut all = world(defence);
    let before = answers(&compiled(&all).0);
    let mut hostile = tcp_mapping(ATTACKER, "attack", 1, spec);
    let year = if *old { "2020" } else { "2027" };
    hostile["metadata"]["creationTimestamp"] = json!(format!("{year}-01-01T00:00:00Z"));
    all.push(hostile);
    let (graph, report) = compiled(&all);
    let own = report.objects.iter();
    let own =
        own.filter(|object| &*object.key.namespace == ATTACKER && &*object.key.name == "attack");
    let codes = own.flat_map(|object| &object.diagnostics);
    let codes = codes.map(|found| found.code.to_string()).collect();
    (answers(&graph) != before, codes)
}

#[test]
fn each_succeeds_where_nothing_defends_and_none_in_claimed_space() {
    let mut wrong = Vec::new();
    for attack in attacks() {
        let (name, _, _, claimed, first_come) = &attack;
        if !run(&attack, Defence::None).0 {
            wrong.push(format!("{name} is no attack"));
        }
        for (defence, code) in [(Defence::Claims, claimed), (Defence::FirstCome, first_come)] {
            let (succeeds, codes) = run(&attack, defence);
            if succeeds != (*code == "taken") {
                wrong.push(format!("{name}: {defence:?}, succeeds: {succeeds}"));
            } else if !succeeds && !codes.contains(*code) {
                wrong.push(format!("{name}: {defence:?}, {codes:?} without {code}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
