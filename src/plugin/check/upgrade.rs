//! `check --pre-upgrade`: what would change if the replicas were of the version of this program.
//!
//! ```text
//! Leases ───────────────> versions
//! CRDs of the cluster ──> schemas    against those of this program
//! objects, compiled here ┐
//! a replica's answers ───┴> objects, traffic
//! ```

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use http::Request;
use jiff::Timestamp;
use serde_json::Value;

use super::{Outcome, Row, schema::Drift};
use crate::{
    crd::manifest,
    graph::wire::GraphView,
    plugin::{
        args::Common,
        difference::Difference,
        facts::{Facts, ReplicaState},
        output::many,
        source::{cluster::Connection, replica::Diagnostics},
    },
    report::wire::{ObjectView, ReportView},
};

const OWN_VERSION: &str = env!("CARGO_PKG_VERSION");
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Objects of which the running replica and this program tell the same generation.
struct Comparable {
    running: Vec<ObjectView>,
    here: Vec<ObjectView>,
    /// How many are left out: they were changed in between, or only one of the two reads them.
    skipped: usize,
}

/// Adds what there is to say, and gives what would be different.
pub(super) async fn check(
    common: &Common,
    connection: &Connection,
    facts: &Facts,
    now: Timestamp,
    rows: &mut Vec<Row>,
) -> Option<Difference> {
    rows.push(versions(facts, now));
    rows.push(schemas(&connection.client).await);
    let (running, graph) = match running(common, connection).await {
        Ok(running) => running,
        Err(error) => {
            let what = format!(
                "no running replica could be asked what it serves: {error:#}; name one with --from-replica=NAMESPACE/POD"
            );
            rows.push(row("objects", Outcome::Unknown, what));
            return None;
        }
    };
    if let Some(unread) = facts.unread.first() {
        let what = format!(
            "a replica reads more than you may ({}), so the two cannot be compared",
            unread.resource
        );
        rows.push(row("objects", Outcome::Unknown, what));
        return None;
    }
    let objects = comparable(&running, facts);
    let difference =
        Difference::between_views((&objects.running, &graph), (&objects.here, &facts.graph));
    rows.push(refused(&difference, &objects));
    rows.push(traffic(&difference, &objects));
    Some(difference)
}

/// Here the words say what to do, as it depends on what was found.
fn row(check: &'static str, result: Outcome, what: String) -> Row {
    Row {
        remedy: "",
        ..Row::new(check, (result, what))
    }
}

/// What a replica has compiled.
async fn running(common: &Common, connection: &Connection) -> Result<(Vec<ObjectView>, GraphView)> {
    let named = common.from_replica.as_deref().filter(|pod| !pod.is_empty());
    let diagnostics = match common.from_address {
        Some(address) => Diagnostics::at(address),
        None => connection.replica(common, named).await?,
    };
    let report: ReportView = diagnostics.get("/report").await?;
    let graph = diagnostics.get("/graph").await?;
    Ok((report.objects, graph))
}

fn comparable(running: &[ObjectView], facts: &Facts) -> Comparable {
    let here = facts.objects.iter().map(|known| &known.view);
    let generations = |view: &ObjectView| (view.title(), view.generation);
    let of_both: BTreeMap<_, _> = running.iter().map(generations).collect();
    let is_same = |view: &ObjectView| of_both.get(&view.title()) == Some(&view.generation);
    let here: Vec<_> = here.cloned().collect();
    let all: BTreeSet<_> = running.iter().chain(&here).map(ObjectView::title).collect();
    let here: Vec<_> = here.into_iter().filter(is_same).collect();
    let kept: BTreeSet<_> = here.iter().map(ObjectView::title).collect();
    let running = running.iter().filter(|view| kept.contains(&view.title()));
    Comparable {
        running: running.cloned().collect(),
        skipped: all.len() - kept.len(),
        here,
    }
}

