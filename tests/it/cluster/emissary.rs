//! Kinds of Emissary-ingress with Postern's own definitions of them, and beside a gateway that says their state itself.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    installation::{Installation, a_mapping, is_ready, mapping, service},
    platform::{apply, attempt, namespace, own, run, said},
    server::{EMISSARY_TOKEN, EMISSARY_USER, Server},
};
use crate::{
    client::{Answer, Request},
    gateway::Gateway,
};

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

/// What the chart of Emissary-ingress lets its ServiceAccount do, as its documentation has it.
const EMISSARY_ROLE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: emissary}
rules:
- {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get, list, watch, delete]}
- {apiGroups: [''], resources: [namespaces, services, secrets, configmaps, endpoints], verbs: [get, list, watch]}
- {apiGroups: [getambassador.io], resources: ['*'], verbs: [get, list, watch, update, patch, create, delete]}
- {apiGroups: [getambassador.io], resources: [mappings/status], verbs: [update]}
- {apiGroups: [networking.k8s.io], resources: [ingresses, ingressclasses], verbs: [get, list, watch]}
- {apiGroups: [networking.k8s.io], resources: [ingresses/status], verbs: [update]}
";

/// Three versions in one annotation, as a Deployment has them that was installed long ago.
const OLD_ANNOTATION: &str = "---
apiVersion: ambassador/v0
kind: Mapping
name: v0
prefix: /v0/
service: quote
---
apiVersion: ambassador/v1
kind: Mapping
name: v1
host: v1.example.com
prefix: /v1/
service: quote
---
apiVersion: getambassador.io/v2
kind: Mapping
metadata: {name: v2}
spec: {prefix: /v2/, service: quote, nonsense: 1}
";

#[test]
fn in_the_place_of_emissary_its_environment_rights_probes_and_diagnostics_do() {
    let server = own();
    let (own_namespace, team) = ("emissary-place", "emissary-place-shop");
    for name in [own_namespace, team] {
        namespace(&server, name);
    }
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "emissary"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "emissary"},
        "subjects": [{"kind": "User", "name": EMISSARY_USER, "apiGroup": "rbac.authorization.k8s.io"}],
    });
    let mut carrier = service(team, "quote");
    carrier["metadata"]["annotations"] = json!({"getambassador.io/config": OLD_ANNOTATION});
    carrier["metadata"]["labels"] = json!({"tier": "edge"});
    let mut other = service(team, "other");
    other["metadata"]["annotations"] =
        json!({"getambassador.io/config": OLD_ANNOTATION.replace("/v0/\n", "/other/\n")});
    let documents = [
        EMISSARY_ROLE.to_owned(),
        binding.to_string(),
        other.to_string(),
        carrier.to_string(),
    ];
    apply(&server, &documents.join("\n---\n"));

    // Postern's own kinds are there in the test cluster, and its user may not read them: where only the image was changed they are
    // not there.
    for plural in [
        "mappings",
        "tcpmappings",
        "hosts",
        "listeners",
        "gatewaysettings",
        "routeclaims",
    ] {
        run(
            &server,
            &["delete", "crd", &format!("{plural}.postern.dev")],
            "",
        );
    }
    let kubeconfig = server.kubeconfig(EMISSARY_TOKEN, own_namespace);
    let environment = [
        ("POSTERN_COMPAT", "emissary"),
        ("AMBASSADOR_NAMESPACE", own_namespace),
        ("AMBASSADOR_ID", "default"),
        ("AMBASSADOR_LABEL_SELECTOR", "tier=edge"),
        ("AMBASSADOR_DRAIN_TIME", "1"),
        ("AES_LOG_LEVEL", "info"),
    ];
    let gateway = Gateway::of_cluster_in(&kubeconfig, &["--echo", "--workers", "1"], &environment);
    gateway.wait_until_ready();

    until_served(&gateway, "http://any.example.com/v0/");
    until_served(&gateway, "http://v1.example.com/v1/");
    let unselected = gateway.get("http://any.example.com/other/");
    assert_eq!(unselected.status, 404, "its Service has no such label");
    let answer = gateway.get("http://any.example.com/v0/a");
    assert_eq!(answer.header("server"), Some("envoy"));
    assert!(
        answer.told()["headers"]
            .to_string()
            .contains("x-envoy-original-path")
    );
    for path in ["check_ready", "check_alive"] {
        let path = format!("/ambassador/v0/{path}");
        assert_eq!(
            gateway.get(&format!("http://any{path}")).status,
            200,
            "{path}"
        );
        assert_eq!(admin(&gateway, &path).status, 200, "{path}");
    }
    let diagnostics = admin(&gateway, "/ambassador/v0/diag/?json=true").told();
    let errors = diagnostics["errors"].as_array().unwrap();
    let of_v2 = errors
        .iter()
        .find(|error| error[0] == format!("v2.{team}.1"));
    assert!(
        of_v2.unwrap()[1].as_str().unwrap().contains("nonsense"),
        "{diagnostics}"
    );
    let only = admin(&gateway, "/ambassador/v0/diag/?json=true&filter=errors").told();
    assert_eq!(only, diagnostics["errors"]);
    let log = gateway.logged();
    for lost in [
        "endpointslices.discovery.k8s.io",
        "leases.coordination.k8s.io",
    ] {
        assert!(log.contains(lost), "{lost} is missing and said so: {log}");
    }
    // Whoever has the server next counts its Mappings.
    drop(gateway);
    run(&server, &["delete", "services", "--all", "-n", team], "");
}

fn admin(gateway: &Gateway, path: &str) -> Answer {
    Request::get(&format!("http://admin{path}"))
        .try_send(gateway.admin())
        .unwrap()
}
