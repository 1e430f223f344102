//! `check`: whether the installation is sound.

mod schema;
mod upgrade;

use anyhow::{Result, bail};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Console,
    args::Common,
    facts::{Facts, Origin},
    output::{Cell, Page, Style, Table, Verdict},
    source::cluster::{self, Connection},
    state::State,
};

const EXAMPLES: &str = "\
Examples:
  kubectl postern check                            the installation as it runs
  kubectl postern check --pre-upgrade              with the program of the new version: what the upgrade would change
  kubectl postern check --pre-upgrade --from-replica=postern/postern-7c9f-2xk4q";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// Also what would change if the replicas were of the version of this program: versions, CustomResourceDefinitions, and the objects of the cluster, compiled here and by a running replica
    #[arg(long)]
    pub(super) pre_upgrade: bool,
}

/// One thing that must hold.
#[derive(Debug, Serialize)]
struct Row {
    check: &'static str,
    result: Outcome,
    what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Outcome {
    Ok,
    Unknown,
    Failed,
}

impl Check {
    pub(super) fn page(facts: &Facts, now: Timestamp) -> Page {
        page(&rows(facts, now))
    }

    /// The same, and what an upgrade to the version of this program would change.
    pub(super) async fn before_upgrade(
        &self,
        common: &Common,
        console: &mut Console<'_>,
    ) -> Result<Page> {
        if !common.files.is_empty() {
            bail!(
                "an upgrade is of what runs in a cluster, so `--pre-upgrade` needs one: leave -f out"
            );
        }
        let connection = Connection::open(common).await?;
        let facts = cluster::load(&common.of_cluster(), &connection).await?;
        facts.complain(console)?;
        let mut rows = rows(&facts, console.now);
        let difference = upgrade::check(common, &connection, &facts, console.now, &mut rows).await;
        let lines = difference.map(|difference| difference.lines());
        let page = page(&rows);
        Ok(match lines {
            Some(lines) => page.with_text(lines.join("\n")),
            None => page,
        })
    }
}

fn rows(facts: &Facts, now: Timestamp) -> Vec<Row> {
    let mut rows = Vec::new();
    if facts.origin == Origin::Cluster {
        rows.push(kinds(facts));
        rows.push(permissions(facts));
        rows.push(replicas(facts, now));
    }
    rows.push(listeners(facts));
    rows.push(instance(facts));
    rows
}

fn page(rows: &[Row]) -> Page {
    let mut table = Table::new(&["CHECK", "RESULT", "WHAT"]);
    for row in rows {
        let cell = match row.result {
            Outcome::Ok => Cell::new("ok", Style::Good),
            Outcome::Unknown => Cell::new("unknown", Style::Warn),
            Outcome::Failed => Cell::new("failed", Style::Bad),
        };
        table.push([row.check.into(), cell, (&*row.what).into()]);
    }
    let has = |outcome| rows.iter().any(|row| row.result == outcome);
    let verdict = if has(Outcome::Failed) {
        Verdict::Problems
    } else if has(Outcome::Unknown) {
        Verdict::Unknown
    } else {
        Verdict::Clean
    };
    Page::list(rows, table, verdict)
}

fn kinds(facts: &Facts) -> Row {
    let missing = facts.missing_kinds.join(", ");
    Row {
        check: "crds",
        result: if missing.is_empty() {
            Outcome::Ok
        } else {
            Outcome::Failed
        },
        what: if missing.is_empty() {
            "every kind of postern.dev is installed".to_owned()
        } else {
            format!("{missing} are not installed: apply them with `kubectl apply -f crds/`")
        },
    }
}

fn permissions(facts: &Facts) -> Row {
    let unread: Vec<_> = facts
        .unread
        .iter()
        .map(|unread| &*unread.resource)
        .collect();
    Row {
        check: "permissions",
        result: if unread.is_empty() {
            Outcome::Ok
        } else {
            Outcome::Unknown
        },
        what: if unread.is_empty() {
            "everything that Postern reads can be read".to_owned()
        } else {
            format!("could not be read everywhere: {}", unread.join(", "))
        },
    }
}

fn replicas(facts: &Facts, now: Timestamp) -> Row {
    let check = "replicas";
    let Some(replicas) = &facts.replicas else {
        return Row {
            check,
            result: Outcome::Unknown,
            what: "the Leases of the replicas could not be read".to_owned(),
        };
    };
    let now = now.as_second();
    let ready = replicas
        .iter()
        .filter(|r| r.is_alive(now) && r.is_ready())
        .count();
    let fine = ready > 0 && ready == replicas.len();
    Row {
        check,
        result: if fine { Outcome::Ok } else { Outcome::Failed },
        what: format!("{ready} of {} are ready: see `sync`", replicas.len()),
    }
}

fn listeners(facts: &Facts) -> Row {
    let listeners = &facts.graph.listeners;
    let ports: Vec<_> = listeners
        .iter()
        .map(|listener| format!("{} ({})", listener.port, listener.name))
        .collect();
    Row {
        check: "listeners",
        result: if ports.is_empty() {
            Outcome::Failed
        } else {
            Outcome::Ok
        },
        what: if ports.is_empty() {
            "no Listener is served, so nothing is".to_owned()
        } else {
            ports.join(", ")
        },
    }
}

/// Objects that settle something for everybody.
fn instance(facts: &Facts) -> Row {
    let settles = |kind: &str| !matches!(kind, "Mapping" | "Host" | "TLSContext" | "TCPMapping");
    let own = facts
        .objects
        .iter()
        .filter(|known| settles(&known.view.kind));
    let broken: Vec<_> = own
        .filter(|known| State::of(known, facts).is_problem())
        .map(|known| known.view.title())
        .collect();
    Row {
        check: "settings",
        result: if broken.is_empty() {
            Outcome::Ok
        } else {
            Outcome::Failed
        },
        what: if broken.is_empty() {
            "the objects that settle something for everybody have no errors".to_owned()
        } else {
            format!("{} have errors: see `status -A`", broken.join(", "))
        },
    }
}
