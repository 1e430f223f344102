//! The CustomResourceDefinitions in a real API server: what it stores, and what it refuses by itself.

use std::{fs, path::Path, process::Output};

use postern::source::yaml;
use serde_json::{Value, json};

use super::{
    platform::{attempt, namespace, run, said, shared},
    server::Server,
};

/// Creates all the objects with one command, which goes on after one that is refused.
fn create(server: &Server, namespace: &str, objects: &[Value]) -> Output {
    // Not a List: kubectl would check that one by itself.
    let documents: Vec<_> = objects.iter().map(Value::to_string).collect();
    let arguments = ["create", "--validate=strict", "-n", namespace, "-f", "-"];
    attempt(server, &arguments, &documents.join("\n---\n"))
}

fn stored(server: &Server, namespace: &str, kind: &str, name: &str) -> Value {
    let resource = format!("{kind}.postern.dev");
    let arguments = ["get", &resource, name, "-n", namespace, "-o", "json"];
    let got = server.kubectl().args(arguments).output().unwrap();
    assert!(got.status.success(), "{}", said(&got));
    serde_json::from_slice(&got.stdout).unwrap()
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
    })
}

#[test]
fn a_good_object_of_each_kind_is_stored_as_it_was_written() {
    let server = shared();
    namespace(server, "crds-good");
    let good = [
        (
            "Mapping",
            json!({
                "hostname": "*.example.com", "prefix": "/a(b|c)/.*", "prefixRegex": true, "service": "a:80",
                "headers": {"x-a": "b"}, "regexHeaders": {"x-b": "^v[0-9]+$"}, "weight": 100, "timeoutMs": 0,
                "regexRewrite": {"pattern": "^/a", "substitution": "/b"},
                "addRequestHeaders": {"x-c": {"value": "d", "append": false}},
                "labels": {"d": [{"g": [{"genericKey": {"value": "v"}}]}]},
                "docs": {"path": "/openapi.json", "anything": [1, {"a": null}]},
            }),
        ),
        (
            "Host",
            json!({
                "hostname": "example.com", "tlsSecret": {"name": "a"}, "tls": {"minTlsVersion": "v1.2"},
                "requestPolicy": {"insecure": {"action": "Route"}},
                "mappingSelector": {"matchLabels": {"a": "b"}},
            }),
        ),
        (
            "TCPMapping",
            json!({
                "port": 9443, "host": "*.db.example.com", "clientTls": "Passthrough", "service": "https://db:5432",
                "weight": 10, "idleTimeoutMs": "60000", "circuitBreakers": [{"maxConnections": 7}],
            }),
        ),
        (
            "Listener",
            json!({
                "port": 8443, "protocolStack": ["TLS", "HTTP", "TCP"], "securityModel": "XFP",
                "hostBinding": {"namespace": {"from": "ALL"}}, "l7Depth": 1,
                "trustedProxies": ["10.0.0.0/8"],
            }),
        ),
        (
            "GatewaySettings",
            json!({
                "defaultHost": "Never", "ownership": {"unclaimed": "Deny"},
                "references": {"services": "RequireGrant", "external": {"policy": "Deny", "suffixes": ["a.b"]}},
            }),
        ),
        (
            "RouteClaim",
            json!({
                "hostnames": ["claimed.crds.example", "*.claimed.crds.example"], "paths": ["/", "/a"], "contact": "#a",
                "namespaces": {
                    "names": ["crds-good"],
                    "selector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["crds-good"]}]},
                },
            }),
        ),
    ];
    let objects: Vec<_> = good
        .iter()
        .map(|(kind, spec)| object(kind, "good", spec))
        .collect();
    let created = create(server, "crds-good", &objects);
    assert!(created.status.success(), "{}", said(&created));
    for (kind, mut spec) in good {
        // The API server takes nulls out.
        if let Some(null) = spec.pointer_mut("/docs/anything/1") {
            *null = stored(server, "crds-good", kind, "good")["spec"]["docs"]["anything"][1].take();
        }
        let found = stored(server, "crds-good", kind, "good");
        assert_eq!(found["spec"], spec, "{kind}");
    }
    // Claims hold for every installation, and so for other tests.
    run(server, &["delete", "routeclaim", "good"], "");
}

