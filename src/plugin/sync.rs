//! `sync`: which replica has come how far.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use anyhow::{Result, bail};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    facts::{Facts, Origin, ReplicaState},
    output::{Cell, Page, Style, Table, Verdict, many, span},
};
use crate::{
    report::{
        replica::Replica,
        version::{self, Versions},
    },
    resource::{ObjectKey, ResourceSet},
};

#[derive(Args, Debug)]
pub(super) struct Sync {}

/// A replica.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    namespace: String,
    name: String,
    state: &'static str,
    version: String,
    digest: String,
    /// Watches in which it has missed something.
    behind: BTreeSet<String>,
    /// Seconds since the Lease was renewed.
    renewed_seconds: Option<i64>,
}

impl Sync {
    pub(super) fn page(&self, facts: &Facts, now: Timestamp) -> Result<Page> {
        let Self {} = self;
        let Some(replicas) = &facts.replicas else {
            match facts.origin {
                Origin::Folder => bail!("a folder has no replicas: ask a cluster, without -f"),
                Origin::Replica => {
                    bail!("one replica knows nothing of the others: ask the cluster")
                }
                Origin::Cluster => bail!("the Leases of the replicas could not be read"),
            }
        };
        let now = now.as_second();
        let alive = || replicas.iter().filter(move |replica| replica.is_alive(now));
        let says: Vec<_> = alive()
            .filter_map(|replica| replica.says.as_ref())
            .collect();
        let marks = facts
            .compiled()
            .map_or_else(|_| Vec::new(), |own| marks(&own.set));
        let rows: Vec<_> = replicas
            .iter()
            .map(|replica| row(replica, (&says, &marks), now))
            .collect();
        let mut table = Table::new(&["REPLICA", "STATE", "VERSION", "DIGEST", "RENEWED", "BEHIND"]);
        for row in &rows {
            let style = if row.state == "Ready" {
                Style::Good
            } else {
                Style::Bad
            };
            table.push([
                format!("{}/{}", row.namespace, row.name).into(),
                Cell::new(row.state, style),
                (&*row.version).into(),
                row.digest.get(..8).unwrap_or(&row.digest).into(),
                row.renewed_seconds
                    .map_or_else(String::new, |seconds| format!("{} ago", span(seconds)))
                    .into(),
                { row.behind.iter() }
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
                    .into(),
            ]);
        }
        let wrong = rows
            .iter()
            .any(|row| row.state != "Ready" || !row.behind.is_empty());
        let text = if rows.is_empty() {
            "No replica has a Lease.".to_owned()
        } else {
            let ready = rows.iter().filter(|row| row.state == "Ready").count();
            let divided = divided(alive());
            let divided = if divided {
                "; equal objects, different graphs"
            } else {
                ""
            };
            format!("{}: {ready} ready{divided}", many(rows.len(), "replica"))
        };
        let verdict = Verdict::problems_if(rows.is_empty() || wrong || divided(alive()));
        Ok(Page::list(&rows, table, verdict)
            .with_names(
                replicas
                    .iter()
                    .map(|replica| format!("pod/{}", replica.name)),
            )
            .with_text(text))
    }
}

fn row(
    replica: &ReplicaState,
    (alive, marks): (&[&Replica], &[(ObjectKey, Arc<str>)]),
    now: i64,
) -> Row {
    let says = replica.says.clone().unwrap_or_default();
    let behind = match missed(&says, marks) {
        none if none.is_empty() => overtaken(&says, alive),
        missed => missed,
    };
    Row {
        namespace: replica.namespace.clone(),
        name: replica.name.clone(),
        state: match (replica.is_alive(now), &replica.says) {
            (false, _) => "Gone",
            (true, None) => "Unreadable",
            (true, Some(says)) if says.ready => "Ready",
            (true, Some(_)) => "NotReady",
        },
        behind: behind.into_iter().map(ToOwned::to_owned).collect(),
        version: says.build,
        digest: says.digest,
        renewed_seconds: replica.renewed.map(|renewed| now - renewed),
    }
}

