use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::resource::{
    AnyObject, Group, ObjectKey, Origin, Positions, Unavailable,
    decode::{self, Decoded},
};

pub(super) fn options() -> Options {
    Options {
        namespace: "postern".into(),
        installation: "default".into(),
        own_ports: crate::compile::OWN_PORTS.to_vec(),
        environment: Environment::Folder {
            backends: Vec::new(),
            echo: Some(([127, 0, 0, 1], 9).into()),
        },
    }
}

pub(super) fn object(document: &Value) -> AnyObject {
    match decode::object(document, Origin::Cluster, "apps", Positions::default()) {
        Decoded::Object(object) => object,
        other => panic!("{document} must be an object, and is {other:?}"),
    }
}

fn mapping(name: &str, hostname: &str, prefix: &str) -> AnyObject {
    object(&json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
        "metadata": { "name": name, "namespace": "apps" },
        "spec": { "hostname": hostname, "prefix": prefix, "service": "quote" },
    }))
}

fn host(name: &str, hostname: &str) -> AnyObject {
    object(&json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Host",
        "metadata": { "name": name, "namespace": "apps" },
        "spec": { "hostname": hostname },
    }))
}

fn key(name: &str) -> ObjectKey {
    ObjectKey::new(Group::Postern, Kind::Mapping, "apps", name)
}

fn set(objects: Vec<AnyObject>) -> ResourceSet {
    let mut set = ResourceSet::default();
    for object in objects {
        set.insert(object);
    }
    set
}

/// The table of a hostname in the graph.
fn table(graph: &Graph, hostname: &str) -> Arc<crate::graph::table::RouteTable> {
    let host = graph.listeners[0].hosts.iter().next().unwrap();
    let region = host.routes.regions.iter().next().unwrap();
    let mut entries = region.tables.entries();
    let found = entries.find(|(pattern, _)| pattern.to_string() == hostname);
    Arc::clone(found.unwrap().1)
}

#[test]
fn nothing_is_a_gateway_that_answers_404() {
    let (graph, report) = compile(&ResourceSet::default(), &options());
    let ports: Vec<_> = graph.listeners.iter().map(|l| (l.port, l.tls)).collect();
    assert_eq!(ports, [(8080, false), (8443, true)]);
    assert!(report.objects.is_empty());
}

#[test]
fn what_a_change_does_not_touch_keeps_its_arc() {
    let mut compiler = Compiler::new(options());
    let mut resources = set(vec![mapping("a", "a.com", "/"), mapping("b", "b.com", "/")]);
    let (before, report_before) = compiler.compile(&resources);
    resources.insert(mapping("c", "b.com", "/c/"));
    let (after, report_after) = compiler.compile(&resources);

    assert!(Arc::ptr_eq(
        &table(&before, "a.com"),
        &table(&after, "a.com")
    ));
    assert!(!Arc::ptr_eq(
        &table(&before, "b.com"),
        &table(&after, "b.com")
    ));
    let report = |report: &Report, name: &str| Arc::clone(report.object(&key(name)).unwrap());
    for name in ["a", "b"] {
        let (before, after) = (report(&report_before, name), report(&report_after, name));
        assert!(Arc::ptr_eq(&before, &after), "{name} must keep its report");
    }
}

#[test]
fn routes_to_one_service_share_an_upstream() {
    let resources = set(vec![mapping("a", "a.com", "/"), mapping("b", "b.com", "/")]);
    let (graph, _) = compile(&resources, &options());
    let upstream = |hostname| {
        let table = table(&graph, hostname);
        let route = Arc::clone(table.iter().next().unwrap());
        match &route.members[0].action {
            crate::graph::Action::Forward(forward) => Arc::clone(&forward.upstream),
            other => panic!("{other:?} must forward"),
        }
    };
    assert!(Arc::ptr_eq(&upstream("a.com"), &upstream("b.com")));
}