/// Kind, spec, and a part of what the API server answers.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "Mapping",
        r#"{"prefix": "/a(b", "prefixRegex": true, "service": "a"}"#,
        "error parsing regexp: missing closing ): `/a(b`",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "method": "/a(b", "methodRegex": true, "service": "a"}"#,
        "error parsing regexp: missing closing ): `/a(b`",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "host": "/a(b", "hostRegex": true, "service": "a"}"#,
        "error parsing regexp: missing closing ): `/a(b`",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "regexHeaders": {"good": "a", "x": "/a(b"}, "service": "a"}"#,
        "error parsing regexp: missing closing ): `/a(b`",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "regexQueryParameters": {"x": "/a(b"}, "service": "a"}"#,
        "error parsing regexp: missing closing ): `/a(b`",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "regexRewrite": {"pattern": "/a(b"}, "service": "a"}"#,
        "error parsing regexp: missing closing ): `/a(b`",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "hostRedirect": true, "regexRedirect": {"pattern": "/a(b"}, "service": "a"}"#,
        "error parsing regexp: missing closing ): `/a(b`",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "weight": 101, "service": "a"}"#,
        "spec.weight: Invalid value: weight must be from 0 to 100",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "weight": -1, "service": "a"}"#,
        "spec.weight: Invalid value: weight must be from 0 to 100",
    ),
    (
        "Mapping",
        r#"{"prefix": "a/", "service": "a"}"#,
        "prefix must begin with /, unless prefixRegex is true",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "hostname": "a.*.b", "service": "a"}"#,
        "with at most one * as its first or last character",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "prefixExact": true, "prefixRegex": true, "service": "a"}"#,
        "prefixExact and prefixRegex cannot both be true",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "hostRewrite": "a", "autoHostRewrite": true, "service": "a"}"#,
        "hostRewrite and autoHostRewrite cannot both be used",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "pathRedirect": "/b", "service": "a"}"#,
        "pathRedirect needs hostRedirect: true",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "hostRedirect": true, "pathRedirect": "/b", "prefixRedirect": "/c", "service": "a"}"#,
        "only one of pathRedirect, prefixRedirect and regexRedirect can be used",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "redirectResponseCode": 200, "service": "a"}"#,
        r#"supported values: "301", "302", "303", "307", "308""#,
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "prefx": "/", "service": "a"}"#,
        "unknown field \"spec.prefx\"",
    ),
    (
        "Mapping",
        r#"{"prefix": "/", "timeoutMs": "5s", "service": "a"}"#,
        "timeoutMs",
    ),
    (
        "Mapping",
        r#"{"hostname": "a", "service": "a"}"#,
        "spec.prefix: Required value",
    ),
    (
        "Host",
        r#"{"hostname": "**"}"#,
        "with at most one * as its first or last character",
    ),
    (
        "Host",
        r#"{"requestPolicy": {"insecure": {"action": "Allow"}}}"#,
        r#"supported values: "Redirect", "Route", "Reject""#,
    ),
    (
        "Host",
        r#"{"tlsSecret": {"namespace": "a"}}"#,
        "spec.tlsSecret.name: Required value",
    ),
    (
        "Listener",
        r#"{"port": 80, "securityModel": "XFP", "hostBinding": {"selector": {}}}"#,
        "exactly one of protocol and protocolStack is required",
    ),
    (
        "Listener",
        r#"{"port": 80, "securityModel": "XFP", "hostBinding": {"selector": {}}, "protocol": "HTTP", "protocolStack": ["TCP"]}"#,
        "exactly one of protocol and protocolStack is required",
    ),
    (
        "Listener",
        r#"{"port": 80, "securityModel": "XFP", "hostBinding": {"selector": {}}, "protocolStack": ["TCP", "HTTP"]}"#,
        "the last entry of protocolStack must be TCP or UDP",
    ),
    (
        "Listener",
        r#"{"port": 80, "securityModel": "XFP", "hostBinding": {}, "protocol": "HTTP"}"#,
        "hostBinding needs namespace, selector, or both",
    ),
    (
        "Listener",
        r#"{"port": 80, "securityModel": "XFP", "hostBinding": {"namespace": {"from": "SELECTOR"}}, "protocol": "HTTP"}"#,
        "use SELF or ALL",
    ),
    (
        "Listener",
        r#"{"securityModel": "XFP", "hostBinding": {"selector": {}}, "port": 70000, "protocol": "HTTP"}"#,
        "should be less than or equal to 65535",
    ),
    (
        "GatewaySettings",
        r#"{"ownership": {"unclaimed": "Everybody"}}"#,
        r#"supported values: "FirstCome", "Deny", "Shared""#,
    ),
    (
        "RouteClaim",
        r#"{"hostnames": ["x.crds.example"], "namespaces": {"selector": {}}}"#,
        "an empty selector would give the claim to every namespace",
    ),
    (
        "RouteClaim",
        r#"{"hostnames": ["x.crds.example"], "namespaces": {"names": ["a"], "selector": {"matchLabels": {}, "matchExpressions": []}}}"#,
        "an empty selector would give the claim to every namespace",
    ),
    (
        "RouteClaim",
        r#"{"hostnames": ["x.crds.example"], "namespaces": {}}"#,
        "namespaces needs names, selector, or both",
    ),
    (
        "RouteClaim",
        r#"{"hostnames": ["x.crds.example:80"], "namespaces": {"names": ["a"]}}"#,
        "hostnames must be one or more DNS names without a port",
    ),
    (
        "RouteClaim",
        r#"{"hostnames": ["x.crds.example"], "paths": ["a"], "namespaces": {"names": ["a"]}}"#,
        "paths must be one or more paths, each beginning with /",
    ),
    (
        "Mapping",
        r#"{"prefix": "/"}"#,
        "spec.service: Required value",
    ),
];

