//! Whose ports and names are: what strangers write changes nothing about claimed connections, who came first keeps what nobody
//! has claimed, and a compiler that was kept says what a fresh one says.

use postern::{
    compile::{Compiler, compile},
    graph::Graph,
};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use crate::ownership::{
    asking::{connection, options, set},
    world::{PLATFORM, secret},
};

const PORTS: [u16; 3] = [6379, 8443, 9443];
const NAMES: [&str; 5] = ["x.com", "a.x.com", "b.a.x.com", "y.org", "com"];
const TEAMS: [&str; 3] = ["a", "b", "c"];

fn all_asked(graph: &Graph) -> Vec<(u16, Option<&'static str>, Option<String>)> {
    let names = || NAMES.into_iter().map(Some).chain([None]);
    let places = PORTS
        .into_iter()
        .flat_map(|port| names().map(move |name| (port, name)));
    let told = places.map(|(port, name)| (port, name, connection(graph, port, name)));
    told.collect()
}

fn platform() -> Vec<Value> {
    let listener = |port: u16, protocol: &str| {
        json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Listener",
            "metadata": {"name": protocol.to_lowercase(), "namespace": "postern"},
            "spec": {"port": port, "protocol": protocol, "securityModel": "XFP",
                     "hostBinding": {"namespace": {"from": "ALL"}}},
        })
    };
    // With a certificate for every name, so that there is TLS to lose.
    let host = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Host",
        "metadata": {"name": "all", "namespace": PLATFORM},
        "spec": {"hostname": "*", "tlsSecret": {"name": "certificate"}},
    });
    vec![
        listener(PORTS[0], "TCP"),
        listener(PORTS[1], "HTTPS"),
        listener(PORTS[2], "TLS"),
        secret(PLATFORM),
        host,
    ]
}

fn tcp_mapping(namespace: &str, name: &str, day: u32, spec: &Value) -> Value {
    json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "TCPMapping",
        "metadata": {"name": name, "namespace": namespace,
                     "creationTimestamp": format!("2026-01-{day:02}T00:00:00Z")},
        "spec": spec,
    })
}

fn route() -> impl Strategy<Value = Value> {
    let hosts = ["x.com", "*.x.com", "a.x.com", "*", "*.com", "X.com."];
    let host = prop_oneof![1 => Just(None), 3 => select(hosts.to_vec()).prop_map(Some)];
    let place = (
        select(PORTS.to_vec()),
        host,
        select(vec![json!(null), json!(10), json!(120)]),
    );
    let object = (
        select(TEAMS.to_vec()),
        select(vec!["m", "n"]),
        1..9_u32,
        any::<bool>(),
    );
    (object, place).prop_map(|((namespace, name, day, passes), (port, host, weight))| {
        let mut spec = json!({"port": port, "service": "db:5432"});
        if let Some(host) = host {
            spec["host"] = json!(host);
            if passes {
                spec["clientTls"] = json!("Passthrough");
            }
        }
        if !weight.is_null() {
            spec["weight"] = weight;
        }
        tcp_mapping(namespace, name, day, &spec)
    })
}

fn claim() -> impl Strategy<Value = Value> {
    let hostnames = select(vec![
        json!(null),
        json!(["x.com"]),
        json!(["*.x.com", "y.org"]),
        json!(["*"]),
    ]);
    let ports = select(vec![json!(null), json!([6379]), json!([9443, 8443])]);
    let paths = select(vec![json!(null), json!(["/a"])]);
    (select(vec!["p", "q"]), 1..9_u32, hostnames, ports, paths, select(TEAMS.to_vec())).prop_map(
        |(name, day, hostnames, ports, paths, team)| {
            let mut spec = json!({"namespaces": {"names": [team]}});
            for (field, value) in [("hostnames", hostnames), ("ports", ports), ("paths", paths)] {
                if !value.is_null() {
                    spec[field] = value;
                }
            }
            json!({
                "apiVersion": "postern.dev/v1alpha1", "kind": "RouteClaim",
                "metadata": {"name": name, "creationTimestamp": format!("2026-01-{day:02}T00:00:00Z")},
                "spec": spec,
            })
        },
    )
}

