//! Kinds of Emissary-ingress with Postern's own definitions of them, and beside a gateway that says their state itself.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    installation::{Installation, a_mapping, is_ready, mapping, service},
    platform::{apply, attempt, namespace, own, run, said},
    server::Server,
};
use crate::{client::Request, gateway::Gateway};

const GROUP: &str = "getambassador.io/v3alpha1";

fn old(namespace: &str, kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": GROUP, "kind": kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec,
    })
}

fn path(namespace: &str, plural: &str, name: &str) -> String {
    format!("/apis/{GROUP}/namespaces/{namespace}/{plural}/{name}")
}

fn until_served(gateway: &Gateway, url: &str) {
    gateway.send_until(&Request::get(url), |answer| answer.status == 200);
}

/// Puts the generated definitions in the place of those that the tests have.
fn replace_definitions(server: &Server) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/emissary");
    run(server, &["replace", "-f", folder.to_str().unwrap()], "");
}

/// An object of every kind that says something, with the plural name of the kind.
fn objects(team: &str) -> Vec<(&'static str, Value)> {
    vec![
        (
            "mappings",
            old(
                team,
                "Mapping",
                "quote",
                &json!({
                    "hostname": "*", "prefix": "/quote/", "service": "quote", "timeout_ms": 5000,
                    "add_request_headers": {"x-old": {"value": "yes", "append": false}},
                    "ambassador_id": ["default"],
                }),
            ),
        ),
        (
            "hosts",
            old(
                team,
                "Host",
                "any",
                &json!({
                    "hostname": "*", "requestPolicy": {"insecure": {"action": "Route"}},
                    "tls": {"min_tls_version": "v1.2"}, "ambassador_id": ["default"],
                }),
            ),
        ),
        (
            "listeners",
            old(
                team,
                "Listener",
                "http",
                &json!({
                    "port": 8080, "protocol": "HTTP", "securityModel": "XFP", "l7Depth": 1,
                    "hostBinding": {"namespace": {"from": "ALL"}}, "ambassador_id": ["default"],
                }),
            ),
        ),
        (
            "tlscontexts",
            old(
                team,
                "TLSContext",
                "up",
                &json!({"ca_secret": "ca", "sni": "a.b"}),
            ),
        ),
        (
            "tcpmappings",
            old(
                team,
                "TCPMapping",
                "t",
                &json!({"port": 9000, "service": "quote", "idle_timeout_ms": "1"}),
            ),
        ),
        (
            "modules",
            old(
                team,
                "Module",
                "ambassador",
                &json!({"config": {"anything": [1, {"a": true}]}}),
            ),
        ),
        (
            "kubernetesendpointresolvers",
            old(team, "KubernetesEndpointResolver", "endpoint", &json!({})),
        ),
        (
            "consulresolvers",
            old(team, "ConsulResolver", "c", &json!({"datacenter": "dc1"})),
        ),
    ]
}

#[test]
fn objects_of_emissary_are_stored_by_the_generated_definitions_and_serve() {
    let server = own();
    let team = "generated-shop";
    let installation = Installation::new(&server, "generated-gateway", &[team]);
    replace_definitions(&server);
    let objects = objects(team);
    run(
        &server,
        &["create", "-f", "-"],
        &service(team, "quote").to_string(),
    );
    for (plural, object) in &objects {
        let created = attempt(
            &server,
            &["create", "--validate=strict", "-f", "-"],
            &object.to_string(),
        );
        assert!(created.status.success(), "{plural}: {}", said(&created));
        let name = object["metadata"]["name"].as_str().unwrap();
        let stored = server.get(&path(team, plural, name)).unwrap();
        assert_eq!(stored["spec"], object["spec"], "{plural}");
    }
    let bad = old(
        team,
        "Mapping",
        "bad",
        &json!({"prefix": "/", "service": "a", "timeoutMs": 1}),
    );
    let refused = attempt(
        &server,
        &["create", "--validate=strict", "-f", "-"],
        &bad.to_string(),
    );
    assert!(
        said(&refused).contains("unknown field \"spec.timeoutMs\""),
        "{}",
        said(&refused)
    );

    let gateway = installation.replica("one");
    until_served(&gateway, "http://any/quote/");
    let running = server.until(&path(team, "mappings", "quote"), "it runs", |status| {
        status["state"] == "Running"
    });
    assert_eq!(running["status"], json!({"state": "Running"}));
    let table = run(
        &server,
        &["get", "mappings.getambassador.io", "-n", team],
        "",
    );
    assert!(
        table.contains("SOURCE HOST") && table.contains("Running"),
        "{table}"
    );
}

#[test]
fn beside_another_gateway_the_objects_of_emissary_are_only_read() {
    let server = own();
    let team = "beside-shop";
    namespace(&server, team);
    let installation = Installation::new(&server, "beside-gateway", &[team]);
    let gateway = installation.with_flags("one", &["--echo", "--no-status", "getambassador.io"]);
    let spec = json!({"hostname": "*", "prefix": "/old/", "service": "quote"});
    let objects = [
        service(team, "quote"),
        old(team, "Mapping", "old", &spec),
        mapping(team, "new", "/new/"),
    ];
    apply(
        &server,
        &objects.map(|object| object.to_string()).join("\n---\n"),
    );
    until_served(&gateway, "http://any/old/");
    server.until(&a_mapping(team, "new"), "ours says so", is_ready);
    let object = server.get(&path(team, "mappings", "old")).unwrap();
    assert_eq!(object["status"], Value::Null, "nobody has said anything");
}
