//! `why`: which rule takes a request, and why not the others.

mod connection;
mod doubt;
mod head;
mod origin;
mod outcome;
mod url;

use std::{collections::BTreeSet, fmt::Write as _, net::IpAddr};

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use self::origin::Settled;
use super::{
    backing::{self, Backing},
    facts::{Facts, Known},
    output::{Cell, Page, Style, Table, Verdict},
    place::{is_asked, object_of},
    routes::kubectl_id,
};
use crate::{
    graph::{
        Authority,
        why::{Answer, Candidate, Outcome, Question, Verdict as Rule},
        wire::TcpActionView,
    },
    report::{
        Asked, Code,
        wire::{DiagnosticView, ObjectView},
    },
};

const EXAMPLES: &str = "\
Examples:
  kubectl postern why https://shop.example.com/search?q=x -H 'x-team: beta'
  kubectl postern why http://shop.example.com/ -X POST -f deploy/
  kubectl postern why https://192.0.2.1/ --sni shop.example.com --from-replica
  kubectl postern why tcp://db.example.com:5432    the connections of TCPMappings; --sni for another name

Rules, in the order in which routes are asked:
  TAKEN     it has the request
  failed    a condition of it does not hold: method, header or query
  lost      it fits, and stands behind the one that has the request
  kept out  it serves the rest of what it asks for: this part belongs to others
  refused   it is not accepted, and would ask for the request

FROM under the policies is the object and field that settle them; `default` when nobody has. `-o wide` lists the endpoints.";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Why {
    /// The request's URL, with scheme and host; `tcp://example.com:5432` for a connection that is not HTTP
    url: String,

    /// The request's method
    #[arg(long, short = 'X', default_value = "GET")]
    method: String,

    /// A header of the request; may be given more than once
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<String>,

    /// The server name of the TLS handshake; that of the URL unless given
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,

    /// The address that the connection comes from: it decides whose forwarding headers count
    #[arg(long, value_name = "ADDRESS")]
    from: Option<IpAddr>,
}

/// The answer, with those who would have liked to have the request, and what stands behind it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'f> {
    #[serde(flatten)]
    answer: Answer,
    /// The namespaces whose routes may have the request: of the claim, or of who came first.
    owners: BTreeSet<String>,
    /// The Secret that the certificate of the handshake is from, as `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Objects that ask for it and are not among the candidates.
    refused: Vec<Loser<'f>>,
    /// Objects that serve what they ask for, but not this part of it.
    kept_out: Vec<Loser<'f>>,
    /// What is done with it, and which object says so.
    policies: Vec<Settled>,
    /// The Services that it may be sent to.
    backings: Vec<Backing>,
}

/// An object that asks for the request, and cannot have it.
#[derive(Debug, Serialize)]
struct Loser<'f> {
    object: String,
    #[serde(flatten)]
    asks: &'f Asked,
    because: &'f DiagnosticView,
}

impl Why {
    pub(super) async fn page(&self, facts: &Facts, now: Timestamp) -> Result<Page> {
        let headers = self.headers.iter().map(|header| Question::header(header));
        let question = Question {
            url: url::ascii(&self.url)?,
            method: Some(self.method.clone()),
            headers: headers.collect::<Result<_, _>>()?,
            sni: self.sni.as_deref().map(url::ascii_name).transpose()?,
            from: self.from,
        };
        let mut answer = facts.why(&question).await?;
        let backings = outcome::backings(&answer, facts);
        let policies = origin::settled(&mut answer, facts);
        let (refused, kept_out) = losers(facts, &answer);
        let told = Told {
            owners: head::owners(&answer, facts),
            secret: head::secret(&answer, facts),
            refused,
            kept_out,
            policies,
            backings,
            answer,
        };
        let down = told.backings.iter().any(Backing::is_down);
        let doubt = doubt::of(&told, facts);
        let verdict =
            Verdict::problems_if(down || (doubt.is_none() && is_problem(&told.answer.outcome)));
        let names = taken(&told.answer).map(|id| kubectl_id(id));
        let names: Vec<_> = names.collect();
        Ok(Page::new(&told, verdict)?
            .with_names(names)
            .with_text(head::text(&told, facts, now))
            .with_table(candidates(&told, facts))
            .with_text(outcome::text(&told.answer, &told.backings, facts))
            .with_table(origin::table(&told.policies))
            .with_wide_table(backing::table(&told.backings))
            .with_doubt(doubt))
    }
}

/// Whether the client gets no answer of an upstream, and no redirect.
fn is_problem(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Route { members } => members
            .iter()
            .any(|member| member.status().is_some_and(|status| status >= 400)),
        Outcome::RedirectToHttps { .. } => false,
        Outcome::Connection { members } => {
            let mut actions = members.iter().map(|member| &member.action);
            actions.any(|action| matches!(action, TcpActionView::Fail(_)))
        }
        _ => true,
    }
}

