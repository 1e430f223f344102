//! A TCPMapping in a cluster: the team applies it, the gateway with the shipped role serves it and says so.

use std::io::{Read, Write};

use serde_json::json;

use super::{
    installation::{Installation, service},
    platform::{apply, run, shared},
};
use crate::client;

#[test]
fn a_tcpmapping_is_served_and_kubectl_says_so() {
    let server = shared();
    let installation = Installation::new(server, "tcp-gateway", &["tcp-db"]);
    let gateway = installation.replica("one");
    let pair = rcgen::generate_simple_self_signed(["tcp.example.com".to_owned()]).unwrap();
    let objects = [
        service("tcp-db", "orders"),
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"namespace": "tcp-db", "name": "orders"},
            "stringData": {"tls.crt": pair.cert.pem(), "tls.key": pair.signing_key.serialize_pem()},
        }),
        json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Host",
            "metadata": {"namespace": "tcp-db", "name": "orders"},
            "spec": {"hostname": "tcp.example.com", "tlsSecret": {"name": "orders"}},
        }),
        json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "TCPMapping",
            "metadata": {"namespace": "tcp-db", "name": "orders"},
            "spec": {"port": 8443, "host": "tcp.example.com", "service": "orders"},
        }),
        json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "TCPMapping",
            "metadata": {"namespace": "tcp-db", "name": "nowhere"},
            "spec": {"port": 5432, "service": "orders"},
        }),
    ];
    let objects = objects.map(|object| object.to_string());
    apply(server, &objects.join("\n---\n"));
    let wait = [
        "wait",
        "--for=condition=Ready",
        "--timeout=30s",
        "-n",
        "tcp-db",
    ];
    run(
        server,
        &[&wait[..], &["tcpmappings.postern.dev/orders"]].concat(),
        "",
    );
    // The echo server stands in for the Service, and speaks HTTP; its answer has none of what the proxy adds.
    let ask = || {
        let mut stream = client::tls(gateway.address(8443), "tcp.example.com").unwrap();
        stream
            .write_all(b"GET /a HTTP/1.1\r\nhost: b\r\nconnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        let _closed = stream.read_to_string(&mut answer);
        answer
    };
    let answer = ask();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let columns = "jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}";
    let get = ["get", "tmp", "nowhere", "-n", "tcp-db", "-o", columns];
    let told = || {
        let reason = run(server, &get, "");
        let is_told = reason == "NoMatchingListener";
        if is_told { Ok(()) } else { Err(reason) }
    };
    gateway.eventually(told).unwrap();
    run(server, &["delete", "tmp", "orders", "-n", "tcp-db"], "");
    // Now it is HTTP again, and no Host has the name that is asked for.
    let is_http = || {
        let answer = ask();
        if answer.starts_with("HTTP/1.1 421") {
            Ok(())
        } else {
            Err(answer)
        }
    };
    gateway.eventually(is_http).unwrap();
}
