//! A team, `kubectl`, and the gateway with the shipped role: what is applied is served, and says so.

use std::{thread, time::Duration};

use postern::resource::Group;
use serde_json::{Value, json};

use super::{
    installation::{
        Installation, a_mapping, condition, is_ready, mapping, ours, service, services,
    },
    platform::{apply, run, shared},
};
use crate::{
    client::{self, Request},
    gateway::Gateway,
};

/// The columns of a table of `kubectl`, without the age.
fn table(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().map(|line| line.split_whitespace());
    lines
        .map(|words| {
            let words: Vec<_> = words.collect();
            words[..words.len() - 1].to_vec()
        })
        .collect()
}

fn until_status(gateway: &Gateway, url: &str, status: u16) {
    gateway.send_until(&Request::get(url), |answer| answer.status == status);
}

#[test]
fn what_a_team_applies_is_served_and_kubectl_says_so() {
    let server = shared();
    let installation = Installation::new(server, "serve-gateway", &["serve-shop"]);
    let gateway = installation.replica("one");
    let pair = rcgen::generate_simple_self_signed(["shop.example.com".to_owned()]).unwrap();
    let objects = [
        service("serve-shop", "quote"),
        mapping("serve-shop", "quote", "/quote/"),
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"namespace": "serve-shop", "name": "shop"},
            "stringData": {"tls.crt": pair.cert.pem(), "tls.key": pair.signing_key.serialize_pem()},
        }),
        json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Host",
            "metadata": {"namespace": "serve-shop", "name": "shop"},
            "spec": {"hostname": "shop.example.com", "tlsSecret": {"name": "shop"},
                "requestPolicy": {"insecure": {"action": "Route"}}},
        }),
    ];
    apply(
        server,
        &objects.map(|object| object.to_string()).join("\n---\n"),
    );

    let request = Request::get("http://shop.example.com/quote/a");
    let answer = gateway.send_until(&request, |answer| answer.status == 200);
    assert_eq!(answer.told()["path"], "/a", "{answer:?}");
    let wait = [
        "wait",
        "--for=condition=Ready",
        "--timeout=30s",
        "-n",
        "serve-shop",
    ];
    let named = ["mappings.postern.dev/quote", "hosts.postern.dev/shop"];
    run(server, &[&wait[..], &named[..]].concat(), "");
    assert_eq!(gateway.get("https://shop.example.com/quote/").status, 200);
    let tls = client::tls(gateway.address(8443), "shop.example.com").unwrap();
    let certificates = tls.conn.peer_certificates().unwrap();
    assert_eq!(certificates, [pair.cert.der().clone()]);

    let get = |kind: &str| run(server, &["get", kind, "-n", "serve-shop"], "");
    assert_eq!(
        table(&get("mp")),
        [
            ["NAME", "READY", "REASON", "HOSTNAME", "PREFIX", "SERVICE"],
            ["quote", "True", "Ready", "*", "/quote/", "quote"],
        ]
    );
    let hosts = get("hst");
    assert_eq!(table(&hosts)[1][..3], ["shop", "True", "Ready"], "{hosts}");

    run(server, &["delete", "mp", "quote", "-n", "serve-shop"], "");
    until_status(&gateway, "http://shop.example.com/quote/a", 404);
    until_status(&gateway, "https://shop.example.com/quote/a", 404);
}

