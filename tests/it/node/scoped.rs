//! An installation that may read some namespaces only, and Secrets of fewer.

use std::{fs, net::SocketAddr, thread, time::Duration};

use serde_json::Value;
use tokio::time::Instant;

use super::cluster::{AUDIT_LOG, Cluster, file, shared};
use crate::client::Request;

/// A Service of the example's kind, a Mapping for it, and a Host with a certificate, in a namespace.
fn team(cluster: &Cluster, installation: &str, namespace: &str) {
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
        "-n",
        namespace,
        "create",
        "secret",
        "tls",
        "certificate",
        &cert,
        &key,
    ]);
    let objects = format!(
        "apiVersion: postern.dev/v1alpha1
kind: Host
metadata: {{ name: team, namespace: {namespace} }}
spec: {{ ambassadorId: [{installation}], hostname: {name}, tlsSecret: {{ name: certificate }} }}
---
apiVersion: postern.dev/v1alpha1
kind: Mapping
metadata: {{ name: team, namespace: {namespace} }}
spec: {{ ambassadorId: [{installation}], hostname: {name}, prefix: /, service: echo:80 }}
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

/// An installation and three teams: Postern reads the Secret of the first, and what else the second has; nothing of the third.
fn reads_only_the_secret_of_the_first(name: &str, teams: [&str; 3], secrets: &str) {
    let cluster = shared();
    for namespace in teams {
        team(&cluster, name, namespace);
        // Beside the one that a Host names.
        let more = ["create", "secret", "generic", "more", "--from-literal=a=b"];
        cluster.kubectl(&[&more[..], &["-n", namespace]].concat());
    }
    let [first, second, third] = teams;
    let chart = file("helm/postern").display().to_string();
    let install = ["install", name, &chart, "-n", name];
    let scope = format!(
        "--set=installation={name},fullnameOverride={name},watch.namespaces={{{first},{second}}}"
    );
    let secrets = format!("--set=rbac.clusterRole=false,{secrets}");
    let flags = [
        "--create-namespace",
        "--wait",
        "--timeout=60s",
        "--set=crds.install=false,rbac.teamRoles=false,replicas=1,service.type=ClusterIP,resources.requests.cpu=50m",
        &scope,
        &secrets,
    ];
    cluster.helm(&[&install[..], &flags].concat());

    ready(&cluster, first, "True");
    let host = ready(&cluster, second, "False");
    let said = host["status"].to_string();
    assert!(
        said.contains("Secret"),
        "a Host whose Secret may not be read must say so: {said}"
    );
    let host = cluster.get(&["host", "team", "-n", third]);
    assert!(host["status"].is_null(), "{host:#}");
    answers(&cluster, name, teams);
    reachable(&cluster, name, first);
    audited(name, first);
    cluster.helm(&["uninstall", name, "-n", name, "--wait"]);
}

fn answers(cluster: &Cluster, name: &str, [first, second, third]: [&str; 3]) {
    let service = cluster.get(&["service", name, "-n", name]);
    let address = service["spec"]["clusterIP"].as_str().unwrap();
    let address: SocketAddr = format!("{address}:443").parse().unwrap();
    let ask = |name: &str| {
        let request = Request::get(&format!("https://{name}.example.com/"));
        cluster.inside(|| request.try_send(address))
    };
    // Nothing is behind the Service: what matters is that the handshake and the route are there.
    let deadline = Instant::now() + Duration::from_secs(20);
    let answer = loop {
        match ask(first) {
            Ok(answer) => break answer,
            // A pod is ready a moment before kube-proxy leads to it.
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        thread::sleep(Duration::from_millis(100));
    };
    assert!(answer.text().contains("upstream"), "{answer:?}");
    ask(second).expect_err("there is no certificate for it");
    ask(third).expect_err("nobody watches it");
}

/// The status of a Host tells the address of the chart's Service.
fn reachable(cluster: &Cluster, name: &str, namespace: &str) {
    let service = cluster.get(&["service", name, "-n", name]);
    let address = &service["spec"]["clusterIP"];
    let wanted = serde_json::json!([{"type": "IPAddress", "value": address}]);
    let host = cluster.get(&["host", "team", "-n", namespace]);
    let status = &host["status"];
    assert_eq!(status["addresses"], wanted, "{status:#}");
    assert_eq!(status["installations"][0]["addresses"], wanted);
}

/// What the API server has noted: of Secrets, one body; and nothing was denied.
fn audited(name: &str, namespace: &str) {
    let log = fs::read_to_string(AUDIT_LOG).unwrap();
    let account = format!("system:serviceaccount:{name}:{name}");
    let events: Vec<_> = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["user"]["username"] == *account)
        .collect();
    let bodies: Vec<_> = events
        .iter()
        .filter(|event| event["verb"] == "get" && event["objectRef"]["resource"] == "secrets")
        .map(|event| event["requestURI"].clone())
        .collect();
    let wanted = format!("/api/v1/namespaces/{namespace}/secrets/certificate");
    assert!(
        !bodies.is_empty() && bodies.iter().all(|uri| *uri == *wanted),
        "only the Secret that a Host names and that may be read is fetched: {bodies:?}"
    );
    let denied: Vec<_> = events
        .iter()
        .filter(|event| event["responseStatus"]["code"] == 403)
        .map(|event| &event["requestURI"])
        // Without a ClusterRole: Postern asks for what is in no namespace, and goes without.
        .filter(|uri| {
            let uri = uri.as_str().unwrap();
            uri.contains("/namespaces/") || uri.contains("secrets")
        })
        .collect();
    assert!(denied.is_empty(), "{denied:#?}");
}

#[test]
fn roles_in_some_namespaces_are_enough_and_secrets_are_read_where_they_may_be() {
    reads_only_the_secret_of_the_first(
        "scoped",
        ["watched-one", "watched-two", "not-watched"],
        "rbac.secrets=namespaces,rbac.secretNamespaces={watched-one}",
    );
}

#[test]
fn a_role_that_names_secrets_is_enough_and_no_other_secret_is_read() {
    reads_only_the_secret_of_the_first(
        "named",
        ["named-one", "named-two", "not-named"],
        "rbac.secrets=named,rbac.secretNames={named-one/certificate}",
    );
}
