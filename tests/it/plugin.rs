//! What `kubectl postern` says about one folder of objects, as text and as JSON, and that every source says the same.
//!
//! `UPDATE_GOLDEN=1` writes what is expected anew.

mod archive;

use std::{collections::BTreeSet, ffi::OsString, fs, path::Path};

use jiff::Timestamp;
use postern::plugin::{self, Console};

use super::gateway::Gateway;

const OBJECTS: &str = "tests/plugin/objects";
const GOLDEN: &str = "tests/plugin/golden";

/// Name of the case, arguments without the source, and the exit code.
const CASES: &[(&str, &str, u8)] = &[
    ("status", "status", 1),
    ("status-one", "status mapping/steal", 1),
    ("status-short", "status mp/steal", 1),
    ("status-namespace", "status -n web", 1),
    ("routes", "routes", 1),
    ("routes-path", "routes shop.example.com/cart/", 0),
    ("why", "why http://shop.example.com/cart/x", 0),
    (
        "why-condition",
        "why http://shop.example.com/a/../cart/x -H x-team:beta",
        0,
    ),
    (
        "why-policies",
        "why http://api.example.com:8081/v1/orders",
        0,
    ),
    ("why-insecure", "why http://shop.example.com:8081/", 0),
    ("why-redirect", "why http://api.example.com/old/x", 0),
    ("why-part", "why http://shop.example.com/pay/x", 1),
    ("why-fails", "why http://shop.example.com/pay/", 1),
    ("why-nobody", "why http://other.example.com/", 1),
    ("why-idn", "why http://b\u{fc}cher.example/\u{fc}ber", 1),
    ("who", "who shop.example.com", 0),
    ("who-nobody", "who free.example.org/x", 0),
    ("who-port", "who :6379", 0),
    ("who-connection", "who tcp://orders.db.example.com:5432", 0),
    ("who-host-port", "who orders.db.example.com:5432", 0),
    ("mine", "mine -n shop", 0),
    ("mine-ports", "mine -n cache", 0),
    ("mine-connections", "mine -n db", 0),
    (
        "can",
        "can claim shop.example.com/new/ --as-namespace web",
        0,
    ),
    (
        "can-not",
        "can claim shop.example.com/cart/ --as-namespace web",
        1,
    ),
    (
        "can-not-below",
        "can claim shop.example.com/pay --as-namespace web",
        1,
    ),
    ("can-port", "can claim :6379 --as-namespace cache", 0),
    ("can-not-port", "can claim :6379 --as-namespace web", 1),
    (
        "can-host-port",
        "can claim orders.db.example.com:5432 --as-namespace db",
        0,
    ),
    (
        "can-not-connection",
        "can claim tcp://orders.db.example.com:5432 --as-namespace web",
        1,
    ),
    ("conflicts", "conflicts", 1),
    ("status-tcp", "status tcpmapping/take-redis", 1),
    ("routes-port", "routes :6379", 0),
    ("routes-connection", "routes tcp://a.db.example.com:5432", 0),
    ("why-port", "why tcp://:6379", 0),
    ("why-connection", "why tcp://orders.db.example.com:5432", 0),
    (
        "why-connection-sni",
        "why tcp://192.0.2.1:5432 --sni a.db.example.com",
        0,
    ),
    ("why-connection-nobody", "why tcp://192.0.2.1:5432", 1),
    ("why-connection-http", "why tcp://shop.example.com:8080", 1),
    (
        "why-connection-no-listener",
        "why tcp://nobody.example.com:9999",
        1,
    ),
    ("lint", "lint", 1),
    (
        "diff",
        "diff --from tests/plugin/objects -f tests/plugin/next",
        1,
    ),
    ("endpoints", "endpoints shop.example.com/cart/", 0),
    ("endpoints-port", "endpoints :5432", 0),
    ("certs", "certs", 1),
    ("check", "check", 0),
    ("explain", "explain PST2007", 0),
    ("explain-check", "explain PCK113", 0),
    ("sync", "sync", 2),
    ("bundle", "bundle", 2),
    ("completion", "completion fish", 0),
];

/// Verbs whose output is the same however it is to be printed. What `sync` and `bundle` say of a cluster is golden in
/// `src/plugin/recorded.rs`.
const ONE_FORMAT: &[&str] = &["bundle", "completion", "sync"];

