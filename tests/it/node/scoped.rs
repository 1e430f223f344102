//! An installation that may read some namespaces only, and Secrets of fewer.

use std::{fs, net::SocketAddr, thread, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use super::cluster::{AUDIT_LOG, Cluster, file, shared};
use crate::client::Request;

const NAMESPACE: &str = "scoped";

/// A Service of the example's kind, a Mapping for it, and a Host with a certificate, in a namespace.
fn team(cluster: &Cluster, namespace: &str, secret: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let name = format!("{namespace}.example.com");
    let signed = rcgen::generate_simple_self_signed([name.clone()]).unwrap();
    fs::write(path("tls.crt"), signed.cert.pem()).unwrap();
    fs::write(path("tls.key"), signed.signing_key.serialize_pem()).unwrap();
    cluster.kubectl(&["create", "namespace", namespace]);
    let (cert, key) = (
        format!("--cert={}", path("tls.crt")),
        format!("--key={}", path("tls.key")),
    );
    cluster.kubectl(&[
        "-n", namespace, "create", "secret", "tls", secret, &cert, &key,
    ]);
    let objects = format!(
        "apiVersion: postern.dev/v1alpha1
kind: Host
metadata: {{ name: team, namespace: {namespace} }}
spec: {{ ambassadorId: [scoped], hostname: {name}, tlsSecret: {{ name: {secret} }} }}
---
apiVersion: postern.dev/v1alpha1
kind: Mapping
metadata: {{ name: team, namespace: {namespace} }}
spec: {{ ambassadorId: [scoped], hostname: {name}, prefix: /, service: echo:80 }}
---
apiVersion: v1
kind: Service
metadata: {{ name: echo, namespace: {namespace} }}
spec: {{ ports: [{{ port: 80 }}] }}
"
    );
    fs::write(path("objects.yaml"), objects).unwrap();
    cluster.kubectl(&["apply", "-f", &path("objects.yaml")]);
}

/// The message of an object's condition, once it has one.
fn ready(cluster: &Cluster, namespace: &str, wanted: &str) -> Value {
    let condition = format!("--for=condition=Ready={wanted}");
    let wait = ["wait", "host/team", &condition, "--timeout=30s"];
    cluster.kubectl(&[&wait[..], &["-n", namespace]].concat());
    cluster.get(&["host", "team", "-n", namespace])
}

#[test]
fn roles_in_some_namespaces_are_enough_and_secrets_are_read_where_they_may_be() {
    let cluster = shared();
    for namespace in ["watched-one", "watched-two", "not-watched"] {
        team(&cluster, namespace, "certificate");
    }
    let chart = file("helm/postern").display().to_string();
    let install = ["install", NAMESPACE, &chart, "-n", NAMESPACE];
    let flags = [
        "--create-namespace",
        "--wait",
        "--timeout=60s",
        "--set=installation=scoped,crds.install=false,rbac.teamRoles=false,replicas=1,service.type=ClusterIP",
        "--set=watch.namespaces={watched-one,watched-two}",
        "--set=rbac.clusterRole=false,rbac.secrets=namespaces,rbac.secretNamespaces={watched-one}",
    ];
    cluster.helm(&[&install[..], &flags].concat());

    ready(&cluster, "watched-one", "True");
    let host = ready(&cluster, "watched-two", "False");
    let said = host["status"].to_string();
    assert!(
        said.contains("Secret"),
        "a Host whose Secret may not be read must say so: {said}"
    );
    let host = cluster.get(&["host", "team", "-n", "not-watched"]);
    assert!(host["status"].is_null(), "{host:#}");

    let service = cluster.get(&["service", "scoped-postern", "-n", NAMESPACE]);
    let address = service["spec"]["clusterIP"].as_str().unwrap();
    let address: SocketAddr = format!("{address}:443").parse().unwrap();
    let ask = |name: &str| {
        let request = Request::get(&format!("https://{name}.example.com/"));
        cluster.inside(|| request.try_send(address))
    };
    // Nothing is behind the Service: what matters is that the handshake and the route are there.
    let deadline = Instant::now() + Duration::from_secs(20);
    let answer = loop {
        match ask("watched-one") {
            Ok(answer) => break answer,
            // A pod is ready a moment before kube-proxy leads to it.
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        thread::sleep(Duration::from_millis(100));
    };
    assert!(answer.text().contains("upstream"), "{answer:?}");
    ask("watched-two").expect_err("there is no certificate for it");
    ask("not-watched").expect_err("nobody watches it");

    let log = fs::read_to_string(AUDIT_LOG).unwrap();
    let account = "system:serviceaccount:scoped:scoped-postern";
    let bodies: Vec<_> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["user"]["username"] == account && event["verb"] == "get")
        .filter(|event| event["objectRef"]["resource"] == "secrets")
        .map(|event| event["requestURI"].clone())
        .collect();
    let wanted = "/api/v1/namespaces/watched-one/secrets/certificate";
    assert!(
        !bodies.is_empty() && bodies.iter().all(|uri| uri == wanted),
        "only the Secret that a Host names and that may be read is fetched: {bodies:?}"
    );
    cluster.helm(&["uninstall", NAMESPACE, "-n", NAMESPACE, "--wait"]);
}
