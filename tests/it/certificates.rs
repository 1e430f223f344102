//! A Secret that broke: what it held before is served, and its Host says so.

use serde_json::{Value, json};

use super::{
    client,
    cluster::{
        installation::{Installation, condition, is_ready, ours},
        platform::{apply, run, shared},
    },
    gateway::Gateway,
};

const NAME: &str = "broken.example.com";
const NAMESPACE: &str = "broken-shop";

fn secret(name: &str, certificate: &str, key: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {"namespace": NAMESPACE, "name": name},
        "stringData": {"tls.crt": certificate, "tls.key": key},
    })
    .to_string()
}

fn host(secret: &str) -> Value {
    json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Host",
        "metadata": {"namespace": NAMESPACE, "name": "a"},
        "spec": {"hostname": NAME, "tlsSecret": {"name": secret}},
    })
}

/// A certificate in PEM and DER, and its key.
fn pair() -> (String, Vec<u8>, String) {
    let pair = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let der = pair.cert.der().to_vec();
    (pair.cert.pem(), der, pair.signing_key.serialize_pem())
}

/// The certificate that is served for the name, if any is.
fn served(gateway: &Gateway) -> Option<Vec<u8>> {
    let tls = client::tls(gateway.address(8443), NAME).ok()?;
    Some(tls.conn.peer_certificates()?.first()?.to_vec())
}

fn until_served(gateway: &Gateway, wanted: Option<&Vec<u8>>) {
    let seen = gateway.eventually(|| {
        let found = served(gateway);
        (found.as_ref() == wanted)
            .then_some(())
            .ok_or_else(|| format!("served: {}", found.is_some()))
    });
    seen.unwrap();
}

/// The codes that are said of the Host.
fn codes(gateway: &Gateway) -> Vec<String> {
    let told = gateway.ask("/report");
    let mut found = Vec::new();
    collect(&told, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(
                fields
                    .get("code")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
            fields.values().for_each(|value| collect(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

fn until_said(gateway: &Gateway, code: &str) {
    let seen = gateway.eventually(|| {
        let codes = codes(gateway);
        (codes.iter().any(|found| found == code))
            .then_some(())
            .ok_or_else(|| format!("{codes:?}"))
    });
    seen.unwrap();
}

#[test]
fn a_secret_in_a_file_that_broke_serves_what_it_held_before_until_it_is_good_or_gone() {
    let (first, first_der, first_key) = pair();
    let (second, second_der, second_key) = pair();
    let gateway = Gateway::start(&host("a").to_string());
    until_served(&gateway, None);
    gateway.write("secret.yaml", &secret("a", &first, &first_key));
    until_served(&gateway, Some(&first_der));
    for (certificate, key) in [("no", "pem"), (&*second, &*first_key)] {
        gateway.write("secret.yaml", &secret("a", certificate, key));
        until_said(&gateway, "PST4004");
        assert_eq!(served(&gateway).as_ref(), Some(&first_der));
    }
    gateway.write("secret.yaml", &secret("a", &second, &second_key));
    until_served(&gateway, Some(&second_der));
    assert!(!codes(&gateway).contains(&"PST4004".to_owned()));

    gateway.write("secret.yaml", &secret("a", "no", "pem"));
    until_said(&gateway, "PST4004");
    std::fs::remove_file(gateway.file("secret.yaml")).unwrap();
    until_served(&gateway, None);
    gateway.write("secret.yaml", &secret("a", "no", "pem"));
    until_said(&gateway, "PST4002");
    assert_eq!(served(&gateway), None, "it was deleted in between");
    let logged = gateway.logged();
    assert!(!logged.contains("PRIVATE KEY"), "{logged}");
}

#[test]
fn a_secret_in_a_cluster_that_broke_serves_what_it_held_before_and_its_host_says_so() {
    let server = shared();
    let installation = Installation::new(server, "broken-gateway", &[NAMESPACE]);
    let gateway = installation.replica("one");
    let (first, first_der, first_key) = pair();
    apply(server, &secret("a", &first, &first_key));
    let hosts = ours("hosts", NAMESPACE);
    server.create(&hosts, &host("a")).unwrap();
    let path = format!("{hosts}/a");
    server.until(&path, "its Secret is good", is_ready);
    until_served(&gateway, Some(&first_der));

    let version = run(
        server,
        &[
            "get",
            "secret",
            "a",
            "-n",
            NAMESPACE,
            "-o",
            "jsonpath={.metadata.resourceVersion}",
        ],
        "",
    );
    apply(server, &secret("a", &first, "no key"));
    let object = server.until(&path, "it says that its Secret broke", |status| {
        let resolved = condition(status, "ResolvedRefs")["message"]
            .as_str()
            .unwrap_or("");
        resolved.contains("PST4004") && is_ready(status)
    });
    let said = object["status"].to_string();
    assert!(
        said.contains(&format!("resourceVersion {version}")),
        "{said}"
    );
    assert!(!said.contains("PRIVATE KEY"), "{said}");
    assert_eq!(served(&gateway), Some(first_der));

    let refer_to = |secret: &str| {
        let changed = format!(r#"{{"spec":{{"tlsSecret":{{"name":"{secret}"}}}}}}"#);
        let host = ["patch", "host.postern.dev", "a", "-n", NAMESPACE];
        run(
            server,
            &[&host[..], &["--type=merge", "-p", &changed]].concat(),
            "",
        );
    };
    // What another Secret holds is not what this one held.
    apply(server, &secret("b", "no", "pem"));
    refer_to("b");
    until_served(&gateway, None);
    // Nor does it come back to one that nobody wanted in between.
    refer_to("a");
    let is_refused = |status: &Value| {
        let message = condition(status, "Ready")["message"].as_str().unwrap_or("");
        message.contains("apps/a") || message.contains("broken-shop/a")
    };
    server.until(&path, "it is refused", is_refused);
    assert_eq!(served(&gateway), None);
}