#[test]
fn the_api_server_itself_refuses_a_bad_object_and_says_what_to_do() {
    let server = shared();
    namespace(server, "crds-bad");
    let mut wrong = Vec::new();
    for (kind, spec, expected) in REFUSED {
        let bad = object(kind, "bad", &serde_json::from_str(spec).unwrap());
        let refused = create(server, "crds-bad", &[bad]);
        // The oldest version that is supported says `"object"` in the place of the value.
        let text = said(&refused).replace("value: \"object\": ", "value: ");
        if refused.status.success() || !text.contains(expected) {
            wrong.push(format!(
                "{kind} {spec}\n  expected: {expected}\n  answered: {text}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_example_is_stored_unpruned() {
    let server = shared();
    namespace(server, "crds-examples");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart");
    let mut objects = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let reading = yaml::read(&fs::read(file.unwrap().path()).unwrap());
        assert_eq!(reading.errors, []);
        objects.extend(reading.documents.into_iter().map(|document| document.value));
    }
    assert!(objects.len() >= 4, "the quick start must have objects");
    let created = create(server, "crds-examples", &objects);
    assert!(created.status.success(), "{}", said(&created));
    for object in objects {
        let (kind, name) = (&object["kind"], &object["metadata"]["name"]);
        let found = stored(
            server,
            "crds-examples",
            kind.as_str().unwrap(),
            name.as_str().unwrap(),
        );
        assert_eq!(found["spec"], object["spec"], "{kind} {name}");
    }
}

#[test]
fn short_names_and_the_category_find_the_objects() {
    let server = shared();
    namespace(server, "crds-names");
    let settings = object("GatewaySettings", "named", &json!({}));
    let mapping = object(
        "Mapping",
        "named",
        &json!({"prefix": "/a/", "service": "a"}),
    );
    let created = create(server, "crds-names", &[settings, mapping]);
    assert!(created.status.success(), "{}", said(&created));
    for name in ["mp", "hst", "lst", "gws", "postern"] {
        let arguments = ["get", name, "-n", "crds-names"];
        let got = server.kubectl().args(arguments).output().unwrap();
        assert!(got.status.success(), "{name}: {}", said(&got));
    }
    let arguments = ["get", "mp", "-n", "crds-names"];
    let table = said(&server.kubectl().args(arguments).output().unwrap());
    let header: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    let expected = [
        "NAME", "READY", "REASON", "HOSTNAME", "PREFIX", "SERVICE", "AGE",
    ];
    assert_eq!(header, expected);
}
