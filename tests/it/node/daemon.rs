//! An installation in the network of the node: one pod on each, without a Service.

use std::net::SocketAddr;

use super::cluster::{file, shared};
use crate::client::Request;

const NAMESPACE: &str = "daemons";

#[test]
fn a_daemonset_serves_on_the_address_of_the_node() {
    let cluster = shared();
    let chart = file("helm/postern").display().to_string();
    let install = ["install", "postern", &chart, "-n", NAMESPACE];
    let flags = [
        "--create-namespace",
        "--wait",
        "--timeout=60s",
        "--set=kind=DaemonSet,hostNetwork=true,service.enabled=false,installation=daemons",
        "--set=crds.install=false,rbac.teamRoles=false",
    ];
    cluster.helm(&[&install[..], &flags].concat());
    let address = SocketAddr::from(([10, 244, 0, 1], 8080));
    let answer = cluster.inside(|| Request::get("http://anything/").try_send(address));
    let answer = answer.unwrap();
    // Nothing is for this installation, and it says so itself.
    assert_eq!(answer.status, 404, "{answer:?}");
    assert!(answer.text().contains("no_route"), "{answer:?}");
    cluster.helm(&["uninstall", "postern", "-n", NAMESPACE, "--wait"]);
}
