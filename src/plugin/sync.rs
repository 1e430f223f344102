//! `sync`: which replica has come how far.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    facts::{Facts, Origin, ReplicaState},
    output::{Cell, Page, Style, Table, Verdict, many, span},
};
use crate::report::version::{self, Versions};

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
    /// Watches in which another replica has come further.
    behind: Vec<String>,
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
        let furthest = furthest(alive());
        let rows: Vec<_> = replicas
            .iter()
            .map(|replica| row(replica, &furthest, now))
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
                row.behind.join(", ").into(),
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

fn row(replica: &ReplicaState, furthest: &Versions, now: i64) -> Row {
    let says = replica.says.clone().unwrap_or_default();
    let behind = says.versions.iter().filter(|(watch, reached)| {
        furthest
            .get(*watch)
            .is_some_and(|mark| !version::has_reached(reached, mark))
    });
    Row {
        namespace: replica.namespace.clone(),
        name: replica.name.clone(),
        state: match (replica.is_alive(now), &replica.says) {
            (false, _) => "Gone",
            (true, None) => "Unreadable",
            (true, Some(says)) if says.ready => "Ready",
            (true, Some(_)) => "NotReady",
        },
        behind: behind.map(|(watch, _)| watch.to_string()).collect(),
        version: says.build,
        digest: says.digest,
        renewed_seconds: replica.renewed.map(|renewed| now - renewed),
    }
}

/// By watch, how far any of them has come.
fn furthest<'r>(replicas: impl Iterator<Item = &'r ReplicaState>) -> Versions {
    let mut furthest = Versions::new();
    for says in replicas.filter_map(|replica| replica.says.as_ref()) {
        for (watch, reached) in &says.versions {
            let mark = furthest
                .entry(watch.clone())
                .or_insert_with(|| reached.clone());
            if version::has_reached(reached, mark) {
                mark.clone_from(reached);
            }
        }
    }
    furthest
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
    use crate::report::replica::Replica;

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
    fn a_replica_is_behind_in_the_watches_in_which_another_is_further() {
        let all = [replica("a", "12", "x"), replica("b", "9", "y")];
        let furthest = furthest(all.iter());
        assert_eq!(row(&all[0], &furthest, 110).behind, Vec::<String>::new());
        assert_eq!(
            row(&all[1], &furthest, 110).behind,
            ["mappings.postern.dev"]
        );
        assert_eq!(row(&all[1], &furthest, 131).state, "Gone");
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
