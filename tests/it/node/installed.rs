//! What `helm install` with no values at all gives.

use std::{fs, net::SocketAddr, thread, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use super::{
    cluster::{AUDIT_LOG, file, shared},
    daemon::{OUTSIDER, seen_of_outsider},
};
use crate::client::Request;

#[test]
fn the_default_values_serve_the_example_through_the_load_balancer() {
    let cluster = shared();
    let (answer, said) = &cluster.example;
    let told: Value = serde_json::from_str(answer).unwrap();
    assert_eq!(told["service"], "quote", "{answer}");
    assert_eq!(told["path"], "/hello", "{answer}");
    // The namespace enforces the level `restricted` and warns of what does not satisfy it.
    assert!(!said.contains("would violate"), "{said}");
    assert!(!said.to_lowercase().contains("warning:"), "{said}");

    let address = SocketAddr::new(cluster.address(), 80);
    let beta = Request::get("http://anything/quote/").header("x-team", "beta");
    let shop = Request::get("http://shop.example.com/cart/");
    let nothing = Request::get("http://anything/nothing");
    for (request, status) in [(beta, 200), (shop, 200), (nothing, 404)] {
        let answer = cluster.inside(|| request.try_send(address)).unwrap();
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
    }
}

#[test]
fn the_port_of_the_node_leads_to_postern_as_well() {
    let cluster = shared();
    let service = cluster.get(&["service", "postern", "-n", "postern"]);
    let port = service["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
    let address: SocketAddr = format!("10.244.0.1:{port}").parse().unwrap();
    let answer = cluster.inside(|| Request::get("http://anything/quote/").try_send(address));
    assert_eq!(answer.unwrap().status, 200);
}

#[test]
fn the_client_is_the_one_that_connected_to_the_load_balancer() {
    let cluster = shared();
    let url = format!("http://{}/quote/", cluster.address());
    assert_eq!(
        seen_of_outsider(&cluster, &url),
        OUTSIDER,
        "`externalTrafficPolicy: Local` keeps its address"
    );
}

#[test]
fn both_replicas_say_that_they_are_ready_and_the_mappings_say_that_they_are_programmed() {
    let cluster = shared();
    assert_eq!(cluster.pods().len(), 2);
    let mappings = cluster.get(&["mappings", "-n", "quickstart"]);
    for mapping in mappings["items"].as_array().unwrap() {
        let conditions = mapping["status"]["conditions"].as_array().unwrap();
        let programmed = conditions
            .iter()
            .find(|condition| condition["type"] == "Programmed");
        assert_eq!(
            programmed.map(|condition| &condition["status"]),
            Some(&Value::from("True")),
            "{mapping:#}"
        );
    }
}

#[test]
fn the_plugin_asks_a_replica_through_a_port_forward() {
    let cluster = shared();
    let plugin = file(env!("CARGO_BIN_EXE_kubectl-postern"));
    let url = format!("http://{}/quote/x", cluster.address());
    let from_replica = ["--from-replica", "--gateway-namespace", "postern"];
    let why = [&["why", &url][..], &from_replica].concat();
    let (succeeded, said) = cluster.attempt(&plugin, &why);
    assert!(succeeded, "{said}");
    assert!(said.contains("TAKEN   Mapping quickstart/quote "), "{said}");
    assert!(
        said.contains("Service quickstart/quote:80 (10.96."),
        "{said}"
    );

    // What is behind the Service, only the objects tell.
    let decided = |said: &str| said.split("\nto ").next().unwrap().to_owned();
    let (_, here) = cluster.attempt(&plugin, &["why", &url]);
    assert_eq!(
        decided(&here),
        decided(&said),
        "a replica must decide as the plugin's own compiler does"
    );

    let named = format!("--from-replica={}", cluster.pods()[0]);
    let routes = ["routes", "-A", &named, "--gateway-namespace", "postern"];
    let (succeeded, said) = cluster.attempt(&plugin, &routes);
    assert!(succeeded && said.contains("/cart/"), "{said}");
}

/// What the plugin checks of an installation is in order.
#[test]
fn nothing_is_wrong_with_a_default_installation() {
    let cluster = shared();
    let plugin = file(env!("CARGO_BIN_EXE_kubectl-postern"));
    let (succeeded, said) = cluster.attempt(&plugin, &["check", "-n", "postern"]);
    assert!(succeeded, "{said}");
}

#[test]
fn a_pod_is_denied_nothing_and_fetches_no_secret_that_nobody_refers_to() {
    let cluster = shared();
    let secret = [
        "create",
        "secret",
        "generic",
        "unused",
        "--from-literal=a=b",
    ];
    cluster.kubectl(&[&secret[..], &["-n", "quickstart"]].concat());
    // Events are noted as they end, and watches end after minutes: lists and gets are what is looked at.
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut events: Vec<Value> = Vec::new();
    while events.is_empty() {
        assert!(Instant::now() < deadline, "{AUDIT_LOG} says nothing");
        thread::sleep(Duration::from_millis(100));
        let log = fs::read_to_string(AUDIT_LOG).unwrap();
        events = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["user"]["username"] == "system:serviceaccount:postern:postern")
            .collect();
    }
    let denied: Vec<_> = events
        .iter()
        .filter(|event| {
            event["annotations"]["authorization.k8s.io/decision"] == "forbid"
                || event["responseStatus"]["code"] == 403
        })
        .map(|event| &event["requestURI"])
        .collect();
    assert!(denied.is_empty(), "{denied:#?}");
    // Other tests have made Hosts.
    let hosts = cluster.get(&["hosts.postern.dev", "-n", "quickstart"]);
    let hosts = hosts["items"].as_array().unwrap().iter();
    let named: Vec<_> = hosts
        .map(|host| &host["spec"]["tlsSecret"]["name"])
        .collect();
    let fetched: Vec<_> = events
        .iter()
        .map(|event| (&event["verb"], &event["objectRef"]))
        .filter(|(verb, object)| **verb == "get" && object["resource"] == "secrets")
        .map(|(_, object)| object)
        .filter(|object| object["namespace"] != "quickstart" || !named.contains(&&object["name"]))
        .collect();
    assert!(fetched.is_empty(), "no Host names these: {fetched:#?}");
}

#[test]
fn helm_test_asks_postern_through_its_service() {
    let cluster = shared();
    let said = cluster.helm(&["test", "postern", "-n", "postern", "--timeout=60s"]);
    assert!(said.contains("Phase:          Succeeded"), "{said}");
}
