//! The guides, typed command by command: by the platform, and by people of two teams who have their Role and nothing else.

use std::{env, fs, path::Path};

use serde_json::{Value, json};

use super::{
    installation::figure,
    platform::apply,
    server::{ACCOUNT_TOKEN, ADMIN_TOKEN, SHOP_TOKEN, Server, WEB_TOKEN},
};
use crate::{
    gateway::Gateway,
    guide::{Desk, Environment, follow},
};

const GUIDES: [&str; 2] = [
    "docs/guides/onboard-a-team.md",
    "docs/guides/troubleshoot.md",
];

/// A replica, as the Deployment of the guide runs it; the echo server stands in for Services, which no pods are behind.
fn replica(server: &Server, name: &str) -> Gateway {
    let kubeconfig = server.kubeconfig(ACCOUNT_TOKEN, "postern");
    let flags = ["--namespace", "postern", "--pod-name", name, "--echo"];
    let few = ["--workers", "1", "--drain-delay", "0s"];
    let gateway = Gateway::of_cluster(&kubeconfig, &[&flags[..], &few].concat());
    gateway.wait_until_ready();
    gateway
}

/// What Kubernetes says of two pods behind the Service of the guide.
fn pods() -> Value {
    let endpoints = ["10.244.0.11", "10.244.0.12"]
        .map(|address| json!({"addresses": [address], "conditions": {"ready": true}}));
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"namespace": "shop", "name": "cart-1", "labels": {"kubernetes.io/service-name": "cart"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}],
        "endpoints": endpoints,
    })
}

/// Has `curl` find the gateway under every name, as DNS would.
fn lead_to(desk: &Desk, gateway: &Gateway) {
    let usual = env::var("PATH").unwrap();
    let (http, https) = (gateway.address(8080), gateway.address(8443));
    desk.program(
        "curl",
        &format!("PATH={usual} exec curl --connect-to :80:{http} --connect-to :443:{https} \"$@\""),
    );
}

#[test]
fn a_guide_is_true_for_whoever_types_it() {
    // Alone, because it installs everything itself, and sees all namespaces.
    let server = Server::start();
    let _aggregating = server.controllers("clusterrole-aggregation-controller");
    super::grants::install_grants(&server);
    let desk = Desk::new(&[server.programs().to_owned()]);
    let who = |prompt: &str| {
        let (token, namespace) = match prompt {
            "platform" => (ADMIN_TOKEN, "default"),
            "shop" => (SHOP_TOKEN, "shop"),
            "web" => (WEB_TOKEN, "web"),
            _ => return None,
        };
        let kubeconfig = server.kubeconfig(token, namespace);
        let variable = ("KUBECONFIG", kubeconfig.display().to_string());
        Some(Environment::from([variable]))
    };
    let mut replicas: Vec<Gateway> = Vec::new();
    let mut transcript = String::new();
    for guide in GUIDES {
        let outcome = follow(guide, &desk, who, |marker| match marker {
            "three replicas start" => {
                replicas
                    .extend(["postern-1", "postern-2", "postern-3"].map(|n| replica(&server, n)));
                lead_to(&desk, &replicas[0]);
            }
            "two pods of cart run" => apply(&server, &pods().to_string()),
            other => panic!("{guide}: what is {other:?}?"),
        });
        transcript.extend(["=== ", guide, "\n", &outcome.transcript]);
        outcome.settle(guide);
    }
    figure(format_args!("{transcript}"));
    if let Some(path) = env::var_os("POSTERN_TRANSCRIPT") {
        fs::write(Path::new(&path), transcript).unwrap();
    }
}
