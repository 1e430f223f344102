//! Of the pods: whether they run as the chart makes them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::{Finding, advice, cluster::Scene, failed, ok};
use crate::plugin::output::many;

const HOUR: i64 = 3600;
/// Of the flags where they are not given.
const DRAIN_DELAY: u64 = 5;
const DRAIN_TIMEOUT: u64 = 20;

/// Name and judgement; None where there is nothing to judge.
pub(super) type Judge = (&'static str, fn(&Scene) -> Option<Finding>);

pub(super) const CHECKS: &[Judge] = &[
    ("pods", ready),
    ("restarts", restarts),
    ("images", images),
    ("count", count),
    ("spread", spread),
    ("disruption", disruption),
    ("probe", probe),
    ("grace", grace),
    ("state", state),
    ("memory", memory),
    ("confined", confined),
];

/// The container of Postern: the one that is told to serve.
pub(super) fn container(pod: &Value) -> Option<&Value> {
    let containers = pod["spec"]["containers"].as_array()?;
    let serves = |container: &&Value| {
        let arguments = container["args"].as_array().into_iter().flatten();
        { arguments.take(1) }.any(|argument| argument == "serve")
    };
    containers.iter().find(serves).or(containers.first())
}

/// A flag of `postern serve` in the first pod.
pub(super) fn flag<'s>(scene: &'s Scene, name: &str) -> Option<&'s str> {
    let arguments = container(scene.pods.first()?)?["args"].as_array()?;
    let mut arguments = arguments.iter().filter_map(Value::as_str);
    arguments.find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
}

pub(super) fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

/// How long the first pod may take from SIGTERM to its end, by its flags.
pub(super) fn drain_seconds(scene: &Scene) -> u64 {
    let seconds = |name: &str, usual: u64| {
        let told = flag(scene, name).and_then(|told| told.strip_suffix('s'));
        told.and_then(|told| told.parse().ok()).unwrap_or(usual)
    };
    seconds("--drain-delay", DRAIN_DELAY) + seconds("--drain-timeout", DRAIN_TIMEOUT)
}

#[expect(clippy::unnecessary_wraps, reason = "all judges have one type")]
fn ready(scene: &Scene) -> Option<Finding> {
    let not = { scene.pods.iter() }.filter(|pod| !is_ready(pod));
    let not: Vec<_> = not.map(name).collect();
    Some(if not.is_empty() {
        ok(format!("{} ready", many(scene.pods.len(), "pod")))
    } else {
        failed(format!("{} not ready", not.join(", ")))
    })
}

#[expect(clippy::unnecessary_wraps, reason = "all judges have one type")]
fn restarts(scene: &Scene) -> Option<Finding> {
    let mut told = BTreeSet::new();
    for pod in &scene.pods {
        let statuses = pod["status"]["containerStatuses"].as_array();
        for status in statuses.into_iter().flatten() {
            let last = &status["lastState"]["terminated"];
            let ended = last["finishedAt"].as_str();
            let ended = ended.and_then(|at| at.parse::<Timestamp>().ok());
            if ended.is_some_and(|at| scene.now - at.as_second() < HOUR) {
                let reason = last["reason"].as_str().unwrap_or("no reason given");
                told.insert(format!("{} ({reason})", name(pod)));
            }
        }
    }
    let told: Vec<_> = told.into_iter().collect();
    Some(if told.is_empty() {
        ok("none within the last hour")
    } else {
        advice(told.join(", "))
    })
}

#[expect(clippy::unnecessary_wraps, reason = "all judges have one type")]
fn images(scene: &Scene) -> Option<Finding> {
    let pods = scene.pods.iter();
    let ids = pods.filter_map(|pod| {
        let own = &container(pod)?["name"];
        let mut statuses = pod["status"]["containerStatuses"].as_array()?.iter();
        let status = statuses.find(|status| status["name"] == *own)?;
        status["imageID"].as_str()
    });
    let ids: BTreeSet<_> = ids.collect();
    let named = ids.iter().copied().collect::<Vec<_>>().join(", ");
    Some(match ids.len() {
        0 | 1 => ok(named),
        _ => failed(named),
    })
}