/// Whether there is one version to upgrade from, and it is not newer than this.
fn versions(facts: &Facts, now: Timestamp) -> Row {
    let now = now.as_second();
    let replicas = facts.replicas.iter().flatten();
    let alive = replicas.filter(|replica| replica.is_alive(now));
    let build = |replica: &ReplicaState| replica.says.as_ref().map(|says| says.build.clone());
    let builds: Vec<_> = alive
        .filter_map(build)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let (result, what) = match &*builds {
        [] => (
            Outcome::Unknown,
            "no replica says of which version it is: see `sync`".to_owned(),
        ),
        [build] => against_own(build),
        several => (
            Outcome::Failed,
            format!(
                "the replicas are of versions {}: wait until the last roll-out has ended, see `sync`",
                several.join(", ")
            ),
        ),
    };
    row("versions", result, what)
}

fn against_own(build: &str) -> (Outcome, String) {
    match (numbers(build), numbers(OWN_VERSION)) {
        (Some(theirs), Some(own)) if theirs > own => (
            Outcome::Failed,
            format!(
                "the replicas are of version {build}, this program is of {OWN_VERSION}: use the program of the version to upgrade to"
            ),
        ),
        (Some(theirs), Some(own)) if theirs == own => (
            Outcome::Ok,
            format!("the replicas and this program are of version {build}"),
        ),
        (Some(_), Some(_)) => (
            Outcome::Ok,
            format!("from {build} to {OWN_VERSION}, the version of this program"),
        ),
        _ => (
            Outcome::Unknown,
            format!("versions {build} and {OWN_VERSION} cannot be compared"),
        ),
    }
}

