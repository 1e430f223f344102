//! One pod on each node, without a Service: in the network of the node, and by ports of the node.

use std::{
    io::Read as _,
    net::{IpAddr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::{
    cluster::{Cluster, file, shared},
    events::{apply, until},
};
use crate::client::Request;

const NAMESPACE: &str = "daemons";
/// A client that is not of the node, and the address of the node on its network.
pub(super) const OUTSIDER: &str = "192.0.2.2";
const NODE_OUTSIDE: &str = "192.0.2.1";

/// A second installation beside the one that is there, as a DaemonSet.
fn install(cluster: &Cluster, namespace: &str, values: &str) {
    let chart = file("helm/postern").display().to_string();
    let set = format!("--set=kind=DaemonSet,crds.install=false,rbac.teamRoles=false,{values}");
    let install = ["install", "postern", &chart, "-n", namespace, &set];
    let flags = ["--create-namespace", "--wait", "--timeout=60s"];
    cluster.helm(&[&install[..], &flags].concat());
}

#[test]
fn a_daemonset_serves_on_the_address_of_the_node() {
    let cluster = shared();
    install(
        &cluster,
        NAMESPACE,
        "hostNetwork=true,service.enabled=false,installation=daemons",
    );
    let address = SocketAddr::from(([10, 244, 0, 1], 8080));
    let answer = cluster.inside(|| Request::get("http://anything/").try_send(address));
    let answer = answer.unwrap();
    // Nothing is for this installation, and it says so itself.
    assert_eq!(answer.status, 404, "{answer:?}");
    assert!(answer.text().contains("no_route"), "{answer:?}");
    cluster.helm(&["uninstall", "postern", "-n", NAMESPACE, "--wait"]);
}

/// A client with an address of its own is seen with it, by whatever way it comes.
#[test]
fn a_daemonset_with_ports_of_the_node_sees_the_addresses_of_clients() {
    const NAMESPACE: &str = "host-ports";
    let cluster = shared();
    let port = "listeners[0].name=http,listeners[0].containerPort=8080,listeners[0].port=80,listeners[0].hostPort=8180";
    let set = format!("service.enabled=false,installation=host-ports,{port}");
    install(&cluster, NAMESPACE, &set);
    let mapping = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
        "metadata": {"name": "host-ports", "namespace": "quickstart"},
        "spec": {"ambassadorId": ["host-ports"], "hostname": "*", "prefix": "/by-node/", "service": "quote:80"},
    });
    apply(&cluster, &mapping.to_string());
    let wait = ["wait", "mapping.postern.dev/host-ports", "-n", "quickstart"];
    cluster.kubectl(&[&wait[..], &["--for=condition=Ready", "--timeout=30s"]].concat());
    assert_eq!(
        seen_of_outsider(&cluster, "http://10.244.0.1:8180/by-node/"),
        OUTSIDER
    );
    let host = json!({
        "apiVersion": "postern.dev/v1alpha1", "kind": "Host",
        "metadata": {"name": "host-ports", "namespace": "quickstart"},
        "spec": {"ambassadorId": ["host-ports"], "hostname": "by-node.example.com"},
    });
    apply(&cluster, &host.to_string());
    until("the Host does not tell the addresses of the node", || {
        let host = cluster.get(&["host.postern.dev", "host-ports", "-n", "quickstart"]);
        let told = host["status"]["addresses"].as_array().cloned();
        let told = told.unwrap_or_default();
        let told: Vec<_> = told.iter().map(|address| &address["value"]).collect();
        told == ["10.244.0.1", "fd00:10:244::1"]
    });
    cluster.kubectl(&[
        "delete",
        "mapping.postern.dev/host-ports",
        "host.postern.dev/host-ports",
        "-n",
        "quickstart",
    ]);
    cluster.helm(&["uninstall", "postern", "-n", NAMESPACE, "--wait"]);
}

/// As which address a client outside of the cluster is known to the backend of the quick start.
pub(super) fn seen_of_outsider(cluster: &Cluster, url: &str) -> String {
    let mut outside = cluster.inside(|| {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "sh", "-c", "echo; read line"]);
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped());
        unshare.spawn().unwrap()
    });
    // Then it is in a network of its own.
    let mut line = [0];
    let said = outside.stdout.as_mut().unwrap();
    said.read_exact(&mut line).unwrap();
    let id = outside.id().to_string();
    let script = format!(
        "ip link add outside0 type veth peer name eth0 netns {id} && ip address add {NODE_OUTSIDE}/30 dev outside0 && \
         ip link set outside0 up && nsenter --target {id} --net sh -c '\
         ip address add {OUTSIDER}/30 dev eth0 && ip link set eth0 up && ip route add default via {NODE_OUTSIDE} && \
         curl -fsS --max-time 5 --retry 3 --retry-all-errors {url}'"
    );
    let (succeeded, said) = cluster.attempt(Path::new("sh"), &["-c", &script]);
    // With it go its network and the way there.
    outside.kill().unwrap();
    outside.wait().unwrap();
    assert!(succeeded, "{url}: {said}");
    let told: Value = serde_json::from_str(&said).unwrap();
    let seen = told["headers"]["x-forwarded-for"][0].as_str();
    seen.unwrap_or_else(|| panic!("{told:#}")).to_owned()
}

/// IPv6 to Postern, and from Postern to a Service that has no other address: the health of its own pods.
#[test]
fn services_of_both_families_are_served_and_dialled() {
    let cluster = shared();
    let selector =
        cluster.get(&["service", "postern", "-n", "postern"])["spec"]["selector"].clone();
    let objects = [
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "health-6", "namespace": "postern"},
            "spec": {"ipFamilies": ["IPv6"], "ipFamilyPolicy": "SingleStack",
                "selector": selector, "ports": [{"port": 8877}]},
        }),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "both", "namespace": "postern"},
            "spec": {"ipFamilyPolicy": "RequireDualStack",
                "selector": selector, "ports": [{"port": 80, "targetPort": 8080}]},
        }),
        json!({
            "apiVersion": "postern.dev/v1alpha1", "kind": "Mapping",
            "metadata": {"name": "health-6", "namespace": "postern"},
            "spec": {"hostname": "*", "prefix": "/health-6/", "rewrite": "/", "service": "health-6:8877"},
        }),
    ];
    for object in &objects {
        apply(&cluster, &object.to_string());
    }
    let wait = ["wait", "mapping.postern.dev/health-6", "-n", "postern"];
    cluster.kubectl(&[&wait[..], &["--for=condition=Ready", "--timeout=30s"]].concat());
    let both = cluster.get(&["service", "both", "-n", "postern"]);
    let addresses = both["spec"]["clusterIPs"].as_array().unwrap();
    assert_eq!(addresses.len(), 2, "{both:#}");
    for address in addresses {
        let address: IpAddr = address.as_str().unwrap().parse().unwrap();
        let address = SocketAddr::new(address, 80);
        until(&format!("{address} does not answer"), || {
            let request = Request::get("http://anything/health-6/live");
            let answer = cluster.inside(|| request.try_send(address));
            answer.is_ok_and(|answer| answer.status == 200)
        });
    }
    let rest = [
        "mapping.postern.dev/health-6",
        "service/health-6",
        "service/both",
    ];
    cluster.kubectl(&[&["delete", "-n", "postern"][..], &rest].concat());
}