/// Exit code, and what is printed.
fn said(arguments: &[&str]) -> (u8, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console {
        out: &mut out,
        err: &mut err,
        colour: false,
        now: "2026-11-25T00:00:00Z".parse::<Timestamp>().unwrap(),
    };
    let arguments = ["kubectl-postern"].iter().chain(arguments);
    let code = plugin::answer(arguments.map(OsString::from), &mut console);
    out.extend(err);
    let text = String::from_utf8(out).unwrap();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    (code, text.replace(root, ""))
}

fn arguments(case: &str) -> Vec<&str> {
    let mut arguments: Vec<_> = case.split(' ').collect();
    if !matches!(arguments[0], "explain" | "diff" | "completion") {
        arguments.extend(["-f", OBJECTS]);
    }
    arguments
}

#[test]
fn every_verb_says_what_is_expected() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut failures = Vec::new();
    let mut outputs = BTreeSet::new();
    let mut verbs = BTreeSet::new();
    for (name, case, code) in CASES {
        let verb = case.split(' ').next().unwrap_or_default();
        for (format, ending) in formats(verb, verbs.insert(verb)) {
            let mut arguments = arguments(case);
            arguments.extend(["-o", format]);
            let (exit, actual) = said(&arguments);
            if exit != *code {
                failures.push(format!("{name}: exit {exit}, not {code}\n{actual}"));
            }
            let path = Path::new(GOLDEN).join(format!("{name}.{ending}"));
            let expected = fs::read_to_string(&path).unwrap_or_default();
            if update && expected != actual {
                fs::write(&path, &actual).unwrap();
            } else if expected != actual {
                failures.push(format!("{}:\n{actual}", path.display()));
            }
            outputs.insert(path);
        }
    }
    for file in fs::read_dir(GOLDEN).unwrap() {
        let path = file.unwrap().path();
        if !outputs.contains(&path) {
            failures.push(format!("{}: no case gives this", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// As a table and as JSON; the first time that a verb comes in every other way, too.
fn formats(verb: &str, is_first: bool) -> Vec<(&'static str, &'static str)> {
    let all = [
        ("table", "txt"),
        ("json", "json"),
        ("wide", "wide.txt"),
        ("name", "name.txt"),
        ("yaml", "yaml"),
    ];
    let count = match (ONE_FORMAT.contains(&verb), is_first) {
        (true, _) => 1,
        (false, false) => 2,
        (false, true) => all.len(),
    };
    all[..count].to_vec()
}

#[test]
fn yaml_says_what_json_says() {
    for (name, case, _) in CASES {
        if ONE_FORMAT.contains(&case.split(' ').next().unwrap_or_default()) {
            continue;
        }
        let in_format = |format: &str| {
            let (_, text) = said(&[&arguments(case)[..], &["-o", format]].concat());
            text
        };
        let json: serde_json::Value = serde_json::from_str(&in_format("json")).unwrap();
        let yaml: serde_json::Value = serde_saphyr::from_str(&in_format("yaml")).unwrap();
        assert_eq!(yaml, json, "{name}");
    }
}

#[test]
fn a_problem_is_told_to_code_scanning_and_to_pull_requests() {
    let (code, text) = said(&["lint", "-f", OBJECTS, "-o", "sarif"]);
    let log: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &log["version"]), (1, &"2.1.0".into()));
    let first = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert!(first["region"]["startLine"].as_u64().unwrap() > 0, "{log}");
    let (_, text) = said(&["lint", "-f", OBJECTS, "-o", "github"]);
    assert!(
        text.starts_with("::error file=tests/plugin/objects/"),
        "{text}"
    );
}

/// Without what a folder and a gateway rightly say differently: where the echo server listens.
fn without_addresses(mut value: serde_json::Value) -> serde_json::Value {
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Array(values) => values.iter_mut().for_each(strip),
            serde_json::Value::Object(fields) => {
                fields.remove("echo");
                fields.remove("origin");
                // What is behind a Service is not in the graph.
                fields.remove("backing");
                fields.remove("backings");
                fields.values_mut().for_each(strip);
            }
            _ => {}
        }
    }
    strip(&mut value);
    value
}

