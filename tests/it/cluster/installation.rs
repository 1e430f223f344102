//! An installation of Postern in a test: a namespace of its own, the namespaces of its teams, and replicas as processes.

use std::{fmt, thread, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    platform::{install, namespace},
    server::{POSTERN_TOKEN, Server},
};
use crate::gateway::Gateway;

/// Of everything that is waited for; the machine may be busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

const OURS: &str = "postern.dev/v1alpha1";

/// Watches the namespaces of its teams, and no others, because tests share the server; all of them when it has no teams.
pub(crate) struct Installation<'s> {
    pub(crate) server: &'s Server,
    namespace: &'s str,
    teams: Vec<&'s str>,
}

// === impl Installation ===

impl<'s> Installation<'s> {
    pub(crate) fn new(server: &'s Server, namespace: &'s str, teams: &[&'s str]) -> Self {
        install(server, namespace);
        for team in teams {
            self::namespace(server, team);
        }
        Self {
            server,
            namespace,
            teams: teams.to_vec(),
        }
    }

    /// A replica that is ready, with an echo server for every Service.
    pub(crate) fn replica(&self, name: &str) -> Gateway {
        self.with_flags(name, &["--echo"])
    }

    pub(crate) fn with_flags(&self, name: &str, flags: &[&str]) -> Gateway {
        let kubeconfig = self.server.kubeconfig(POSTERN_TOKEN, self.namespace);
        let teams = self.teams.join(",");
        let mut arguments = vec!["--namespace", self.namespace, "--pod-name", name];
        if !teams.is_empty() {
            arguments.extend(["--watch-namespaces", &teams]);
        }
        arguments.extend(["--workers", "1", "--drain-delay", "0s"]);
        arguments.extend(flags);
        let gateway = Gateway::of_cluster(&kubeconfig, &arguments);
        gateway.wait_until_ready();
        gateway
    }

    /// The name of the replica that leads.
    pub(crate) fn leader(&self) -> Option<String> {
        let namespace = self.namespace;
        let path = format!(
            "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/postern-default-leader"
        );
        let lease = self.server.get(&path).ok()?;
        let holder = lease["spec"]["holderIdentity"].as_str()?;
        Some(holder.trim_start_matches("postern-default-").to_owned())
    }
}

// === impl Server ===

impl Server {
    /// Waits until the status of a `postern.dev` object is as wanted; returns the object.
    pub(crate) fn until(&self, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + LIMIT;
        loop {
            let object = self.get(path).unwrap();
            if wanted(&object["status"]) {
                return object;
            }
            assert!(
                Instant::now() < deadline,
                "not after {LIMIT:?}: {what}: {path} {:#}",
                object["status"]
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

// === objects ===

/// Where the objects of a kind of ours are.
pub(crate) fn ours(plural: &str, namespace: &str) -> String {
    format!("/apis/{OURS}/namespaces/{namespace}/{plural}")
}

pub(crate) fn a_mapping(namespace: &str, name: &str) -> String {
    format!("{}/{name}", ours("mappings", namespace))
}

pub(crate) fn services(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/services")
}

pub(crate) fn mapping(namespace: &str, name: &str, prefix: &str) -> Value {
    json!({
        "apiVersion": OURS,
        "kind": "Mapping",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"hostname": "*", "prefix": prefix, "service": "quote"},
    })
}

pub(crate) fn service(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    })
}

/// A condition of a status; null where it is not there.
pub(crate) fn condition<'s>(status: &'s Value, kind: &str) -> &'s Value {
    let conditions = status["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind)
        .unwrap_or(&Value::Null)
}

pub(crate) fn is_ready(status: &Value) -> bool {
    condition(status, "Ready")["status"] == "True"
}

/// Whether the status is about this generation of the object, and it is ready.
pub(crate) fn is_ready_at(generation: &Value) -> impl Fn(&Value) -> bool {
    let generation = generation.clone();
    move |status| is_ready(status) && status["observedGeneration"] == generation
}

/// A figure, for whoever runs the tests with `--nocapture`.
#[expect(
    clippy::print_stdout,
    reason = "the runner captures it, and shows it when a test fails"
)]
pub(crate) fn figure(text: fmt::Arguments<'_>) {
    println!("{text}");
}
