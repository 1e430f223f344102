//! What an API server has beside the objects that Postern reads: the pods of its replicas, what leads to them, and what their account
//! may do.

use std::collections::{BTreeMap, BTreeSet};

use http::Request;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};

use super::{Finding, Row, claims, failed, mesh, ok, pods, service, unknown};
use crate::plugin::facts::{Facts, ReplicaState};

/// The oldest minor version of Kubernetes 1 that the chart lets itself be installed on.
const OLDEST_MINOR: u64 = 32;
/// As long as a clock may be ahead: the time that a request takes, and what NTP leaves.
const CLOCK_SECONDS: i64 = 5;

/// What the account of the pods must be able to do; group, resource and verb.
const NEEDED: &[(&str, &str, &str)] = &[
    ("postern.dev", "mappings", "watch"),
    ("postern.dev", "hosts", "watch"),
    ("postern.dev", "listeners", "watch"),
    ("", "services", "watch"),
    ("discovery.k8s.io", "endpointslices", "watch"),
    ("coordination.k8s.io", "leases", "patch"),
    ("", "pods", "get"),
];

/// What was read about the pods of an installation.
#[derive(Debug, Default)]
pub(super) struct Scene {
    /// Of the replicas that have Leases.
    pub(super) pods: Vec<Value>,
    pub(super) services: Vec<Value>,
    pub(super) slices: Vec<Value>,
    pub(super) budgets: Vec<Value>,
    /// The ports of the Listeners that are served.
    pub(super) ports: BTreeSet<u64>,
    pub(super) now: i64,
}

/// Adds what there is to say.
pub(super) async fn check(client: &Client, facts: &Facts, now: Timestamp, rows: &mut Vec<Row>) {
    rows.push(Row::new("kubernetes", version(client).await));
    let scene = match scene(client, facts, now).await {
        Ok(scene) => scene,
        Err(error) => {
            let what = format!("the pods of Postern cannot be read: {error}");
            rows.push(Row::new("pods", unknown(what)));
            return;
        }
    };
    if scene.pods.is_empty() {
        let what = format!(
            "no replica runs in a pod of the namespace {}",
            facts.gateway_namespace
        );
        rows.push(Row::new("pods", super::advice(what)));
        return;
    }
    rows.extend(account(client, facts, &scene).await);
    for (check, judge) in { pods::CHECKS.iter() }
        .chain(service::CHECKS)
        .chain(mesh::CHECKS)
    {
        rows.extend(judge(&scene).map(|found| Row::new(check, found)));
    }
}

/// What the Leases tell of the replicas together.
pub(super) fn leases(facts: &Facts, now: Timestamp) -> Vec<Row> {
    let now = now.as_second();
    let replicas = facts.replicas.iter().flatten();
    let alive: Vec<_> = replicas.filter(|replica| replica.is_alive(now)).collect();
    if alive.is_empty() {
        return Vec::new();
    }
    vec![
        Row::new("builds", builds(&alive)),
        Row::new("agreement", agreement(&alive)),
        Row::new("clock", clock(&alive, now)),
    ]
}

fn builds(alive: &[&ReplicaState]) -> Finding {
    let says = alive.iter().filter_map(|replica| replica.says.as_ref());
    let builds: BTreeSet<_> = says.map(|says| &*says.build).collect();
    let named = builds.iter().copied().collect::<Vec<_>>().join(", ");
    match builds.len() {
        0 => unknown("no replica says of which version it is"),
        1 => ok(named),
        _ => failed(named),
    }
}

fn agreement(alive: &[&ReplicaState]) -> Finding {
    let mut digests = BTreeMap::<_, BTreeSet<&str>>::new();
    for says in alive.iter().filter_map(|replica| replica.says.as_ref()) {
        let read = (&says.build, format!("{:?}", says.versions));
        digests.entry(read).or_default().insert(&says.digest);
    }
    if digests.values().all(|digests| digests.len() == 1) {
        ok("replicas that have read the same serve the same")
    } else {
        failed("two replicas have read the same and serve different things")
    }
}

fn clock(alive: &[&ReplicaState], now: i64) -> Finding {
    let renewed = alive.iter().filter_map(|replica| replica.renewed).max();
    match renewed.map(|renewed| renewed - now) {
        Some(ahead) if ahead > CLOCK_SECONDS => failed(format!(
            "a replica's Lease was renewed {ahead} s after what is now here"
        )),
        Some(_) => ok("no replica's clock is ahead"),
        None => unknown("no Lease says when it was renewed"),
    }
}

async fn version(client: &Client) -> Finding {
    let told = match get(client, "/version").await {
        Ok(told) => told,
        Err(error) => return unknown(format!("the version cannot be read: {error}")),
    };
    let number = |name: &str| {
        let text = told[name].as_str().unwrap_or_default();
        text.trim_end_matches('+').parse::<u64>().ok()
    };
    let version = told["gitVersion"].as_str().unwrap_or_default();
    match (number("major"), number("minor")) {
        (Some(1), Some(minor)) if minor < OLDEST_MINOR => failed(version),
        (Some(_), Some(_)) => ok(version),
        _ => unknown(format!("`{version}` is no version")),
    }
}

async fn get(client: &Client, path: &str) -> Result<Value, kube::Error> {
    let request = Request::get(path)
        .body(Vec::new())
        .map_err(kube::Error::HttpError)?;
    client.request(request).await
}

async fn list(client: &Client, path: &str) -> Result<Vec<Value>, kube::Error> {
    let mut list = get(client, path).await?;
    match list["items"].take() {
        Value::Array(items) => Ok(items),
        _ => Ok(Vec::new()),
    }
}

