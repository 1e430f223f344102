//! What Postern itself writes makes no work for it.

use std::{thread, time::Duration};

use serde_json::json;
use tokio::time::Instant;

use super::{
    installation::{Installation, LIMIT, a_mapping, is_ready, mapping, ours, service, services},
    platform::{namespace, own},
};
use crate::gateway::Gateway;

const MAPPINGS: u32 = 50;

/// How many snapshots were compiled.
fn compiled(gateway: &Gateway) -> f64 {
    gateway.metrics()["postern_config_generation"]
}

/// Waits until the watch of Mappings has come as far.
fn until_seen(gateway: &Gateway, version: f64) {
    let name = "postern_watch_resource_version{watch=\"mappings.postern.dev\"}";
    let deadline = Instant::now() + LIMIT;
    while gateway.metrics()[name] < version {
        assert!(Instant::now() < deadline, "{name} stays below {version}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_status_that_is_written_has_nothing_compiled_again() {
    let server = own();
    let team = "quiet-shop";
    let installation = Installation::new(&server, "quiet-gateway", &[]);
    namespace(&server, team);
    server
        .create(&services(team), &service(team, "quote"))
        .unwrap();
    let name = |number: u32| format!("route-{number}");
    for number in 0..MAPPINGS {
        let mapping = mapping(team, &name(number), &format!("/{number}/"));
        server.create(&ours("mappings", team), &mapping).unwrap();
    }
    let gateway = installation.replica("one");
    let before = compiled(&gateway);
    let versions = (0..MAPPINGS).map(|number| {
        let path = a_mapping(team, &name(number));
        let object = server.until(&path, "it has a status", is_ready);
        let version = object["metadata"]["resourceVersion"].as_str().unwrap();
        version.parse::<f64>().unwrap()
    });
    let last = versions.fold(0.0, f64::max);
    until_seen(&gateway, last);
    assert!(
        compiled(&gateway) <= before,
        "{MAPPINGS} statuses had {} snapshots compiled",
        compiled(&gateway) - before
    );

    // A change of an object is another thing.
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    let changed = server.patch(&a_mapping(team, &name(0)), &labels).unwrap();
    let version = changed["metadata"]["resourceVersion"].as_str().unwrap();
    until_seen(&gateway, version.parse().unwrap());
    assert!(compiled(&gateway) > before, "the label was not seen");
}
