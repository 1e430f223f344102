//! `status`: what is live, what is not, and why.

use std::{collections::BTreeMap, fmt::Write as _};

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    facts::{Facts, Known, Live, Scope},
    kinds::is_kind,
    output::{Cell, Page, Style, Table, Verdict, many, span},
    place::kubectl_name,
    state::{State, doubt, unruled},
};
use crate::report::wire::DiagnosticView;

const EXAMPLES: &str = "\
Examples:
  kubectl postern status                     the objects of your namespace
  kubectl postern status -A                  those of all namespaces
  kubectl postern status mapping/cart        one object, with all there is to say about it
  kubectl postern status -f deploy/          what would become of the manifests of a folder

States:
  Live      it serves what it says
  Pending   not every replica has come that far
  Idle      nothing is wrong with it, and no request reaches it
  Unknown   something that decides about it may not be read
  Degraded  a part of it answers with an error, or is not honoured
  Refused   it is not accepted, and serves nothing

LIVE is how many of the replicas that are ready serve it as it is now, and its generation. `-o wide` shows the field and the
next step; `kubectl postern explain PSTnnnn` what a code means.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Status {
    /// Only the objects of this name: `cart`, `mapping/cart`, `mp/cart`
    #[arg(value_name = "[KIND/]NAME")]
    pub(super) object: Option<String>,

    /// Print it again whenever it changes, until interrupted
    #[arg(long, short)]
    pub(super) watch: bool,
}

/// One object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'f> {
    group: &'f str,
    kind: &'f str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'f str,
    name: &'f str,
    state: State,
    /// Where it serves, or what it asks for and does not get.
    places: Vec<String>,
    generation: i64,
    origin: &'f str,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Live>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    problems: &'f [DiagnosticView],
    /// Why it cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown: Option<String>,
}

impl Status {
    pub(super) fn page(&self, facts: &Facts, scope: &Scope, now: Timestamp) -> Page {
        let mut known: Vec<&Known> = facts
            .in_scope(scope)
            .filter(|known| self.includes(known))
            .collect();
        known.sort_by_key(|known| {
            let view = &known.view;
            (&view.namespace, &view.kind, &view.name, &view.group)
        });
        let rows: Vec<_> = known.iter().map(|known| row(known, facts)).collect();
        if rows.is_empty() {
            let what = self.object.as_deref();
            let what = what.map_or("no objects of Postern".to_owned(), |name| {
                format!("no object called {name}")
            });
            let place = match &scope.namespace {
                Some(namespace) => format!(" in namespace {namespace}"),
                None => String::new(),
            };
            let verdict = if self.object.is_some() {
                Verdict::Unknown
            } else {
                Verdict::Clean
            };
            let near = self.object.as_deref().and_then(|name| nearest(name, facts));
            let near = near.map_or_else(String::new, |near| format!(" Did you mean {near}?"));
            let page = Page::list(&rows, Table::default(), verdict);
            return page.with_text(format!("There is {what}{place}.{near}"));
        }
        let verdict = verdict(&rows, facts);
        let table = table(&rows, &known, scope, now);
        let names = rows
            .iter()
            .map(|row| kubectl_name(row.group, row.kind, row.name));
        let page = Page::list(&rows, table, verdict).with_names(names.collect::<Vec<_>>());
        let page = match &self.object {
            Some(_) => page.with_text(details(&rows)),
            None => page,
        };
        page.with_text(summary(&rows, facts, now))
    }

    fn includes(&self, known: &Known) -> bool {
        let Some(wanted) = self.object.as_deref() else {
            return true;
        };
        let (kind, name) = match wanted.split_once('/') {
            Some((kind, name)) => (Some(kind), name),
            None => (None, wanted),
        };
        let view = &known.view;
        view.name == name && kind.is_none_or(|kind| is_kind(kind, &view.group, &view.kind))
    }
}

/// The object whose name is like this one, or is this one in another namespace.
fn nearest(wanted: &str, facts: &Facts) -> Option<String> {
    let name = wanted.split_once('/').map_or(wanted, |(_, name)| name);
    let distance = |known: &&Known| strsim::damerau_levenshtein(&known.view.name, name);
    let near = facts.objects.iter().filter(|known| distance(known) <= 2);
    let near = near.min_by_key(|known| (distance(known), known.view.title()))?;
    Some(near.view.title())
}

fn row<'f>(known: &'f Known, facts: &Facts) -> Row<'f> {
    let view = &known.view;
    let state = State::of(known, facts);
    let asked = view
        .asks
        .iter()
        .filter(|_| !view.in_graph)
        .map(|asks| format!("{}{}", asks.hostname, asks.path));
    let created = view.created.and_then(|at| Timestamp::from_second(at).ok());
    let doubts = view
        .diagnostics
        .iter()
        .find_map(|found| doubt(facts, known, found));
    Row {
        group: &view.group,
        kind: &view.kind,
        namespace: &view.namespace,
        name: &view.name,
        state,
        places: view.serves.iter().cloned().chain(asked).collect(),
        generation: view.generation,
        origin: &view.origin,
        // Nobody serves what is refused.
        live: known.live.filter(|_| state != State::Refused),
        created: created.map(|at| at.to_string()),
        problems: &view.diagnostics,
        unknown: { doubts.or_else(|| unruled(known, facts)) }.filter(|_| state == State::Unknown),
    }
}