fn taken(answer: &Answer) -> impl Iterator<Item = &String> {
    let taken = answer
        .candidates
        .iter()
        .filter(|c| c.verdict == Rule::Taken);
    let of_connection = match &answer.outcome {
        Outcome::Connection { members } => &**members,
        _ => &[],
    };
    { taken.flat_map(|candidate| &candidate.objects) }
        .chain(of_connection.iter().map(|member| &member.id))
}

/// Objects that ask for this request: without a route, and with one that is not for this part of what they ask for.
fn losers<'f>(facts: &'f Facts, answer: &Answer) -> (Vec<Loser<'f>>, Vec<Loser<'f>>) {
    let (mut refused, mut kept_out) = (Vec::new(), Vec::new());
    let Ok(authority) = Authority::parse(&answer.authority) else {
        return (refused, kept_out);
    };
    let (host, port) = (authority.host(), authority.port());
    let candidates = answer.candidates.iter().flat_map(|found| &found.objects);
    let candidates = candidates.chain(taken(answer));
    let candidates: BTreeSet<_> = candidates.map(|id| object_of(id)).collect();
    for Known { view, .. } in &facts.objects {
        let Some(asks) = &view.asks else { continue };
        let object = view.title();
        let (list, because) = if view.in_graph {
            // Whether a regular expression matches is not known: such a one may have nothing to do with the request.
            let is_known = !asks.hostname.starts_with('~') && !asks.path.starts_with('~');
            let found = part_of_others(view, answer.region.as_deref());
            (&mut kept_out, found.filter(|_| is_known))
        } else {
            (&mut refused, view.first_error())
        };
        if let Some(because) = because
            && is_asked(asks, host, port, &answer.path)
            && !candidates.contains(&object)
        {
            list.push(Loser {
                object,
                asks,
                because,
            });
        }
    }
    (refused, kept_out)
}

/// What is said of the part of an object that belongs to others: to this claim, if one of the parts does.
fn part_of_others<'f>(view: &'f ObjectView, region: Option<&str>) -> Option<&'f DiagnosticView> {
    let parts = [Code::PartlyClaimed, Code::PartlyConflict].map(|code| code.to_string());
    let found = || {
        let all = view.diagnostics.iter();
        all.filter(|found| parts.contains(&found.code))
    };
    let claim = region.map(|region| format!("RouteClaim {region}"));
    let of_region = |found: &&DiagnosticView| match &claim {
        Some(claim) => found.message.contains(&**claim),
        None => false,
    };
    found().find(of_region).or_else(|| found().next())
}

fn candidates(told: &Told<'_>, facts: &Facts) -> Table {
    let mut table = Table::new(&["#", "RULE", "FROM", "HOST", "MATCH", "PATH", "WHY"]);
    let mut number = 0;
    for [rule, from, host, kind, why] in connection::candidates(&told.answer, &facts.graph) {
        number += 1;
        let number = number.to_string().into();
        table.push([number, rule, from, host, kind, Cell::default(), why]);
    }
    for candidate in &told.answer.candidates {
        let objects: Vec<_> = candidate.objects.iter().map(|id| object_of(id)).collect();
        let (word, why) = ruled(candidate);
        number += 1;
        table.push([
            number.to_string().into(),
            word,
            objects.join(", ").into(),
            (&*candidate.hostname).into(),
            candidate.path.kind().into(),
            candidate.path.to_string().into(),
            why.into(),
        ]);
    }
    let kept_out = told
        .kept_out
        .iter()
        .map(|loser| ("kept out", Style::Warn, loser));
    let refused = told
        .refused
        .iter()
        .map(|loser| ("refused", Style::Bad, loser));
    for (word, style, loser) in kept_out.chain(refused) {
        number += 1;
        table.push([
            number.to_string().into(),
            Cell::new(word, style),
            (&*loser.object).into(),
            (&*loser.asks.hostname).into(),
            kind_of(loser.asks).into(),
            (&*loser.asks.path).into(),
            format!("{} ({})", loser.because.message, loser.because.code).into(),
        ]);
    }
    table
}

/// As routes are told.
fn kind_of(asks: &Asked) -> &'static str {
    match &*asks.path {
        "" => "",
        path if path.starts_with('~') => "regex",
        _ if asks.exact => "exact",
        _ => "prefix",
    }
}

fn ruled(candidate: &Candidate) -> (Cell, String) {
    match &candidate.verdict {
        Rule::Taken => {
            let mut why = "the first that fits".to_owned();
            if !candidate.conditions.is_empty() {
                let _infallible = write!(why, ", {}", candidate.conditions);
            }
            if candidate.precedence != 0 {
                let _infallible = write!(why, ", precedence {}", candidate.precedence);
            }
            (Cell::new("TAKEN", Style::Good), why)
        }
        Rule::Failed(condition) => (
            "failed".into(),
            format!(
                "a condition does not hold ({condition}): {}",
                candidate.conditions
            ),
        ),
        Rule::Lost(lost) => ("lost".into(), lost.to_string()),
    }
}
