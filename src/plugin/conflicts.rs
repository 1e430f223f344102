//! `conflicts`: who lost to whom, by which rule.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::{
    facts::{Facts, Known, Scope},
    output::{Page, Table, Verdict, many},
    place::kubectl_name,
    said::DECIDING,
};
use crate::report::{Code, wire::DiagnosticView};

const COLUMNS: &str = "\
Columns:
  OBJECT    who does not get what it asks for, or not all of it
  ASKS FOR  the hostname and path, or the port, that it asks for
  RULE      the code of the rule that decided: see `kubectl postern explain PSTnnnn`
  WHY       to whom it belongs, or who takes it

An object with an error (PST2007, PST2012 ...) gets no request; one with a warning (PST2013, PST2017, PST2018) serves the
rest.";

#[derive(Args, Debug)]
#[command(after_help = COLUMNS)]
pub(super) struct Conflicts {}

/// Codes that say that one object stands in the way of another.
const CONFLICTS: &[Code] = &[
    Code::DuplicateObject,
    Code::DuplicateSettings,
    Code::Conflict,
    Code::GroupMismatch,
    Code::Unclaimed,
    Code::ClaimedByOthers,
    Code::PartlyClaimed,
    Code::ClaimConflict,
    Code::PartlyConflict,
    Code::LosesRequests,
    Code::TlsGoesElsewhere,
    Code::HostConflict,
    Code::PortConflict,
];

/// What one object lost.
#[derive(Debug, Serialize)]
struct Row<'f> {
    object: String,
    asks: String,
    because: &'f DiagnosticView,
}

impl Conflicts {
    pub(super) fn page(&self, facts: &Facts, scope: &Scope) -> Page {
        let Self {} = self;
        let found: Vec<_> = { facts.in_scope(scope) }
            .flat_map(|known| {
                known
                    .view
                    .diagnostics
                    .iter()
                    .map(move |found| (known, found))
            })
            .filter(|(_, found)| is_conflict(found))
            .collect();
        let rows: Vec<_> = found
            .iter()
            .map(|(known, because)| row(known, because))
            .collect();
        let mut table = Table::new(&["OBJECT", "ASKS FOR", "RULE", "WHY"]);
        for row in &rows {
            table.push([
                (&*row.object).into(),
                (&*row.asks).into(),
                format!("{} {}", row.because.code, row.because.reason).into(),
                (&*row.because.message).into(),
            ]);
        }
        let names = found
            .iter()
            .map(|(known, _)| kubectl_name(&known.view.group, &known.view.kind, &known.view.name));
        let names: Vec<_> = names.collect();
        let mut text = match rows.len() {
            0 => "No conflicts.".to_owned(),
            count => many(count, "conflict"),
        };
        for (next, objects) in steps(&rows) {
            let objects = objects.join(", ");
            let _infallible = write!(text, "\n    {objects}: {next}");
        }
        let verdict = Verdict::problems_if(rows.iter().any(|row| row.because.is_error()));
        Page::list(&rows, table, verdict)
            .with_names(names)
            .with_text(text)
            .with_doubt(facts.hidden(DECIDING))
    }
}

/// What to do, and for which objects.
fn steps<'r>(rows: &'r [Row<'_>]) -> Vec<(&'r str, Vec<&'r str>)> {
    let mut steps: Vec<(&str, Vec<&str>)> = Vec::new();
    for Row {
        object, because, ..
    } in rows
    {
        let next = because.next.trim_end_matches('.');
        match steps.iter_mut().find(|(known, _)| *known == next) {
            Some((_, objects)) => objects.push(object),
            None => steps.push((next, vec![object])),
        }
    }
    steps
}

pub(super) fn is_conflict(found: &DiagnosticView) -> bool {
    CONFLICTS.iter().any(|code| code.to_string() == found.code)
}

fn row<'f>(known: &Known, because: &'f DiagnosticView) -> Row<'f> {
    let asks = known.view.asks.as_ref();
    Row {
        object: known.view.title(),
        asks: asks.map_or_else(
            || known.view.serves.join(", "),
            |asks| format!("{}{}", asks.hostname, asks.path),
        ),
        because,
    }
}
