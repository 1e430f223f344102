//! `sync`: which replica has come how far.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Result, bail};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    args::Common,
    facts::{Facts, Origin, ReplicaState},
    output::{Cell, Page, Style, Table, Verdict, many, span},
    source::cluster,
};
use crate::{
    report::{
        replica::{Replica, WORTH_A_WARNING},
        version::{self, Versions},
    },
    resource::{ObjectKey, ResourceSet},
};

const COLUMNS: &str = "\
Columns:
  DIGEST   of the graph in use: equal for replicas of one version that have read the same
  APPLIED  when that graph was made; RENEWED when the replica last said so in its Lease
  BEHIND   the watch in which it has not heard of what is there, of how many objects, and since when, as the leader says

Nobody is called behind before five seconds have passed: if one seems to be, the Leases are read again then.";

#[derive(Args, Debug)]
#[command(after_help = COLUMNS)]
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
    behind: Vec<Stalled>,
    /// Seconds since the graph in use was made.
    applied_seconds: Option<i64>,
    /// Seconds since the Lease was renewed.
    renewed_seconds: Option<i64>,
}

/// A watch that has not come as far as others.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stalled {
    watch: String,
    /// Those that are there in a newer version; 0 where only other replicas tell.
    objects: usize,
    /// For how long, by the leader.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<i64>,
}

/// Reads the Leases again where a replica seems to be behind, after as long as it would take to be worth a warning: what it
/// has caught up with by then is nothing to tell.
pub(super) async fn settle(facts: &mut Facts, common: &Common) -> Result<()> {
    let now = Timestamp::now().as_second();
    if facts.origin != Origin::Cluster || !rows(facts, now).iter().any(Row::is_news) {
        return Ok(());
    }
    tokio::time::sleep(WORTH_A_WARNING).await;
    facts.replicas = cluster::replicas(common).await?;
    Ok(())
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
        let rows = rows(facts, now);
        let mut table = Table::new(&[
            "REPLICA", "STATE", "VERSION", "DIGEST", "APPLIED", "RENEWED", "BEHIND",
        ]);
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
                ago(row.applied_seconds).into(),
                ago(row.renewed_seconds).into(),
                { row.behind.iter() }
                    .map(ToString::to_string)
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

fn ago(seconds: Option<i64>) -> String {
    seconds.map_or_else(String::new, |seconds| format!("{} ago", span(seconds)))
}

/// One for each replica.
fn rows(facts: &Facts, now: i64) -> Vec<Row> {
    let replicas = facts.replicas.as_deref().unwrap_or_default();
    let alive = replicas.iter().filter(|replica| replica.is_alive(now));
    let alive: Vec<_> = alive.filter_map(|replica| replica.says.as_ref()).collect();
    let marks = facts
        .compiled()
        .map_or_else(|_| Vec::new(), |own| marks(&own.set));
    let rows = replicas.iter();
    rows.map(|replica| row(replica, (&alive, &marks), now))
        .collect()
}

fn row(
    replica: &ReplicaState,
    (alive, marks): (&[&Replica], &[(ObjectKey, Arc<str>)]),
    now: i64,
) -> Row {
    let says = replica.says.clone().unwrap_or_default();
    let late = alive
        .iter()
        .find_map(|other| other.behind.get(&replica.lease));
    let mut behind = missed(&says, marks);
    if behind.is_empty() {
        behind = overtaken(&says, alive);
    }
    if let (true, true, Some(late)) = (behind.is_empty(), marks.is_empty(), late) {
        // Whoever may not read the objects is told by the leader.
        behind.insert(&late.watch, 0);
    }
    let behind = behind.into_iter().map(|(watch, objects)| Stalled {
        watch: watch.to_owned(),
        objects,
        seconds: late.map(|late| now - late.since),
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
        behind: behind.collect(),
        version: says.build,
        digest: says.digest,
        applied_seconds: says.applied.map(|applied| now - applied),
        renewed_seconds: replica.renewed.map(|renewed| now - renewed),
    }
}

impl Row {
    /// Whether it seems to be behind, and nobody has said for how long.
    fn is_news(&self) -> bool {
        self.behind.iter().any(|stalled| stalled.seconds.is_none())
    }
}

impl std::fmt::Display for Stalled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.watch)?;
        if self.objects > 0 {
            write!(f, ": {}", many(self.objects, "object"))?;
        }
        match self.seconds {
            Some(seconds) => write!(f, " for {}", span(seconds)),
            None => write!(f, " for more than {}s", WORTH_A_WARNING.as_secs()),
        }
    }
}

/// The versions of all objects that have one.
fn marks(set: &ResourceSet) -> Vec<(ObjectKey, Arc<str>)> {
    let versions = set.objects().map(|object| {
        let version = Arc::clone(&object.meta().revision.resource_version);
        (object.key().clone(), version)
    });
    versions
        .filter(|(_, version)| !version.is_empty())
        .collect()
}

/// The watches in which a replica has not come as far as objects that are there, and how many these are.
fn missed<'r>(says: &'r Replica, marks: &[(ObjectKey, Arc<str>)]) -> BTreeMap<&'r str, usize> {
    let mut missed = BTreeMap::new();
    for (key, mark) in marks {
        let Some(watch) = version::watch_of(&says.versions, key) else {
            continue;
        };
        let reached = says.versions.get(watch);
        if reached.is_some_and(|reached| !version::has_reached(reached, mark)) {
            *missed.entry(&**watch).or_default() += 1;
        }
    }
    missed
}

/// The watches in which another replica has come further, and serves something else. Without the latter it tells nothing: a
/// list of a quiet kind is at a version that no older watch has to hear of.
fn overtaken<'r>(says: &'r Replica, alive: &[&Replica]) -> BTreeMap<&'r str, usize> {
    let differ = |other: &&&Replica| other.build == says.build && other.digest != says.digest;
    let others: Vec<_> = alive.iter().filter(differ).collect();
    let is_behind = |watch: &str, reached: &str| {
        let marks = others.iter().filter_map(|other| other.versions.get(watch));
        { marks }.any(|mark| !version::has_reached(reached, mark))
    };
    let watches = says.versions.iter();
    watches
        .filter(|(watch, reached)| is_behind(watch, reached))
        .map(|(watch, _)| (&**watch, 0))
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
mod tests;