#[expect(clippy::unnecessary_wraps, reason = "all judges have one type")]
fn count(scene: &Scene) -> Option<Finding> {
    Some(match scene.pods.len() {
        1 => advice("one replica: whenever its pod goes, nothing is served"),
        count => ok(many(count, "replica")),
    })
}

fn spread(scene: &Scene) -> Option<Finding> {
    let nodes = { scene.pods.iter() }.filter_map(|pod| pod["spec"]["nodeName"].as_str());
    let nodes: BTreeSet<_> = nodes.collect();
    (scene.pods.len() > 1).then(|| match nodes.len() {
        0 | 1 => advice("all replicas are on one node"),
        count => ok(format!("on {}", many(count, "node"))),
    })
}

fn disruption(scene: &Scene) -> Option<Finding> {
    // One replica alone cannot go without being missed.
    (scene.pods.len() > 1).then(|| {
        let allowed = |budget: &Value| budget["status"]["disruptionsAllowed"].as_u64();
        let least = scene.budgets.iter().filter_map(allowed).min();
        match (scene.budgets.is_empty(), least) {
            (true, _) => advice("no PodDisruptionBudget covers the pods"),
            (false, Some(0)) => advice("at this moment no pod may be evicted"),
            (false, _) => ok("one replica may be away at a time"),
        }
    })
}

fn probe(scene: &Scene) -> Option<Finding> {
    let container = container(scene.pods.first()?)?;
    let path = container["readinessProbe"]["httpGet"]["path"].as_str();
    Some(match path {
        Some("/ready") => ok("it asks /ready"),
        Some(path) => failed(format!("it asks {path}")),
        None => failed("there is none that asks by HTTP"),
    })
}

fn grace(scene: &Scene) -> Option<Finding> {
    let grace = scene.pods.first()?["spec"]["terminationGracePeriodSeconds"].as_u64()?;
    let drain = drain_seconds(scene);
    let what = format!("{grace} s, and the drain may take {drain} s");
    Some(if grace > drain {
        ok(what)
    } else {
        failed(what)
    })
}

fn state(scene: &Scene) -> Option<Finding> {
    let pod = scene.pods.first()?;
    let Some(folder) = flag(scene, "--state-dir") else {
        return Some(advice(
            "nothing is kept: a container that restarts while the API server is away does not serve",
        ));
    };
    let mounts = container(pod)?["volumeMounts"]
        .as_array()
        .into_iter()
        .flatten();
    let mut mounts = mounts.filter(|mount| mount["mountPath"] == folder);
    let name = &mounts.next()?["name"];
    let mut volumes = pod["spec"]["volumes"].as_array()?.iter();
    let volume = volumes.find(|volume| volume["name"] == *name)?;
    Some(if volume["emptyDir"]["medium"] == "Memory" {
        ok(format!("in memory, at {folder}"))
    } else {
        failed(format!("{folder} is not in memory, and keys are in it"))
    })
}

fn memory(scene: &Scene) -> Option<Finding> {
    let resources = &container(scene.pods.first()?)?["resources"];
    let has = |kind: &str, name: &str| !resources[kind][name].is_null();
    Some(match (has("requests", "cpu"), has("limits", "memory")) {
        (true, true) => ok("it has both"),
        (false, true) => advice("no request for CPU"),
        (true, false) => advice("no limit for memory"),
        (false, false) => advice("neither"),
    })
}