/// `1.2.3`, without what comes after a hyphen or plus.
fn numbers(version: &str) -> Option<[u64; 3]> {
    let core = version.split(['-', '+']).next()?;
    let mut parts = core.split('.').map(|part| part.parse().ok());
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// Whether the API server has the schemas of this program.
async fn schemas(client: &kube::Client) -> Row {
    const CHECK: &str = "schemas";
    let (mut drifts, mut newer) = (Vec::new(), true);
    for (_, ours) in manifest::definitions() {
        let name = ours["metadata"]["name"].as_str().unwrap_or_default();
        match definition(client, name).await {
            Ok(Some(installed)) => {
                let drift = Drift::between(&ours, &installed);
                if !drift.is_none() {
                    newer &= drift.missing.is_empty() && drift.other.is_empty();
                    drifts.push(format!("{name} {}", drift.summary()));
                }
            }
            Ok(None) => {
                newer = false;
                drifts.push(format!("{name} is not installed"));
            }
            Err(error) => {
                let what = format!("CustomResourceDefinition {name} cannot be read: {error}");
                return row(CHECK, Outcome::Unknown, what);
            }
        }
    }
    if drifts.is_empty() {
        let what = "the CustomResourceDefinitions are those of this program".to_owned();
        return row(CHECK, Outcome::Ok, what);
    }
    let next = if newer {
        "they are newer than this program: use that of their version"
    } else {
        "apply those of the new version before the upgrade: `postern crds | kubectl apply --server-side -f -`"
    };
    let what = format!("{}; {next}", drifts.join("; "));
    row(CHECK, Outcome::Failed, what)
}

/// None when there is none of this name.
async fn definition(client: &kube::Client, name: &str) -> Result<Option<Value>> {
    let request = Request::get(format!("{DEFINITIONS}/{name}")).body(Vec::new())?;
    match client.request(request).await {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether objects have errors that they do not have as it runs.
fn refused(difference: &Difference, objects: &Comparable) -> Row {
    let introduced = difference.introduced.iter();
    let worse = introduced.filter(|problem| problem.found.is_error());
    let mut worse: Vec<_> = worse.map(|problem| &*problem.object).collect();
    worse.dedup();
    let what = match worse.len() {
        0 => format!(
            "{} compiled by this version, no new error",
            many(objects.here.len(), "object")
        ),
        _ => format!("this version has new errors for {}", worse.join(", ")),
    };
    let outcome = match (worse.len(), objects.skipped) {
        (0, 0) => Outcome::Ok,
        (0, _) => Outcome::Unknown,
        _ => Outcome::Failed,
    };
    row("objects", outcome, objects.with_skipped(&what))
}

/// Whether requests go where they go now.
fn traffic(difference: &Difference, objects: &Comparable) -> Row {
    let moved = difference.traffic.len();
    let outcome = match (moved, objects.skipped) {
        (0, _) => Outcome::Ok,
        // What was changed in between may be why.
        (_, 1..) => Outcome::Unknown,
        _ => Outcome::Failed,
    };
    let what = match moved {
        0 => format!(
            "{} lead where they lead now",
            many(difference.unchanged, "route")
        ),
        _ => format!("{} would lead elsewhere", many(moved, "route")),
    };
    row("traffic", outcome, objects.with_skipped(&what))
}

impl Comparable {
    fn with_skipped(&self, what: &str) -> String {
        match self.skipped {
            0 => what.to_owned(),
            skipped => format!(
                "{what}; {} left out, which the replica has in another generation or not at all: ask again",
                many(skipped, "object")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plugin::facts::Known,
        report::{replica::Replica, wire::DiagnosticView},
    };

    fn facts(builds: &[&str]) -> Facts {
        let replicas = builds.iter().map(|build| ReplicaState {
            says: Some(Replica {
                build: (*build).to_owned(),
                ready: true,
                ..Replica::default()
            }),
            renewed: Some(0),
            expires_after: 30,
            ..ReplicaState::default()
        });
        Facts {
            replicas: Some(replicas.collect()),
            ..Facts::for_tests()
        }
    }

    #[test]
    fn there_must_be_one_version_to_upgrade_from_and_none_that_is_newer() {
        for (builds, outcome, word) in [
            (
                &[OWN_VERSION, OWN_VERSION][..],
                Outcome::Ok,
                "are of version",
            ),
            (&["0.0.1"], Outcome::Ok, "from 0.0.1"),
            (&["99.0.0-rc.1"], Outcome::Failed, "use the program"),
            (&["0.0.1", OWN_VERSION], Outcome::Failed, "roll-out"),
            (&["nightly"], Outcome::Unknown, "cannot be compared"),
            (&[], Outcome::Unknown, "no replica"),
        ] {
            let row = versions(&facts(builds), Timestamp::UNIX_EPOCH);
            assert_eq!(row.result, outcome, "{builds:?}: {}", row.what);
            assert!(row.what.contains(word), "{builds:?}: {}", row.what);
        }
    }

    #[test]
    fn objects_that_changed_in_between_are_left_out_and_new_errors_are_told() {
        let object = |name: &str, generation, error: bool| {
            let error = error.then(|| DiagnosticView {
                code: "PST1007".to_owned(),
                severity: "error".to_owned(),
                ..DiagnosticView::default()
            });
            ObjectView {
                kind: "Mapping".to_owned(),
                namespace: "apps".to_owned(),
                name: name.to_owned(),
                generation,
                diagnostics: error.into_iter().collect(),
                ..ObjectView::default()
            }
        };
        let known = |view| Known {
            view,
            ..Known::default()
        };
        let mut facts = facts(&[]);
        facts.objects = vec![
            known(object("a", 1, true)),
            known(object("b", 2, true)),
            known(object("c", 1, false)),
        ];
        let running = [object("a", 1, false), object("b", 1, false)];
        let objects = comparable(&running, &facts);
        let counts = (objects.running.len(), objects.here.len(), objects.skipped);
        assert_eq!(counts, (1, 1, 2));
        let graph = GraphView::default();
        let difference =
            Difference::between_views((&objects.running, &graph), (&objects.here, &graph));
        let row = refused(&difference, &objects);
        assert_eq!(row.result, Outcome::Failed);
        assert!(
            row.what.contains("Mapping apps/a; 2 objects left out"),
            "{}",
            row.what
        );
        assert_eq!(traffic(&difference, &objects).result, Outcome::Ok);
    }
}