/// The versions of all objects that have one.
fn marks(set: &ResourceSet) -> Vec<(ObjectKey, Arc<str>)> {
    let versions = set.objects().map(|object| {
        let version = Arc::clone(&object.meta().resource_version);
        (object.key().clone(), version)
    });
    versions
        .filter(|(_, version)| !version.is_empty())
        .collect()
}

/// The watches in which a replica has not come as far as an object that is there.
fn missed<'r>(says: &'r Replica, marks: &[(ObjectKey, Arc<str>)]) -> BTreeSet<&'r str> {
    let missed = marks.iter().filter(|(key, mark)| {
        version::of(&says.versions, key).is_some_and(|reached| !version::has_reached(reached, mark))
    });
    missed
        .filter_map(|(key, _)| Some(&**version::watch_of(&says.versions, key)?))
        .collect()
}

/// The watches in which another replica has come further, and serves something else. Without the latter it tells nothing: a
/// list of a quiet kind is at a version that no older watch has to hear of.
fn overtaken<'r>(says: &'r Replica, alive: &[&Replica]) -> BTreeSet<&'r str> {
    let differ = |other: &&&Replica| other.build == says.build && other.digest != says.digest;
    let others: Vec<_> = alive.iter().filter(differ).collect();
    let is_behind = |watch: &str, reached: &str| {
        let marks = others.iter().filter_map(|other| other.versions.get(watch));
        { marks }.any(|mark| !version::has_reached(reached, mark))
    };
    let watches = says.versions.iter();
    watches
        .filter(|(watch, reached)| is_behind(watch, reached))
        .map(|(watch, _)| &**watch)
        .collect()
}

/// Whether replicas of one build that have read the same objects serve different graphs: a bug.
fn divided<'r>(replicas: impl Iterator<Item = &'r ReplicaState>) -> bool {
    let mut digests: BTreeMap<(&str, &Versions), &str> = BTreeMap::new();
    replicas
        .filter_map(|replica| replica.says.as_ref())
        .filter(|says| says.ready && !says.digest.is_empty())
        .any(|says| {
            let same = digests.entry((&says.build, &says.versions));
            *same.or_insert(&says.digest) != says.digest
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Group, Kind};

    fn replica(name: &str, version: &str, digest: &str) -> ReplicaState {
        ReplicaState {
            namespace: "postern".to_owned(),
            name: name.to_owned(),
            says: Some(Replica {
                build: "0.1.0".to_owned(),
                ready: true,
                digest: digest.to_owned(),
                versions: [("mappings.postern.dev".into(), version.into())].into(),
            }),
            renewed: Some(100),
            expires_after: 30,
        }
    }

    #[test]
    fn a_replica_is_behind_where_it_has_missed_something() {
        let key = ObjectKey::new(Group::Postern, Kind::Mapping, "apps", "quote");
        let watch = "mappings.postern.dev";
        // How far it has come, what it serves, the version of the object that is there, and whether it is behind another one.
        for (reached, digest, object, expected) in [
            ("9", "x", "9", false),
            ("9", "x", "10", true),
            ("12", "x", "12", false),
            ("9", "y", "9", true),
            ("12", "y", "9", false),
        ] {
            let all = [replica("a", "12", "x"), replica("b", reached, digest)];
            let says: Vec<_> = all
                .iter()
                .filter_map(|replica| replica.says.as_ref())
                .collect();
            let marks = [(key.clone(), object.into())];
            let row = row(&all[1], (&says, &marks), 110);
            let behind = row.behind.iter().any(|found| found == watch);
            assert_eq!(behind, expected, "{reached} {digest} {object}");
        }
        assert_eq!(row(&replica("a", "1", "x"), (&[], &[]), 131).state, "Gone");
    }

    #[test]
    fn equal_objects_must_give_equal_graphs() {
        for (other, wrong) in [
            (replica("b", "12", "x"), false),
            (replica("b", "13", "y"), false),
            (replica("b", "12", "y"), true),
        ] {
            let all = [replica("a", "12", "x"), other];
            assert_eq!(divided(all.iter()), wrong, "{all:?}");
        }
    }
}