fn confined(scene: &Scene) -> Option<Finding> {
    let pod = scene.pods.first()?;
    let of_pod = &pod["spec"]["securityContext"];
    let own = &container(pod)?["securityContext"];
    let either = |name: &str| match &own[name] {
        Value::Null => &of_pod[name],
        said => said,
    };
    let dropped = own["capabilities"]["drop"].as_array();
    let mut dropped = dropped.into_iter().flatten();
    let lacks: Vec<_> = [
        ("it may be root", *either("runAsNonRoot") == true),
        (
            "its root can be written",
            own["readOnlyRootFilesystem"] == true,
        ),
        (
            "it may gain rights",
            own["allowPrivilegeEscalation"] == false,
        ),
        ("it keeps capabilities", dropped.any(|name| name == "ALL")),
    ]
    .into_iter()
    .filter(|(_, holds)| !holds)
    .map(|(lack, _)| lack)
    .collect();
    Some(if lacks.is_empty() {
        ok("non-root, read-only, without capabilities")
    } else {
        advice(lacks.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::check::Outcome;

    fn pod() -> Value {
        json!({
            "metadata": {"name": "a"},
            "spec": {
                "nodeName": "n1",
                "terminationGracePeriodSeconds": 30,
                "securityContext": {"runAsNonRoot": true},
                "containers": [{
                    "name": "postern",
                    "args": ["serve", "--drain-delay=5s", "--drain-timeout=20s", "--state-dir=/s"],
                    "readinessProbe": {"httpGet": {"path": "/ready"}},
                    "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
                    "volumeMounts": [{"name": "state", "mountPath": "/s"}],
                    "securityContext": {
                        "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }],
                "volumes": [{"name": "state", "emptyDir": {"medium": "Memory"}}],
            },
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "postern", "imageID": "sha256:1"}],
            },
        })
    }

    fn found(pods: Vec<Value>, check: &str) -> Option<Outcome> {
        let budget = json!({"status": {"disruptionsAllowed": 1}});
        let scene = Scene {
            pods,
            budgets: vec![budget],
            now: 1_800_000_000,
            ..Scene::default()
        };
        let judge = CHECKS.iter().find(|(name, _)| *name == check).unwrap().1;
        judge(&scene).map(|(outcome, _)| outcome)
    }

    #[test]
    fn what_the_chart_makes_is_in_order() {
        let mut other = pod();
        other["spec"]["nodeName"] = json!("n2");
        for (check, _) in CHECKS {
            let found = found(vec![pod(), other.clone()], check);
            assert_eq!(found, Some(Outcome::Ok), "{check}");
        }
    }

    #[test]
    fn every_check_sees_what_it_looks_for() {
        use Outcome::{Advice, Failed};
        let container = "/spec/containers/0";
        let restart =
            json!({"terminated": {"reason": "OOMKilled", "finishedAt": "2027-01-15T07:50:00Z"}});
        for (check, at, value, wanted) in [
            (
                "pods",
                "/status/conditions/0/status".to_owned(),
                json!("False"),
                Failed,
            ),
            (
                "restarts",
                "/status/containerStatuses/0/lastState".to_owned(),
                restart,
                Advice,
            ),
            (
                "images",
                "/status/containerStatuses/0/imageID".to_owned(),
                json!("sha256:2"),
                Failed,
            ),
            (
                "probe",
                format!("{container}/readinessProbe"),
                json!({}),
                Failed,
            ),
            (
                "grace",
                "/spec/terminationGracePeriodSeconds".to_owned(),
                json!(25),
                Failed,
            ),
            (
                "state",
                "/spec/volumes/0/emptyDir".to_owned(),
                json!({}),
                Failed,
            ),
            (
                "state",
                format!("{container}/args"),
                json!(["serve"]),
                Advice,
            ),
            (
                "memory",
                format!("{container}/resources"),
                json!({}),
                Advice,
            ),
            (
                "confined",
                format!("{container}/securityContext"),
                json!({}),
                Advice,
            ),
        ] {
            let mut changed = pod();
            let (parent, key) = at.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap()[key] = value;
            let found = found(vec![changed, pod()], check);
            assert_eq!(found, Some(wanted), "{check} {at}");
        }
        assert_eq!(found(vec![pod()], "count"), Some(Advice));
        assert_eq!(found(vec![pod(), pod()], "spread"), Some(Advice));
    }
}
