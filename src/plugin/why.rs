//! `why`: which rule takes a request, and why not the others.

use std::{fmt::Write as _, net::IpAddr};

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    facts::Facts,
    output::{Cell, Page, Style, Table, Verdict, span},
    place::{is_asked, object_of},
    routes::kubectl_id,
};
use crate::{
    graph::{
        Authority,
        certificate::CertificateView,
        why::{
            Answer, Candidate, HandshakeAnswer, MemberAnswer, Outcome, Question, Verdict as Rule,
        },
        wire::{ActionView, ForwardView, TargetView},
    },
    report::wire::DiagnosticView,
};

const EXAMPLES: &str = "\
Examples:
  kubectl postern why https://shop.example.com/search?q=x -H 'x-team: beta'
  kubectl postern why http://shop.example.com/ -X POST -f deploy/
  kubectl postern why https://192.0.2.1/ --sni shop.example.com --from-replica";

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Why {
    /// The request's URL, with scheme and host
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

/// The answer, with those who would have liked to have the request.
#[derive(Debug, Serialize)]
struct Told<'f> {
    #[serde(flatten)]
    answer: Answer,
    /// Objects that ask for it and are not among the candidates.
    refused: Vec<Refused<'f>>,
}

/// An object that asks for the request, and has no route.
#[derive(Debug, Serialize)]
struct Refused<'f> {
    object: String,
    hostname: &'f str,
    path: &'f str,
    because: &'f DiagnosticView,
}

impl Why {
    pub(super) async fn page(&self, facts: &Facts, now: Timestamp) -> Result<Page> {
        let headers = self.headers.iter().map(|header| Question::header(header));
        let question = Question {
            url: self.url.clone(),
            method: Some(self.method.clone()),
            headers: headers.collect::<Result<_, _>>()?,
            sni: self.sni.clone(),
            from: self.from,
        };
        let answer = facts.why(&question).await?;
        let refused = refused(facts, &answer);
        let told = Told { answer, refused };
        let verdict = Verdict::problems_if(is_problem(&told.answer.outcome));
        let names = taken(&told.answer).map(|id| kubectl_id(id));
        let names: Vec<_> = names.collect();
        Ok(Page::new(&told, verdict)?
            .with_names(names)
            .with_text(head(&told.answer, now))
            .with_table(candidates(&told))
            .with_text(tail(&told.answer, facts)))
    }
}

/// Whether the client gets no answer of an upstream, and no redirect.
fn is_problem(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Route { members } => members
            .iter()
            .any(|member| member.status().is_some_and(|status| status >= 400)),
        Outcome::RedirectToHttps { .. } => false,
        _ => true,
    }
}

fn taken(answer: &Answer) -> impl Iterator<Item = &String> {
    let taken = answer
        .candidates
        .iter()
        .filter(|c| c.verdict == Rule::Taken);
    taken.flat_map(|candidate| &candidate.objects)
}

/// Objects without a route that ask for this request.
fn refused<'f>(facts: &'f Facts, answer: &Answer) -> Vec<Refused<'f>> {
    let Ok(authority) = Authority::parse(&answer.authority) else {
        return Vec::new();
    };
    let (host, port) = (authority.host(), authority.port());
    let asking = facts.objects.iter().filter_map(|known| {
        let asks = known.view.asks.as_ref()?;
        let because = known.view.first_error()?;
        is_asked(asks, host, port, &answer.path).then(|| Refused {
            object: known.view.title(),
            hostname: &asks.hostname,
            path: &asks.path,
            because,
        })
    });
    asking.collect()
}

/// From the connection to the region.
fn head(answer: &Answer, now: Timestamp) -> String {
    let mut text = String::new();
    let mut say = |label: &str, what: &str| {
        let _infallible = writeln!(text, "{label:<10}{what}");
    };
    say(
        "request",
        &format!("{} {}{}", answer.method, answer.authority, answer.path),
    );
    match &answer.listener {
        Some(listener) => say(
            "listener",
            &format!("{} (port {})", listener.name, listener.port),
        ),
        None => say("listener", "none takes such a connection"),
    }
    if let Some(handshake) = &answer.handshake {
        let sni = answer.sni.as_deref().unwrap_or("none");
        say("tls", &format!("SNI {sni}, {}", shaken(handshake, now)));
    }
    if let Some(host) = &answer.host {
        say("host", &format!("{} -> Host {}", host.hostname, host.id));
    }
    if let Some(entry) = &answer.entry {
        let secure = if entry.secure { "secure" } else { "insecure" };
        say("entry", &format!("{secure}: {}", entry.action));
    }
    match answer.region.as_deref() {
        None => {}
        Some("") => say("region", "no claim covers it"),
        Some(claim) => say("region", &format!("claim {claim}")),
    }
    text
}

fn shaken(handshake: &HandshakeAnswer, now: Timestamp) -> String {
    match handshake {
        HandshakeAnswer::Certificate(certificate) => {
            format!("certificate for {}", certificate_text(certificate, now))
        }
        HandshakeAnswer::UnrecognizedName => {
            "no certificate: the alert unrecognized_name".to_owned()
        }
        HandshakeAnswer::Broken(code) => {
            format!("the certificate of the Host cannot be used: an alert ({code})")
        }
    }
}