#[test]
fn a_folder_and_the_gateway_that_serves_it_say_the_same() {
    let mut manifests = String::new();
    for file in [
        "api.yaml",
        "gateway.yaml",
        "shop.yaml",
        "tcp.yaml",
        "web.yaml",
    ] {
        manifests += &fs::read_to_string(Path::new(OBJECTS).join(file)).unwrap();
        manifests += "\n---\n";
    }
    let gateway = Gateway::with_flags(
        &manifests,
        &[
            "--echo",
            "--namespace",
            "postern",
            "--bind",
            "8080=127.0.0.1:0",
            "--bind",
            "8081=127.0.0.1:0",
            "--bind",
            "6379=127.0.0.1:0",
            "--bind",
            "5432=127.0.0.1:0",
        ],
    );
    let folder = gateway.file("case.yaml");
    let folder = folder.to_str().unwrap();
    let address = gateway.diagnostics().to_string();
    for case in [
        "status",
        "routes",
        "why http://shop.example.com/cart/x -H x-team:beta",
        "why http://shop.example.com/pay/card/1",
        "why http://shop.example.com/%00",
        "why http://api.example.com:8081/v1/orders",
        "why http://api.example.com/old/x",
        "why http://shop.example.com:8081/",
        "why tcp://orders.db.example.com:5432",
        "why tcp://:6379",
        "who shop.example.com",
        "who :6379",
        "who tcp://orders.db.example.com:5432",
        "mine -n db",
        "routes :5432",
        "endpoints :5432",
        "endpoints shop.example.com",
        "conflicts",
        "certs",
        "check",
    ] {
        let ask = |source: [&str; 2]| {
            let mut arguments: Vec<_> = case.split(' ').collect();
            arguments.extend(source);
            arguments.extend(["-o", "json"]);
            let (code, text) = said(&arguments);
            let value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{case}: {text}"));
            (code, without_addresses(value))
        };
        let here = ask(["-f", folder]);
        let there = ask(["--from-address", &address]);
        assert_eq!(here, there, "{case}");
    }
}

#[test]
fn the_endpoints_behind_a_service_are_shown_to_who_has_room_for_them() {
    let case = ["why", "http://api.example.com/v1/", "-f", OBJECTS];
    let (code, text) = said(&[&case[..], &["-o", "wide"]].concat());
    assert_eq!(code, 0, "{text}");
    for line in [
        "10.1.0.7  ready      Service api/orders:443",
        "10.1.0.9  not ready  Service api/orders:443",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let (_, narrow) = said(&case);
    assert!(!narrow.contains("10.1.0.9"), "{narrow}");
}

const JUDGED: &str = r#"
{"apiVersion": "postern.dev/v1alpha1", "kind": "Mapping", "metadata": {"name": "a", "namespace": "apps"},
 "spec": {"hostname": "a.example.com", "prefix": "/", "service": "quote", "resolver": "endpoint", "outlierDetection": {},
  "loadBalancer": {"slowStart": "30s"}, "healthChecks": [{"healthCheck": {"http": {"path": "/healthz"}}}]}}
---
{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
 "metadata": {"name": "quote", "namespace": "apps", "labels": {"kubernetes.io/service-name": "quote"}},
 "addressType": "IPv4", "ports": [{"name": "", "port": 80}],
 "endpoints": [{"addresses": ["10.1.0.1"], "hints": {"forZones": [{"name": "a"}]}}]}
"#;

#[test]
fn how_it_is_decided_which_endpoints_are_used_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("judged.yaml");
    fs::write(&file, JUDGED).unwrap();
    let file = file.to_str().unwrap();
    let check = "GET /healthz 200-200 host quote.apps.svc every 5s within 3s, 2 down 1 up";
    let outliers = "5/0/5 for 30s to 300s, 10%";
    let (_, text) = said(&["endpoints", "a.example.com", "-f", file]);
    let line = format!(
        "a.example.com/: checked by {check}; left out after {outliers}; full share after 30s; for zones: 1 for a"
    );
    assert!(text.contains(&line), "{text}");
    let (_, text) = said(&["why", "http://a.example.com/", "-o", "json", "-f", file]);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    let policies = told["policies"].as_array().unwrap();
    for (policy, value, field) in [
        ("healthChecks", check, Some("spec.healthChecks")),
        ("outliers", outliers, Some("spec.outlierDetection")),
        ("slowStart", "30s", Some("spec.loadBalancer")),
        ("zones", "1 for a", None),
    ] {
        let found = policies.iter().find(|found| found["policy"] == policy);
        let found = found.unwrap_or_else(|| panic!("{policy}: {text}"));
        assert_eq!(found["value"], value, "{policy}");
        assert_eq!(found["from"][0]["field"].as_str(), field, "{policy}");
    }
}