fn mapping() -> impl Strategy<Value = Value> {
    (
        select(TEAMS.to_vec()),
        1..9_u32,
        select(vec!["x.com", "*.x.com", "y.org"]),
    )
        .prop_map(|(namespace, day, hostname)| {
            json!({
                "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
                "metadata": {"name": "site", "namespace": namespace,
                             "creationTimestamp": format!("2026-01-{day:02}T00:00:00Z")},
                "spec": {"hostname": hostname, "prefix": "/", "service": "site"},
            })
        })
}

fn world() -> impl Strategy<Value = Vec<Value>> {
    let object = prop_oneof![5 => route(), 2 => claim(), 1 => mapping()];
    proptest::collection::vec(object, 1..14)
}

fn graph(objects: &[Value]) -> std::sync::Arc<Graph> {
    compile(&set(platform().iter().chain(objects)), &options()).0
}

/// The namespaces of whoever takes a connection.
fn takers(told: Option<&String>) -> Vec<&'static str> {
    let is_in =
        |team: &&str| told.is_some_and(|told| told.contains(&format!("tcpmapping/{team}/")));
    TEAMS.into_iter().filter(is_in).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::ownership::cases()))]

    #[test]
    fn a_stranger_takes_nothing_that_a_claim_gives_to_others(objects in world(), port in select(PORTS.to_vec()), name in select(NAMES.to_vec())) {
        // The oldest of all claims, on the whole of both.
        let wall = json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "RouteClaim",
            "metadata": {"name": "wall", "creationTimestamp": "2025-01-01T00:00:00Z"},
            "spec": {"namespaces": {"names": ["a"]}, "hostnames": [name], "ports": [port]},
        });
        let all: Vec<_> = objects.iter().cloned().chain([wall]).collect();
        let (theirs, rest): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|object| {
            object["metadata"]["namespace"] == "b" || object["metadata"]["namespace"] == "c"
        });
        let (with, without) = (graph(&[rest.clone(), theirs].concat()), graph(&rest));
        let (now, alone) = (connection(&with, port, Some(name)), connection(&without, port, Some(name)));
        prop_assert_eq!(now, alone, "port {} for {}", port, name);
        let any = |graph: &Graph| graph.listener(port).unwrap().tcp.any.clone();
        prop_assert_eq!(any(&with), any(&without));
        for other in PORTS {
            let Some(listener) = with.listener(other) else { continue };
            // Whoever has claimed a port has the rest of what is asked for there.
            let named = listener.tcp.named(Some(name)).filter(|route| Some(*route) != listener.tcp.any.as_ref());
            let told = named.map(|route| format!("{:?}", route.members));
            let strangers = takers(told.as_ref()).into_iter().any(|team| team != "a");
            prop_assert!(!strangers, "{} on {}: {:?}", name, other, told);
        }
    }

    #[test]
    fn who_came_first_keeps_a_place_whatever_comes_later(objects in world(), place in route()) {
        let mut first = place;
        first["metadata"]["namespace"] = json!("a");
        first["metadata"]["name"] = json!("first");
        first["metadata"]["creationTimestamp"] = json!("2025-01-01T00:00:00Z");
        let objects: Vec<_> = objects.into_iter().filter(|object| object["kind"] != "RouteClaim").collect();
        let (own, others): (Vec<_>, Vec<_>) = objects.into_iter().partition(|object| object["metadata"]["namespace"] == "a");
        let own: Vec<_> = own.into_iter().chain([first.clone()]).collect();
        let (with, without) = (graph(&[own.clone(), others].concat()), graph(&own));
        let port = u16::try_from(first["spec"]["port"].as_u64().unwrap()).unwrap();
        let host = first["spec"]["host"].as_str().map(|host| host.parse().unwrap());
        let of = |graph: &Graph| {
            let tcp = &graph.listener(port).unwrap().tcp;
            match &host {
                None => tcp.any.clone(),
                Some(host) => tcp.by_name.entries().find(|(at, _)| *at == host).and_then(|(_, route)| route.clone()),
            }
        };
        prop_assert_eq!(of(&with), of(&without));
    }

    #[test]
    fn a_kept_compiler_says_what_a_fresh_one_says(worlds in proptest::collection::vec(world(), 2..4)) {
        let mut kept = Compiler::new(options());
        for objects in &worlds {
            let set = set(platform().iter().chain(objects));
            let (graph, report) = kept.compile(&set);
            let (fresh, fresh_report) = compile(&set, &options());
            prop_assert_eq!(all_asked(&graph), all_asked(&fresh));
            prop_assert_eq!(report, fresh_report);
        }
    }
}