#[test]
fn a_certificate_is_live_when_its_secret_is_and_its_host_says_when_it_is_gone() {
    let server = shared();
    let team = "rotate-shop";
    let installation = Installation::new(server, "rotate-gateway", &[team]);
    let gateway = installation.replica("one");
    let put = || {
        let pair = rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).unwrap();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"namespace": team, "name": "a"},
            "stringData": {"tls.crt": pair.cert.pem(), "tls.key": pair.signing_key.serialize_pem()},
        });
        apply(server, &secret.to_string());
        pair.cert.der().clone()
    };
    let until_served = |wanted| {
        let expected = [wanted];
        let seen = gateway.eventually(|| {
            let tls = client::tls(gateway.address(8443), "a.example.com");
            let tls = tls.map_err(|error| error.to_string())?;
            let is_it = tls.conn.peer_certificates() == Some(&expected[..]);
            is_it.then_some(()).ok_or_else(|| "another one".to_owned())
        });
        seen.unwrap();
    };
    let host = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Host",
        "metadata": {"namespace": team, "name": "a"},
        "spec": {"hostname": "a.example.com", "tlsSecret": {"name": "a"}},
    });
    let hosts = ours("hosts", team);
    server.create(&hosts, &host).unwrap();
    let path = format!("{hosts}/a");
    let is_missed = |status: &Value| condition(status, "Ready")["reason"] == "SecretNotFound";
    server.until(&path, "its Secret is missed", is_missed);
    until_served(put());
    server.until(&path, "its Secret is there", is_ready);
    until_served(put());
    run(server, &["delete", "secret", "a", "-n", team], "");
    server.until(&path, "its Secret is missed again", is_missed);
    assert!(client::tls(gateway.address(8443), "a.example.com").is_err());
}

#[test]
fn a_missing_service_is_said_with_code_and_next_step_and_then_it_comes() {
    let server = shared();
    let installation = Installation::new(server, "missing-gateway", &["missing-shop"]);
    let gateway = installation.replica("one");
    let early = mapping("missing-shop", "early", "/early/");
    server
        .create(&ours("mappings", "missing-shop"), &early)
        .unwrap();
    let path = a_mapping("missing-shop", "early");
    let object = server.until(&path, "the Service is missed", |status| {
        condition(status, "ResolvedRefs")["status"] == "False"
    });
    let status = &object["status"];
    let resolved = condition(status, "ResolvedRefs");
    assert_eq!(resolved["reason"], "ServiceNotFound");
    let message = resolved["message"].as_str().unwrap();
    assert!(
        message.starts_with("PST3002 at spec.service: ") && message.matches(". ").count() == 1,
        "a code, a field, what is wrong and a next step must be in {message:?}"
    );
    assert_eq!(condition(status, "Accepted")["status"], "True");
    assert_eq!(condition(status, "Ready")["status"], "False");
    let listed = run(server, &["get", "mp", "early", "-n", "missing-shop"], "");
    assert_eq!(
        table(&listed)[1][..3],
        ["early", "False", "ServiceNotFound"]
    );
    until_status(&gateway, "http://any/early/", 503);

    let quote = service("missing-shop", "quote");
    server.create(&services("missing-shop"), &quote).unwrap();
    until_status(&gateway, "http://any/early/", 200);
    server.until(&path, "it is ready", is_ready);
}

#[test]
fn the_second_of_two_namespaces_with_one_path_is_told_who_has_it() {
    let server = shared();
    let teams = ["conflict-first", "conflict-second"];
    let installation = Installation::new(server, "conflict-gateway", &teams);
    let gateway = installation.replica("one");
    for team in teams {
        let objects = [service(team, "quote"), mapping(team, "taken", "/taken/")];
        apply(
            server,
            &objects.map(|object| object.to_string()).join("\n---\n"),
        );
        // Times of creation have whole seconds: the second one is to be younger by more than its name.
        thread::sleep(Duration::from_millis(1100));
    }
    let loser = server.until(
        &a_mapping("conflict-second", "taken"),
        "it lost",
        |status| condition(status, "Accepted")["status"] == "False",
    );
    let accepted = condition(&loser["status"], "Accepted");
    assert_eq!(accepted["reason"], "Conflict");
    let message = accepted["message"].as_str().unwrap();
    assert!(message.contains("conflict-first/taken"), "{message}");
    server.until(&a_mapping("conflict-first", "taken"), "it won", is_ready);
    let answer = gateway.get("http://any/taken/");
    assert_eq!(
        answer.told()["service"],
        "conflict-first/quote:80",
        "{answer:?}"
    );

    // When the winner is gone, the other one has it.
    run(
        server,
        &["delete", "mp", "taken", "-n", "conflict-first"],
        "",
    );
    gateway.send_until(&Request::get("http://any/taken/"), |answer| {
        answer.status == 200 && answer.told()["service"] == "conflict-second/quote:80"
    });
    server.until(
        &a_mapping("conflict-second", "taken"),
        "it has it",
        is_ready,
    );
}

