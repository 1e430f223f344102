//! Of pods with a sidecar: whether connections from outside go past it, and whether it stays as long as it is needed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Finding,
    cluster::Scene,
    failed, ok,
    pods::{Judge, drain_seconds},
};

pub(super) const CHECKS: &[Judge] = &[("mesh", inbound), ("mesh-stop", stop)];

const LINKERD: &str = "linkerd-proxy";
const ISTIO: &str = "istio-proxy";
const SKIPPED: &str = "config.linkerd.io/skip-inbound-ports";
const WAIT: &str = "config.alpha.linkerd.io/proxy-wait-before-exit-seconds";
const INCLUDED: &str = "traffic.sidecar.istio.io/includeInboundPorts";
const EXCLUDED: &str = "traffic.sidecar.istio.io/excludeInboundPorts";

fn has(pod: &Value, list: &str, name: &str) -> bool {
    let containers = pod["spec"][list].as_array();
    let mut containers = containers.into_iter().flatten();
    containers.any(|container| container["name"] == name)
}

/// As an ordinary container, or as one that is started before Postern and stopped after it.
fn is_beside(pod: &Value, name: &str) -> bool {
    has(pod, "containers", name) || has(pod, "initContainers", name)
}

fn annotation<'p>(pod: &'p Value, name: &str) -> Option<&'p str> {
    pod["metadata"]["annotations"][name].as_str()
}

/// Ports and ranges of ports, with commas between them.
fn covers(ports: &str, wanted: u64) -> bool {
    ports.split(',').any(|range| {
        let range = range.trim();
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(from), Ok(to)) => (from..=to).contains(&wanted),
            _ => false,
        }
    })
}

fn inbound(scene: &Scene) -> Option<Finding> {
    let pod = scene.pods.first()?;
    let passed: BTreeSet<_> = if is_beside(pod, LINKERD) {
        let skipped = annotation(pod, SKIPPED).unwrap_or_default();
        { scene.ports.iter() }
            .filter(|port| covers(skipped, **port))
            .collect()
    } else if is_beside(pod, ISTIO) {
        let excluded = annotation(pod, EXCLUDED).unwrap_or_default();
        let none = annotation(pod, INCLUDED) == Some("");
        { scene.ports.iter() }
            .filter(|port| none || covers(excluded, **port))
            .collect()
    } else {
        return Some(ok("no sidecar of Linkerd or Istio"));
    };
    let ports = scene.ports.iter().filter(|port| !passed.contains(port));
    let ports: Vec<_> = ports.map(u64::to_string).collect();
    Some(if ports.is_empty() {
        ok("connections from outside go past the sidecar")
    } else {
        failed(format!(
            "port {} goes through the sidecar, which hides the addresses of clients",
            ports.join(", ")
        ))
    })
}

fn stop(scene: &Scene) -> Option<Finding> {
    let pod = scene.pods.first()?;
    // One that is started before Postern is stopped after it, whatever is set.
    if !has(pod, "containers", LINKERD) {
        return None;
    }
    let wait = annotation(pod, WAIT).and_then(|wait| wait.parse::<u64>().ok());
    let (wait, drain) = (wait.unwrap_or_default(), drain_seconds(scene));
    let what = format!("it waits {wait} s, and the drain may take {drain} s");
    Some(if wait > drain { ok(what) } else { failed(what) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::check::Outcome::{Failed, Ok};

    #[test]
    fn a_sidecar_must_let_the_ports_of_listeners_pass_and_outlive_the_drain() {
        let cases = [
            ("containers", "other", json!({}), (Ok, None)),
            (
                "containers",
                LINKERD,
                json!({SKIPPED: "8080,8443", WAIT: "27"}),
                (Ok, Some(Ok)),
            ),
            (
                "containers",
                LINKERD,
                json!({SKIPPED: "8000-9000", WAIT: "25"}),
                (Ok, Some(Failed)),
            ),
            ("containers", LINKERD, json!({}), (Failed, Some(Failed))),
            (
                "initContainers",
                LINKERD,
                json!({SKIPPED: "8080"}),
                (Failed, None),
            ),
            ("containers", ISTIO, json!({INCLUDED: ""}), (Ok, None)),
            (
                "containers",
                ISTIO,
                json!({EXCLUDED: "8080,8443"}),
                (Ok, None),
            ),
            ("containers", ISTIO, json!({}), (Failed, None)),
        ];
        for (list, name, annotations, wanted) in cases {
            let mut pod = json!({"metadata": {"annotations": annotations}, "spec": {}});
            pod["spec"][list] = json!([{"name": name}]);
            let scene = Scene {
                pods: vec![pod],
                ports: BTreeSet::from([8080, 8443]),
                ..Scene::default()
            };
            let of =
                |judge: fn(&Scene) -> Option<Finding>| judge(&scene).map(|(outcome, _)| outcome);
            assert_eq!(
                (of(inbound).unwrap(), of(stop)),
                wanted,
                "{list} {name} {annotations}"
            );
        }
    }
}
