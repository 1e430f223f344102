//! Of the Services: whether they lead to the pods, and to every port.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Finding, advice,
    cluster::Scene,
    failed, ok,
    pods::{Judge, container, flag, is_ready},
};

pub(super) const CHECKS: &[Judge] = &[
    ("service", leads),
    ("ports", ports),
    ("endpoints", endpoints),
    ("address", address),
    ("clients", clients),
    ("published", published),
];

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

fn is_of_type(service: &Value, kind: &str) -> bool {
    service["spec"]["type"] == kind
}

/// Pods in the network of their nodes need no Service.
fn is_on_nodes(scene: &Scene) -> bool {
    let has_port = |pod: &Value| {
        let ports = container(pod).and_then(|own| own["ports"].as_array());
        let mut ports = ports.into_iter().flatten();
        ports.any(|port| !port["hostPort"].is_null())
    };
    { scene.pods.iter() }.any(|pod| pod["spec"]["hostNetwork"] == true || has_port(pod))
}

#[expect(clippy::unnecessary_wraps, reason = "all judges have one type")]
fn leads(scene: &Scene) -> Option<Finding> {
    let names: Vec<_> = scene.services.iter().map(name).collect();
    Some(match (names.is_empty(), is_on_nodes(scene)) {
        (false, _) => ok(names.join(", ")),
        (true, true) => ok("none, and the pods are reached on their nodes"),
        (true, false) => failed("no Service leads to the pods"),
    })
}

/// The ports of the container to which a Service leads.
fn targets(scene: &Scene, service: &Value) -> BTreeSet<u64> {
    let own = scene.pods.first().and_then(container);
    let own = own.and_then(|own| own["ports"].as_array());
    let named = |wanted: &Value| {
        let mut own = own.into_iter().flatten();
        own.find(|port| port["name"] == *wanted)?["containerPort"].as_u64()
    };
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    ports
        .filter_map(|port| match &port["targetPort"] {
            Value::Null => port["port"].as_u64(),
            target if target.is_u64() => target.as_u64(),
            target => named(target),
        })
        .collect()
}

fn ports(scene: &Scene) -> Option<Finding> {
    if scene.services.is_empty() {
        return None;
    }
    let led: BTreeSet<_> = { scene.services.iter() }
        .flat_map(|service| targets(scene, service))
        .collect();
    let missing = { scene.ports.difference(&led) }.map(u64::to_string);
    let missing: Vec<_> = missing.collect();
    Some(if missing.is_empty() {
        ok("every Listener's port")
    } else {
        failed(format!("no Service leads to port {}", missing.join(", ")))
    })
}

fn endpoints(scene: &Scene) -> Option<Finding> {
    let service = scene.services.first()?;
    let of_service = |slice: &&Value| {
        slice["metadata"]["labels"]["kubernetes.io/service-name"] == *name(service)
    };
    let slices = scene.slices.iter().filter(of_service);
    let endpoints = slices.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
    let behind: BTreeSet<_> = endpoints
        .filter(|endpoint| endpoint["conditions"]["ready"] != false)
        .filter_map(|endpoint| endpoint["targetRef"]["name"].as_str())
        .collect();
    let ready = scene.pods.iter().filter(|pod| is_ready(pod));
    let missing = ready.map(name).filter(|pod| !behind.contains(pod));
    let missing: Vec<_> = missing.collect();
    Some(match (behind.is_empty(), missing.is_empty()) {
        (true, _) => failed("nothing is behind the Service"),
        (false, true) => ok("every ready pod"),
        (false, false) => failed(format!("{} not behind the Service", missing.join(", "))),
    })
}

fn address(scene: &Scene) -> Option<Finding> {
    let mut services = scene.services.iter();
    let service = services.find(|service| is_of_type(service, "LoadBalancer"))?;
    let given = service["status"]["loadBalancer"]["ingress"].as_array();
    let given = given.into_iter().flatten();
    let given = given.filter_map(|one| one["ip"].as_str().or(one["hostname"].as_str()));
    let given: Vec<_> = given.collect();
    Some(if given.is_empty() {
        failed(format!("Service {} has none", name(service)))
    } else {
        ok(given.join(", "))
    })
}

fn clients(scene: &Scene) -> Option<Finding> {
    let outside =
        |service: &&Value| is_of_type(service, "LoadBalancer") || is_of_type(service, "NodePort");
    let service = scene.services.iter().find(outside)?;
    Some(if service["spec"]["externalTrafficPolicy"] == "Local" {
        ok("the Service keeps them")
    } else {
        advice("behind another node's address")
    })
}

fn published(scene: &Scene) -> Option<Finding> {
    let wanted = flag(scene, "--publish-service")?;
    let is_it = |service: &Value| {
        let namespace = service["metadata"]["namespace"].as_str();
        wanted.split_once('/') == Some((namespace.unwrap_or_default(), name(service)))
    };
    Some(if scene.services.iter().any(is_it) {
        ok(wanted)
    } else {
        failed(format!("{wanted} is none that leads to the pods"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::check::Outcome;

    fn scene() -> Scene {
        let pod = json!({
            "metadata": {"name": "a"},
            "spec": {"containers": [{
                "args": ["serve", "--publish-service=postern/postern"],
                "ports": [{"name": "http", "containerPort": 8080}],
            }]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]},
        });
        let service = json!({
            "metadata": {"name": "postern", "namespace": "postern"},
            "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local",
                "ports": [{"port": 80, "targetPort": "http"}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
        });
        let slice = json!({
            "metadata": {"labels": {"kubernetes.io/service-name": "postern"}},
            "endpoints": [{"conditions": {"ready": true}, "targetRef": {"name": "a"}}],
        });
        Scene {
            pods: vec![pod],
            services: vec![service],
            slices: vec![slice],
            ports: BTreeSet::from([8080]),
            ..Scene::default()
        }
    }

    fn found(scene: &Scene, check: &str) -> Option<Outcome> {
        let judge = CHECKS.iter().find(|(name, _)| *name == check).unwrap().1;
        judge(scene).map(|(outcome, _)| outcome)
    }

    #[test]
    fn a_service_that_leads_to_the_pods_is_in_order() {
        for (check, _) in CHECKS {
            assert_eq!(found(&scene(), check), Some(Outcome::Ok), "{check}");
        }
    }

    #[test]
    fn every_check_sees_what_it_looks_for() {
        use Outcome::{Advice, Failed};
        type Change = fn(&mut Scene);
        let changes: [(&str, Change, Outcome); 6] = [
            ("service", |scene| scene.services.clear(), Failed),
            (
                "ports",
                |scene| scene.ports = BTreeSet::from([9000]),
                Failed,
            ),
            ("endpoints", |scene| scene.slices.clear(), Failed),
            (
                "address",
                |scene| scene.services[0]["status"] = json!({}),
                Failed,
            ),
            (
                "clients",
                |scene| scene.services[0]["spec"]["externalTrafficPolicy"] = json!("Cluster"),
                Advice,
            ),
            (
                "published",
                |scene| scene.services[0]["metadata"]["name"] = json!("other"),
                Failed,
            ),
        ];
        for (check, change, wanted) in changes {
            let mut scene = scene();
            change(&mut scene);
            assert_eq!(found(&scene, check), Some(wanted), "{check}");
        }
    }
}