async fn scene(client: &Client, facts: &Facts, now: Timestamp) -> Result<Scene, kube::Error> {
    let namespace = &facts.gateway_namespace;
    let replicas = facts.replicas.iter().flatten();
    let names: BTreeSet<_> = replicas.map(|replica| &*replica.name).collect();
    let core = format!("/api/v1/namespaces/{namespace}");
    let is_own = |pod: &Value| names.contains(pod["metadata"]["name"].as_str().unwrap_or_default());
    let mut pods = list(client, &format!("{core}/pods")).await?;
    pods.retain(is_own);
    let leads = |service: &Value| {
        pods.iter()
            .any(|pod| selects(&service["spec"]["selector"], pod))
    };
    let mut services = list(client, &format!("{core}/services")).await?;
    services.retain(leads);
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    let slices = list(client, &slices).await?;
    let budgets = format!("/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets");
    let mut budgets = list(client, &budgets).await?;
    let covers = |budget: &Value| {
        let labels = &budget["spec"]["selector"]["matchLabels"];
        pods.iter().any(|pod| selects(labels, pod))
    };
    budgets.retain(covers);
    let listeners = facts.graph.listeners.iter();
    Ok(Scene {
        ports: listeners.map(|listener| listener.port.into()).collect(),
        pods,
        services,
        slices,
        budgets,
        now: now.as_second(),
    })
}

/// Whether labels that are asked for are those of a pod; none ask for nothing.
fn selects(labels: &Value, pod: &Value) -> bool {
    let own = &pod["metadata"]["labels"];
    let labels = labels.as_object().filter(|labels| !labels.is_empty());
    labels.is_some_and(|labels| labels.iter().all(|(name, value)| own[name] == *value))
}

/// What the account of the pods may do.
async fn account(client: &Client, facts: &Facts, scene: &Scene) -> Vec<Row> {
    let namespace = &*facts.gateway_namespace;
    let pod = scene.pods.first().unwrap_or(&Value::Null);
    let account = pod["spec"]["serviceAccountName"]
        .as_str()
        .unwrap_or("default");
    let user = format!("system:serviceaccount:{namespace}:{account}");
    let mut lacks = Vec::new();
    for &(group, resource, verb) in NEEDED {
        match may(client, &user, Some(namespace), (group, resource, verb)).await {
            Ok(true) => {}
            Ok(false) => lacks.push(format!("{verb} {resource}")),
            Err(error) => {
                let what = format!("what {user} may do cannot be asked: {error}");
                return vec![Row::new("grants", unknown(what))];
            }
        }
    }
    let grants = if lacks.is_empty() {
        ok(format!("{account} may do what Postern does"))
    } else {
        failed(format!("{user} may not {}", lacks.join(", ")))
    };
    let secrets = match may(client, &user, None, ("", "secrets", "list")).await {
        Ok(true) => super::advice(format!("{account} may read every Secret of the cluster")),
        Ok(false) => ok(format!("{account} may not read every Secret")),
        Err(error) => unknown(error.to_string()),
    };
    let walls = [
        ("postern.dev", "routeclaims", "list"),
        ("", "namespaces", "list"),
    ];
    let mut reads = Vec::new();
    for what in walls {
        reads.push(may(client, &user, None, what).await);
    }
    let walls = match reads[..] {
        [Ok(routeclaims), Ok(namespaces)] => claims::walls(facts, account, routeclaims, namespaces),
        _ => unknown(format!("what {user} may read cannot be asked")),
    };
    vec![
        Row::new("grants", grants),
        Row::new("walls", walls),
        Row::new("secrets", secrets),
    ]
}

async fn may(
    client: &Client,
    user: &str,
    namespace: Option<&str>,
    (group, resource, verb): (&str, &str, &str),
) -> Result<bool, kube::Error> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {
                "namespace": namespace, "group": group, "resource": resource, "verb": verb,
            },
        },
    });
    let request = Request::post("/apis/authorization.k8s.io/v1/subjectaccessreviews")
        .header("content-type", "application/json")
        .body(review.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    let told: Value = client.request(request).await?;
    Ok(told["status"]["allowed"] == true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plugin::check::Outcome, report::replica::Replica};

    fn replica(build: &str, digest: &str, renewed: i64) -> ReplicaState {
        ReplicaState {
            says: Some(Replica {
                build: build.to_owned(),
                ready: true,
                digest: digest.to_owned(),
                ..Replica::default()
            }),
            renewed: Some(renewed),
            expires_after: 30,
            ..ReplicaState::default()
        }
    }

    #[test]
    fn replicas_must_agree_and_have_the_time() {
        use Outcome::{Failed, Ok};
        let cases = [
            (replica("1", "a", 100), [Ok, Ok, Ok]),
            (replica("2", "b", 100), [Failed, Ok, Ok]),
            (replica("1", "b", 100), [Ok, Failed, Ok]),
            (replica("1", "a", 130), [Ok, Ok, Failed]),
        ];
        for (other, wanted) in cases {
            let facts = Facts {
                replicas: Some(vec![replica("1", "a", 100), other.clone()]),
                ..Facts::for_tests()
            };
            let rows = leases(&facts, Timestamp::from_second(100).unwrap());
            let found: Vec<_> = rows.iter().map(|row| row.result).collect();
            assert_eq!(found, wanted, "{other:?}");
        }
    }

    #[test]
    fn a_selector_without_labels_selects_nothing() {
        let pod = json!({"metadata": {"labels": {"app": "postern", "x": "y"}}});
        for (labels, wanted) in [
            (json!({"app": "postern"}), true),
            (json!({"app": "other"}), false),
            (json!({}), false),
            (Value::Null, false),
        ] {
            assert_eq!(selects(&labels, &pod), wanted, "{labels}");
        }
    }
}