fn certificate_text(certificate: &CertificateView, now: Timestamp) -> String {
    let left = certificate.not_after - now.as_second();
    let end = if left >= 0 {
        format!("expires in {}", span(left))
    } else {
        format!("expired {} ago", span(-left))
    };
    format!("{} ({end})", certificate.names.join(", "))
}

fn candidates(told: &Told<'_>) -> Table {
    let mut table = Table::new(&["#", "RULE", "FROM", "HOST", "MATCH", "PATH", "WHY"]);
    let mut number = 0;
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
    for refused in &told.refused {
        number += 1;
        table.push([
            number.to_string().into(),
            Cell::new("refused", Style::Bad),
            (&*refused.object).into(),
            refused.hostname.into(),
            Cell::default(),
            refused.path.into(),
            format!("{} ({})", refused.because.message, refused.because.code).into(),
        ]);
    }
    table
}

fn ruled(candidate: &Candidate) -> (Cell, String) {
    match &candidate.verdict {
        Rule::Taken => {
            let mut why = format!("precedence {}", candidate.precedence);
            if !candidate.conditions.is_empty() {
                let _infallible = write!(why, ", {}", candidate.conditions);
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

/// What is done with the request.
fn tail(answer: &Answer, facts: &Facts) -> String {
    let mut text = String::new();
    match &answer.outcome {
        Outcome::Route { members } | Outcome::NoShare { members } => {
            for member in members {
                text.push_str(&to(member, members.len() > 1, facts));
            }
            if matches!(answer.outcome, Outcome::NoShare { .. }) {
                text.push_str("answer    404: no member of the route gets anything\n");
            }
        }
        other => {
            let _infallible = writeln!(text, "answer    {}", ended(other));
        }
    }
    text
}

fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::NoListener => "none: no Listener takes such a connection".to_owned(),
        Outcome::NoHandshake => "none: the TLS handshake fails".to_owned(),
        Outcome::BadRequest { why } => format!("400: {why}"),
        Outcome::Misdirected => {
            "421: the connection was made for another Host (SNI and host disagree)".to_owned()
        }
        Outcome::NoHost => "404: no Host has this name".to_owned(),
        Outcome::Rejected => "404: the Host rejects insecure requests".to_owned(),
        Outcome::RedirectToHttps { location } => format!("301 to {location}"),
        Outcome::NoRoute => "404: no route matches".to_owned(),
        Outcome::NoShare { .. } | Outcome::Route { .. } => String::new(),
    }
}

/// One member: where it sends the request, and by which policy.
fn to(member: &MemberAnswer, shares: bool, facts: &Facts) -> String {
    let share = if shares {
        format!("{}% ", member.percent)
    } else {
        String::new()
    };
    let from = object_of(&member.id);
    if let Some(why) = &member.bad_request {
        return format!("to        {share}400: {why} ({from})\n");
    }
    match &member.action {
        ActionView::Forward(forward) => {
            let place = target(member, forward);
            let policy = policy(forward);
            let path = member.path.as_deref().unwrap_or_default();
            format!("to        {share}{place}, path {path} ({from})\npolicy    {policy} ({from})\n")
        }
        ActionView::Redirect(redirect) => {
            format!(
                "answer    {share}{} to {} ({from})\n",
                redirect.status, redirect.host
            )
        }
        ActionView::Fail(code) => {
            let owner = facts
                .objects
                .iter()
                .find(|known| known.view.title() == from);
            let found = owner.and_then(|known| known.view.first_error());
            let why = found.map_or_else(String::new, |found| format!(": {}", found.message));
            format!("answer    {share}503 {code}{why} ({from})\n")
        }
    }
}

fn target(member: &MemberAnswer, forward: &ForwardView) -> String {
    let Some(upstream) = &member.upstream else {
        return forward.upstream.clone();
    };
    let tls = match &upstream.tls {
        Some(tls) if tls.verify => format!(", TLS to {}", tls.server_name),
        Some(tls) => format!(", TLS to {} (not verified)", tls.server_name),
        None => String::new(),
    };
    let place = match &upstream.target {
        TargetView::Addresses { addresses } => {
            format!("{} at {}", forward.upstream, addresses.join(", "))
        }
        TargetView::Dns { dns } => format!("{dns} by DNS"),
        TargetView::Echo { stands_for, .. } => format!("{stands_for} (the echo server stands in)"),
    };
    format!("{place} {}{tls}", upstream.protocol)
}

fn policy(forward: &ForwardView) -> String {
    let limit = |name: &str, value: &Option<String>| {
        let value = value.as_deref().unwrap_or("none");
        format!("{name} {value}")
    };
    let mut parts = vec![
        limit("head timeout", &forward.head_timeout),
        limit("total timeout", &forward.total_timeout),
        limit("idle timeout", &forward.idle_timeout),
    ];
    if let Some(bytes) = forward.max_request_body {
        parts.push(format!("request body up to {bytes} bytes"));
    }
    if !forward.upgrades.is_empty() {
        parts.push(format!("upgrades {}", forward.upgrades.join(", ")));
    }
    parts.join(", ")
}