/// What holds for everybody, with the objects that say so.
const SETTLED: &str = r#"
{"apiVersion": "postern.dev/v1alpha1", "kind": "GatewaySettings", "metadata": {"name": "settings", "namespace": "postern"},
 "spec": {"preset": "emissary", "headers": {"underscores": "Reject"}}}
---
{"apiVersion": "getambassador.io/v3alpha1", "kind": "Module", "metadata": {"name": "ambassador", "namespace": "postern"},
 "spec": {"config": {"cluster_request_timeout_ms": 9000, "merge_slashes": true}}}
---
{"apiVersion": "postern.dev/v1alpha1", "kind": "Mapping", "metadata": {"name": "a", "namespace": "apps"},
 "spec": {"hostname": "a.example.com", "prefix": "/", "service": "https://quote"}}
---
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "quote", "namespace": "apps"},
 "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 443}]}}
---
{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
 "metadata": {"name": "quote", "namespace": "apps", "labels": {"kubernetes.io/service-name": "quote"}},
 "addressType": "IPv4", "ports": [{"name": "", "port": 443}],
 "endpoints": [{"addresses": ["10.1.0.1"], "conditions": {"ready": false}}, {"addresses": ["10.1.0.2"]}]}
"#;

#[test]
fn what_holds_for_everybody_is_told_with_the_object_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settled.yaml");
    fs::write(&file, SETTLED).unwrap();
    let url = "http://a.example.com/x";
    let (code, text) = said(&["why", url, "-o", "json", "-f", file.to_str().unwrap()]);
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 0, "{text}");
    let policies = told["policies"].as_array().unwrap();
    for (policy, object, field) in [
        (
            "mergeSlashes",
            "Module.getambassador.io postern/ambassador",
            "spec.config.merge_slashes",
        ),
        (
            "escapedSlashes",
            "GatewaySettings postern/settings",
            "spec.preset",
        ),
        (
            "underscores",
            "GatewaySettings postern/settings",
            "spec.headers.underscores",
        ),
        (
            "envoyHeaders",
            "GatewaySettings postern/settings",
            "spec.preset",
        ),
        (
            "headTimeout",
            "Module.getambassador.io postern/ambassador",
            "spec.config.cluster_request_timeout_ms",
        ),
        ("upstreamTls", "Mapping apps/a", "spec.service"),
        (
            "upstreamTrust",
            "GatewaySettings postern/settings",
            "spec.preset",
        ),
    ] {
        let found = policies.iter().find(|found| found["policy"] == policy);
        let from = &found.unwrap_or_else(|| panic!("{policy}: {text}"))["from"];
        let wanted = serde_json::json!([{"object": object, "field": field}]);
        assert_eq!(*from, wanted, "{policy}: {text}");
    }
    let endpoints = &told["backings"][0]["endpoints"];
    assert_eq!(
        endpoints[0],
        serde_json::json!({"address": "10.1.0.1", "ready": false}),
        "{text}"
    );
}

/// With a certificate, claimed by label and by name.
const SECURE: &str = r#"
{"apiVersion": "postern.dev/v1alpha1", "kind": "Host", "metadata": {"name": "site", "namespace": "web"},
 "spec": {"hostname": "site.example.com", "tlsSecret": {"name": "site-tls"}}}
---
{"apiVersion": "postern.dev/v1alpha1", "kind": "Mapping", "metadata": {"name": "a", "namespace": "web"},
 "spec": {"hostname": "site.example.com", "prefix": "/", "service": "site"}}
