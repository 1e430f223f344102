//! `certs`: certificates with names, issuer and end; never keys.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    facts::{Facts, Scope},
    output::{Cell, Page, Style, Table, Verdict, many, span},
    place::Place,
};
use crate::graph::wire::TlsView;

/// As the status of a Host says it: earlier than that, what renews certificates is not late.
const SOON_SECONDS: i64 = 14 * 24 * 3600;

#[derive(Args, Debug)]
pub(super) struct Certs {
    /// Only the Hosts that serve this hostname
    #[arg(value_name = "HOST")]
    place: Option<Place>,
}

/// A Host and its certificate.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    hostname: String,
    /// `namespace/name`.
    host: String,
    names: Vec<String>,
    issuer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
    /// The code of what is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<String>,
    digest: String,
    #[serde(skip)]
    left: Option<i64>,
}

impl Certs {
    pub(super) fn page(&self, facts: &Facts, scope: &Scope, now: Timestamp) -> Page {
        let rows = self.rows(facts, scope, now);
        let mut table = Table::new(&["HOST", "FROM", "ENDS", "NAMES", "ISSUER", "<DIGEST>"]);
        for row in &rows {
            table.push([
                (&*row.hostname).into(),
                (&*row.host).into(),
                end(row),
                row.names.join(", ").into(),
                (&*row.issuer).into(),
                row.digest.get(..12).unwrap_or(&row.digest).into(),
            ]);
        }
        let text = match rows.len() {
            0 => "No Host has a certificate.".to_owned(),
            count => many(count, "certificate"),
        };
        let is_bad =
            |row: &Row| row.broken.is_some() || row.left.is_some_and(|left| left < SOON_SECONDS);
        let verdict = Verdict::problems_if(rows.iter().any(is_bad));
        Page::list(&rows, table, verdict).with_text(text)
    }

    fn rows(&self, facts: &Facts, scope: &Scope, now: Timestamp) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        let hosts = facts
            .graph
            .listeners
            .iter()
            .flat_map(|listener| &listener.hosts);
        for host in hosts {
            let namespace = host
                .id
                .split_once('/')
                .map_or("", |(namespace, _)| namespace);
            let wanted = self
                .place
                .as_ref()
                .is_none_or(|p| p.reaches_host(&host.hostname));
            let Some(tls) = host
                .tls
                .as_ref()
                .filter(|_| wanted && scope.includes(namespace))
            else {
                continue;
            };
            let (digest, broken) = match tls {
                TlsView::Certificate(digest) => (digest.clone(), None),
                TlsView::Broken(code) => (String::new(), Some(code.clone())),
            };
            let view = facts.certificates.get(&digest);
            let row = Row {
                hostname: host.hostname.clone(),
                host: host.id.clone(),
                names: view.map(|view| view.names.clone()).unwrap_or_default(),
                issuer: view.map(|view| view.issuer.clone()).unwrap_or_default(),
                not_after: view
                    .and_then(|view| Timestamp::from_second(view.not_after).ok())
                    .map(|at| at.to_string()),
                broken,
                digest,
                left: view.map(|view| view.not_after - now.as_second()),
            };
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        rows
    }
}

fn end(row: &Row) -> Cell {
    match (row.left, &row.broken) {
        (_, Some(code)) => Cell::new(format!("broken ({code})"), Style::Bad),
        (Some(left), None) if left < 0 => Cell::new(format!("{} ago", span(-left)), Style::Bad),
        (Some(left), None) if left < SOON_SECONDS => {
            Cell::new(format!("in {}", span(left)), Style::Warn)
        }
        (Some(left), None) => format!("in {}", span(left)).into(),
        (None, None) => Cell::default(),
    }
}