fn verdict(rows: &[Row<'_>], facts: &Facts) -> Verdict {
    let files = facts.files.iter().any(|file| file.diagnostic.is_error());
    if files || rows.iter().any(|row| row.state.is_problem()) {
        Verdict::Problems
    } else if rows.iter().any(|row| row.state == State::Unknown) {
        Verdict::Unknown
    } else {
        Verdict::Clean
    }
}

fn table(rows: &[Row<'_>], known: &[&Known], scope: &Scope, now: Timestamp) -> Table {
    let mut table = Table::new(&[
        "NAMESPACE",
        "NAME",
        "KIND",
        "HOST",
        "PATH",
        "STATE",
        "LIVE",
        "AGE",
        "REASON",
        "<FIELD>",
        "<NEXT>",
        "<FROM>",
    ]);
    for (row, known) in rows.iter().zip(known) {
        let (host, path) = place(row);
        // What makes the state before what only comes with it.
        let problem = row.problems.iter().min_by_key(|p| p.severity != "error");
        let reason = match (&row.unknown, problem) {
            (Some(why), _) => why.clone(),
            (None, Some(problem)) => format!("{} {}", problem.code, problem.message),
            (None, None) => String::new(),
        };
        let age = known
            .view
            .created
            .map(|created| span(now.as_second() - created));
        let live = row
            .live
            .map(|live| format!("{}/{} g{}", live.reached, live.of, row.generation));
        let group = if row.group == "getambassador.io" {
            ".getambassador.io"
        } else {
            ""
        };
        table.push([
            if scope.is_wide() {
                row.namespace.into()
            } else {
                Cell::default()
            },
            row.name.into(),
            format!("{}{group}", row.kind).into(),
            host.into(),
            path.into(),
            row.state.cell(),
            live.unwrap_or_default().into(),
            age.unwrap_or_default().into(),
            reason.into(),
            problem.map_or("", |problem| &*problem.field).into(),
            problem.map_or("", |problem| &*problem.next).into(),
            Cell::new(row.origin, Style::Dim),
        ]);
    }
    table
}

/// The first place, in two columns, and how many more there are. A port says less than a hostname that is beside it.
fn place(row: &Row<'_>) -> (String, String) {
    let is_port = |place: &&String| place.starts_with(':');
    let Some(first) = row.places.iter().min_by_key(is_port) else {
        return (String::new(), String::new());
    };
    let (host, path) = split(first);
    let more = match row.places.len() {
        1 => String::new(),
        count => format!(" (+{})", count - 1),
    };
    (
        host.to_owned(),
        format!("{path}{more}").trim_start().to_owned(),
    )
}

/// `example.com/api/` at the slash; a regular expression for the path begins with `~`.
pub(super) fn split(place: &str) -> (&str, &str) {
    let regex = place
        .get(1..)
        .and_then(|rest| rest.find('~'))
        .map(|at| at + 1);
    match regex.into_iter().chain(place.find('/')).min() {
        Some(at) => place.split_at(at),
        None => (place, ""),
    }
}

/// Everything there is to say about the objects, as `lint` says it.
fn details(rows: &[Row<'_>]) -> String {
    let mut text = String::new();
    for problem in rows.iter().flat_map(|row| row.problems) {
        let at = if problem.field.is_empty() {
            String::new()
        } else {
            format!(" {}", problem.field)
        };
        let _infallible = write!(
            text,
            "{} {}{at}: {}\n    {}\n",
            problem.severity, problem.code, problem.message, problem.next
        );
    }
    text
}

/// `5 objects: 1 live, 1 degraded, 3 refused`, and how the replicas are.
fn summary(rows: &[Row<'_>], facts: &Facts, now: Timestamp) -> String {
    let mut counts: BTreeMap<State, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.state).or_default() += 1;
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|(state, count)| format!("{count} {}", state.name().to_lowercase()))
        .collect();
    let mut text = format!("{}: {}", many(rows.len(), "object"), counts.join(", "));
    if let Some(replicas) = &facts.replicas {
        let now = now.as_second();
        let ready = replicas.iter().filter(|r| r.is_alive(now) && r.is_ready());
        let ready = ready.count();
        let _infallible = write!(text, "     replicas {ready}/{} ready", replicas.len());
    }
    let broken = facts.files.len();
    if broken > 0 {
        let _infallible = write!(
            text,
            "     {} in files: see `lint`",
            many(broken, "problem")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn a_place_is_a_hostname_and_a_path() {
        for (place, host, path) in [
            ("example.com/a/", "example.com", "/a/"),
            ("*.example.com/", "*.example.com", "/"),
            ("example.com~/a/.*", "example.com", "~/a/.*"),
            ("~.*/a", "~.*", "/a"),
            (":8080", ":8080", ""),
        ] {
            assert_eq!(split(place), (host, path));
        }
    }
}