#[test]
fn virtual_hosts_without_a_selector_share_their_routes() {
    let resources = set(vec![
        host("x", "x.com"),
        host("y", "y.com"),
        mapping("a", "*", "/"),
    ]);
    let (graph, _) = compile(&resources, &options());
    let sets: Vec<_> = graph.listeners[0]
        .hosts
        .iter()
        .map(|host| Arc::as_ptr(&host.routes))
        .collect();
    assert_eq!(sets.len(), 3, "two Hosts, and the default one");
    assert!(sets.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn an_object_without_its_problem_is_served_again() {
    let mut compiler = Compiler::new(options());
    let mut resources = set(vec![mapping("a", "a.*.com", "/")]);
    let (_, report) = compiler.compile(&resources);
    assert!(!report.object(&key("a")).unwrap().in_graph);
    resources.insert(mapping("a", "a.com", "/"));
    let (_, report) = compiler.compile(&resources);
    let report = report.object(&key("a")).unwrap();
    assert_eq!((report.in_graph, report.has_errors()), (true, false));
    assert_eq!(*report.serves, ["a.com/".into()]);
}

#[test]
fn the_list_of_problems_may_be_cut_off_and_nothing_is_served_more_openly() {
    let mut spec = json!({ "hostname": "a.com", "prefix": "/", "service": "quote" });
    for number in 0..80 {
        spec[format!("aaa{number}")] = json!(1);
    }
    let resources = set(vec![object(&json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
        "metadata": { "name": "a", "namespace": "apps" }, "spec": spec,
    }))]);
    let (_, report) = compile(&resources, &options());
    assert!(!report.object(&key("a")).unwrap().in_graph);
}

#[test]
fn what_cannot_be_read_is_said_with_the_remedy() {
    let gateway = |kind: &str, spec: Value| {
        object(&json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": kind,
            "metadata": { "name": "g", "namespace": "postern" }, "spec": spec,
        }))
    };
    let listener = json!({
        "port": 8080, "protocol": "HTTP", "securityModel": "XFP",
        "hostBinding": { "namespace": { "from": "ALL" } },
    });
    let stranger = object(&json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
        "metadata": { "name": "stranger", "namespace": "apps" },
        "spec": { "hostname": "*", "prefix": "/", "service": "quote.other.svc" },
    }));
    let mut resources = set(vec![
        gateway("GatewaySettings", json!({})),
        gateway("Listener", listener),
        stranger,
    ]);
    let mut compiler = Compiler::new(options());
    let mut said = |resources: &ResourceSet| {
        let (_, report) = compiler.compile(resources);
        let all = report.objects.iter().flat_map(|object| &object.diagnostics);
        all.map(|found| format!("{} {}", found.code, found.next))
            .collect::<Vec<_>>()
    };
    let grant = "PST3004 Have a ReferenceGrant created in namespace other";
    assert_eq!(said(&resources), [grant]);
    resources.unavailable = [
        (Kind::RouteClaim, Unavailable::Forbidden),
        (Kind::ReferenceGrant, Unavailable::NotInstalled),
    ]
    .into();
    let claims =
        "PST6003 Bind the ClusterRole that reads RouteClaims and Namespaces, or leave it so";
    let install = format!(
        "{grant}; its CRD is not installed here: apply the standard channel of the Gateway API first"
    );
    assert_eq!(said(&resources), [&*install, claims, claims]);
    // Where the platform has no object to say it on, routes do.
    for kind in [Kind::GatewaySettings, Kind::Listener] {
        let key = ObjectKey::new(Group::Postern, kind, "postern", "g");
        resources.remove(&key);
    }
    assert_eq!(said(&resources), [&*install, claims]);
    // What whoever asks may not read says nothing of the installation.
    let asked = Unavailable::Unasked;
    resources.unavailable.insert(Kind::RouteClaim, asked);
    assert_eq!(said(&resources), [&*install]);
    resources.unavailable.clear();
    assert_eq!(said(&resources), [grant]);
}