---
{"apiVersion": "postern.dev/v1alpha1", "kind": "RouteClaim", "metadata": {"name": "site"},
 "spec": {"hostnames": ["site.example.com"], "namespaces": {"names": ["web"], "selector": {"matchLabels": {"team": "site"}}}}}
---
{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web-next", "labels": {"team": "site"}}}
---
"#;

#[test]
fn whose_a_request_is_and_where_its_certificate_comes_from_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secure.yaml");
    let pair = rcgen::generate_simple_self_signed(["site.example.com".to_owned()]).unwrap();
    let secret = serde_json::json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"namespace": "web", "name": "site-tls"},
        "stringData": {"tls.crt": pair.cert.pem(), "tls.key": pair.signing_key.serialize_pem()},
    });
    fs::write(&file, format!("{SECURE}{secret}")).unwrap();
    let case = [
        "why",
        "https://site.example.com/x",
        "-f",
        file.to_str().unwrap(),
    ];
    let (_, text) = said(&case);
    for line in [
        "SNI site.example.com, certificate web/site-tls for site.example.com (expires in",
        "region    claim site, of namespaces web, web-next\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let (_, text) = said(&[&case[..], &["-o", "json"]].concat());
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["owners"], serde_json::json!(["web", "web-next"]));
    assert_eq!(told["secret"], "web/site-tls");
    fs::write(&file, SECURE).unwrap();
    let (_, text) = said(&case);
    assert!(
        text.contains("certificate of the Host, web/site-tls, cannot be used"),
        "{text}"
    );
}

/// One Service that is dialled by its endpoints because a Mapping says so, or everybody's settings, or because it is headless.
#[test]
fn who_says_that_a_service_is_dialled_by_its_endpoints_is_told() {
    let mapping = |resolver: &str| {
        serde_json::json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
            "metadata": {"name": "a", "namespace": "apps"},
            "spec": serde_json::from_str::<serde_json::Value>(&format!(
                r#"{{"hostname": "a.example.com", "prefix": "/", "service": "quote"{resolver}}}"#
            )).unwrap(),
        })
    };
    let settings = |resolver: &str| {
        serde_json::json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "GatewaySettings",
            "metadata": {"name": "settings", "namespace": "postern"},
            "spec": {"resolver": resolver},
        })
    };
    let by_mapping = r#", "resolver": "endpoint""#;
    for (mapping, settings, ip, from) in [
        (
            mapping(by_mapping),
            None,
            "10.96.0.9",
            Some("Mapping apps/a spec.resolver"),
        ),
        (
            mapping(""),
            Some(settings("endpoint")),
            "10.96.0.9",
            Some("GatewaySettings postern/settings spec.resolver"),
        ),
        (mapping(by_mapping), None, "None", None),
        (mapping(""), None, "10.96.0.9", None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resolver.yaml");
        let service = SETTLED.split("---").skip(3).collect::<Vec<_>>().join("---");
        let service = service.replace("10.96.0.9", ip).replace("443", "80");
        let settings = settings.map(|settings| settings.to_string());
        let objects = [Some(mapping.to_string()), settings, Some(service)];
        let objects: Vec<_> = objects.into_iter().flatten().collect();
        fs::write(&file, objects.join("\n---\n")).unwrap();
        let case = ["why", "http://a.example.com/", "-o", "json", "-f"];
        let (_, text) = said(&[&case[..], &[file.to_str().unwrap()]].concat());
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(told["backings"][0]["by"][0].as_str(), from, "{text}");
    }
}

#[test]
fn a_teams_own_namespace_does_not_pass_for_that_of_postern() {
    let folder = tempfile::tempdir().unwrap();
    let objects = "\
apiVersion: postern.dev/v1alpha1
kind: RouteClaim
metadata: {name: site}
spec: {hostnames: ['*.example.com'], namespaces: {names: [web]}}
---
apiVersion: postern.dev/v1alpha1
kind: Host
metadata: {name: h}
spec: {hostname: shop.example.com, requestPolicy: {insecure: {action: Route}}}
";
    fs::write(folder.path().join("objects.yaml"), objects).unwrap();
    let path = folder.path().to_str().unwrap();
    for verb in ["status", "lint"] {
        let (code, text) = said(&[verb, "-f", path, "-n", "evil"]);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("PST2012"), "{verb}: {text}");
    }
}