#[test]
fn mappings_of_emissary_are_served_and_get_a_state() {
    let server = shared();
    let installation = Installation::new(server, "emissary-gateway", &["emissary-shop"]);
    let gateway = installation.replica("one");
    let old = |name: &str, service: &str| {
        json!({
            "apiVersion": "getambassador.io/v3alpha1", "kind": "Mapping",
            "metadata": {"namespace": "emissary-shop", "name": name},
            "spec": {"hostname": "*", "prefix": format!("/{name}/"), "service": service,
                "add_request_headers": {"x-old": {"value": "yes"}}},
        })
    };
    let objects = [
        service("emissary-shop", "quote"),
        old("good", "quote"),
        old("bad", "nowhere"),
    ];
    apply(
        server,
        &objects.map(|object| object.to_string()).join("\n---\n"),
    );
    until_status(&gateway, "http://any/good/", 200);
    let told = gateway.get("http://any/good/").told();
    assert!(told["headers"].to_string().contains("x-old"), "{told}");
    let path = |name: &str| {
        let group = Group::Emissary.name();
        format!("/apis/{group}/v3alpha1/namespaces/emissary-shop/mappings/{name}")
    };
    let good = server.until(&path("good"), "it runs", |status| {
        status["state"] == "Running"
    });
    assert_eq!(good["status"], json!({"state": "Running"}));
    let bad = server.until(&path("bad"), "it does not", |status| {
        status["state"] == "Inactive"
    });
    let reason = bad["status"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("PST3002 at spec.service: "), "{reason}");

    let delete = [
        "delete",
        "mappings.getambassador.io",
        "good",
        "-n",
        "emissary-shop",
    ];
    run(server, &delete, "");
    until_status(&gateway, "http://any/good/", 404);
}

fn listener(namespace: &str, name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "postern.dev/v1alpha1",
        "kind": "Listener",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"port": port, "protocol": "HTTP", "securityModel": "XFP",
            "hostBinding": {"namespace": {"from": "ALL"}}},
    })
}

#[test]
fn a_listener_whose_port_is_taken_is_not_programmed_and_the_other_one_is() {
    const NAMESPACE: &str = "taken-gateway";
    let server = shared();
    let installation = Installation::new(server, NAMESPACE, &["taken-shop"]);
    let listeners = ours("listeners", NAMESPACE);
    for (name, port) in [("web", 8080), ("more", 8090)] {
        let listener = listener(NAMESPACE, name, port);
        server.create(&listeners, &listener).unwrap();
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = format!("8090={}", taken.local_addr().unwrap());
    let _gateway = installation.with_flags("one", &["--echo", "--bind", &bind]);

    let more = format!("{listeners}/more");
    let object = server.until(&more, "its port is taken", |status| {
        condition(status, "Programmed")["reason"] == "PortUnavailable"
    });
    let programmed = condition(&object["status"], "Programmed");
    assert_eq!(programmed["status"], "False");
    let message = programmed["message"].as_str().unwrap();
    assert!(
        message.starts_with("Port 8090 cannot be bound by replica postern-default-one. "),
        "{message}"
    );
    let ready = condition(&object["status"], "Ready");
    assert_eq!(ready["reason"], "PortUnavailable");
    server.until(&format!("{listeners}/web"), "it is bound", is_ready);

    drop(taken);
    server.until(&more, "its port is free", is_ready);
}
