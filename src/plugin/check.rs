//! `check`: whether the installation is sound.

pub(super) mod catalogue;
mod claims;
mod cluster;
mod mesh;
mod pods;
mod schema;
mod service;
mod upgrade;

use anyhow::{Result, bail};
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    Console,
    args::Common,
    facts::{Facts, Origin},
    output::{Cell, Page, Style, Table, Verdict, many},
    source::cluster::{self as source, Connection},
    state::State,
};
use crate::graph::certificate::CertificateView;

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
    code: &'static str,
    check: &'static str,
    result: Outcome,
    what: String,
    /// What to do about it; empty where nothing is.
    remedy: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Outcome {
    Ok,
    /// It works; with less of what an installation can have.
    Advice,
    Unknown,
    Failed,
}

/// What a look at something comes to, in words.
type Finding = (Outcome, String);

// === impl Row ===

impl Row {
    fn new(check: &'static str, (result, what): Finding) -> Self {
        let about = catalogue::of(check);
        Self {
            code: about.code,
            check,
            result,
            what,
            remedy: match result {
                Outcome::Ok => "",
                _ => about.remedy,
            },
        }
    }
}

fn ok(what: impl Into<String>) -> Finding {
    (Outcome::Ok, what.into())
}

fn failed(what: impl Into<String>) -> Finding {
    (Outcome::Failed, what.into())
}

fn advice(what: impl Into<String>) -> Finding {
    (Outcome::Advice, what.into())
}

fn unknown(what: impl Into<String>) -> Finding {
    (Outcome::Unknown, what.into())
}

impl Check {
    pub(super) fn page(facts: &Facts, now: Timestamp) -> Page {
        page(&rows(facts, now))
    }

    /// Of what runs in a cluster: the objects, and the pods and what leads to them.
    pub(super) async fn of_cluster(
        &self,
        common: &Common,
        console: &mut Console<'_>,
    ) -> Result<Page> {
        let connection = Connection::open(common).await?;
        let facts = source::load(&common.of_cluster(), &connection).await?;
        facts.complain(console)?;
        let mut rows = rows(&facts, console.now);
        cluster::check(&connection.client, &facts, console.now, &mut rows).await;
        Ok(page(&rows))
    }

    /// Whether it is of a cluster that can be asked for more than its objects.
    pub(super) fn asks_a_cluster(common: &Common) -> bool {
        common.files.is_empty() && common.from_address.is_none() && common.from_replica.is_none()
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
        let facts = source::load(&common.of_cluster(), &connection).await?;
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
        rows.extend(cluster::leases(facts, now));
    }
    rows.push(listeners(facts));
    rows.push(instance(facts));
    rows.push(claims::row(facts));
    rows.push(certificates(facts, now));
    rows
}

fn page(rows: &[Row]) -> Page {
    let mut table = Table::new(&["CODE", "CHECK", "RESULT", "WHAT"]);
    for row in rows {
        let cell = match row.result {
            Outcome::Ok => Cell::new("ok", Style::Good),
            Outcome::Advice => Cell::new("advice", Style::Warn),
            Outcome::Unknown => Cell::new("unknown", Style::Warn),
            Outcome::Failed => Cell::new("failed", Style::Bad),
        };
        let what = match row.remedy {
            "" => row.what.clone(),
            remedy => format!("{}: {remedy}", row.what),
        };
        table.push([row.code.into(), row.check.into(), cell, (&*what).into()]);
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
    let found = if missing.is_empty() {
        ok("every kind of postern.dev is installed")
    } else {
        failed(format!("{missing} are not installed"))
    };
    Row::new("crds", found)
}

fn permissions(facts: &Facts) -> Row {
    let unread: Vec<_> = { facts.unread.iter() }
        .map(|unread| &*unread.resource)
        .collect();
    let found = if unread.is_empty() {
        ok("everything that Postern reads can be read")
    } else {
        unknown(format!(
            "could not be read everywhere: {}",
            unread.join(", ")
        ))
    };
    Row::new("permissions", found)
}

fn replicas(facts: &Facts, now: Timestamp) -> Row {
    let Some(replicas) = &facts.replicas else {
        let what = "the Leases of the replicas could not be read";
        return Row::new("replicas", unknown(what));
    };
    let now = now.as_second();
    let ready = { replicas.iter() }
        .filter(|r| r.is_alive(now) && r.is_ready())
        .count();
    let what = format!("{ready} of {} are ready", replicas.len());
    let found = if ready > 0 && ready == replicas.len() {
        ok(what)
    } else {
        failed(what)
    };
    Row::new("replicas", found)
}

fn listeners(facts: &Facts) -> Row {
    let listeners = facts.graph.listeners.iter();
    let ports: Vec<_> = listeners
        .map(|listener| format!("{} ({})", listener.port, listener.name))
        .collect();
    let found = if ports.is_empty() {
        failed("no Listener is served, so nothing is")
    } else {
        ok(ports.join(", "))
    };
    Row::new("listeners", found)
}

/// Objects that settle something for everybody.
fn instance(facts: &Facts) -> Row {
    let settles = |kind: &str| {
        let others = ["Mapping", "Host", "TLSContext", "TCPMapping", "RouteClaim"];
        !others.contains(&kind)
    };
    let own = { facts.objects.iter() }.filter(|known| settles(&known.view.kind));
    let broken: Vec<_> = own
        .filter(|known| State::of(known, facts).is_problem())
        .map(|known| known.view.title())
        .collect();
    let found = if broken.is_empty() {
        ok("the objects that settle something for everybody have no errors")
    } else {
        failed(format!("{} have errors", broken.join(", ")))
    };
    Row::new("settings", found)
}

/// What is served, and how long it is good for.
fn certificates(facts: &Facts, now: Timestamp) -> Row {
    const SOON: i64 = 14 * 24 * 3600;
    let left = |certificate: &CertificateView| certificate.not_after - now.as_second();
    let names = |holds: &dyn Fn(i64) -> bool| {
        let certificates = facts.certificates.values();
        let found = certificates.filter(|certificate| holds(left(certificate)));
        let names = found.map(|certificate| certificate.names.join(", "));
        names.collect::<Vec<_>>().join("; ")
    };
    let (ended, ending) = (
        names(&|left| left <= 0),
        names(&|left| left > 0 && left < SOON),
    );
    let found = match (&*ended, &*ending) {
        ("", "") => ok(many(facts.certificates.len(), "certificate")),
        ("", ending) => advice(format!("ends within 14 days: {ending}")),
        (ended, _) => failed(format!("has ended: {ended}")),
    };
    Row::new("certificates", found)
}
