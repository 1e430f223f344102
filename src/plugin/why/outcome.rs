//! What is done with the request, and what stands behind it.

use std::fmt::Write as _;

use super::origin;
use crate::{
    graph::{
        why::{Answer, MemberAnswer, Outcome},
        wire::{ActionView, ForwardView, TargetView, TcpActionView, TcpMemberView},
    },
    plugin::{backing::Backing, facts::Facts, place::object_of, routes::percent},
};

/// Those that the request may go to.
fn members(answer: &Answer) -> &[MemberAnswer] {
    match &answer.outcome {
        Outcome::Route { members } | Outcome::NoShare { members } => members,
        _ => &[],
    }
}

/// The Services behind them, each once.
pub(super) fn backings(answer: &Answer, facts: &Facts) -> Vec<Backing> {
    let of_requests = members(answer).iter().filter_map(|member| {
        let ActionView::Forward(forward) = &member.action else {
            return None;
        };
        let by = origin::resolver(&object_of(&member.id), facts);
        Some((&forward.upstream, &member.upstream.as_ref()?.target, by))
    });
    let of_connection = match &answer.outcome {
        Outcome::Connection { members } => &**members,
        _ => &[],
    };
    let of_connection = of_connection.iter().filter_map(|member| {
        let TcpActionView::Forward { upstream, .. } = &member.action else {
            return None;
        };
        let target = &facts.graph.upstreams.get(upstream)?.target;
        Some((upstream, target, Vec::new()))
    });
    let mut all: Vec<Backing> = Vec::new();
    for (id, target, by) in of_requests.chain(of_connection) {
        let found = Backing::of(id, target, facts).map(|backing| Backing {
            // One without a ClusterIP is dialled by its endpoints whatever anybody says.
            by: by
                .into_iter()
                .filter(|_| !backing.cluster_ips.is_empty())
                .collect(),
            ..backing
        });
        let is_new = |backing: &Backing| all.iter().all(|other| other.service != backing.service);
        if let Some(backing) = found.filter(is_new) {
            all.push(backing);
        }
    }
    all
}

/// In a line for each member, or in one that says why there is none.
pub(super) fn text(answer: &Answer, backings: &[Backing], facts: &Facts) -> String {
    let mut text = String::new();
    let members = members(answer);
    for member in members {
        let share = if members.len() > 1 {
            format!("{}% ", member.percent)
        } else {
            String::new()
        };
        let (word, what) = done(member, backings, facts);
        let _infallible = writeln!(text, "{word:<10}{share}{what} ({})", object_of(&member.id));
    }
    if let Outcome::Connection { members } = &answer.outcome {
        connections(members, backings, facts, &mut text);
    }
    if let Some(ended) = ended(&answer.outcome) {
        let _infallible = writeln!(text, "answer    {ended}");
    }
    text
}

/// A line for each TCPMapping that has the connection, with every request in it.
fn connections(members: &[TcpMemberView], backings: &[Backing], facts: &Facts, text: &mut String) {
    let total: u64 = members.iter().map(|member| u64::from(member.share)).sum();
    for member in members {
        let share = match members.len() {
            1 => String::new(),
            _ => format!("{}% ", percent(member.share, total)),
        };
        let (word, what) = match &member.action {
            TcpActionView::Forward {
                upstream,
                idle_timeout,
            } => {
                let target = facts.graph.upstreams.get(upstream).map(|view| &view.target);
                let place = place(upstream, target, backings);
                ("to", format!("{place}, idle for {idle_timeout} at most"))
            }
            TcpActionView::Fail(code) => ("answer", format!("closed ({code})")),
        };
        let object = object_of(&member.id);
        let _infallible = writeln!(text, "{word:<10}{share}{what} ({object})");
    }
}

/// None when a member of a route answers.
fn ended(outcome: &Outcome) -> Option<String> {
    Some(match outcome {
        Outcome::NoListener => "none: no Listener takes such a connection".to_owned(),
        Outcome::NoHandshake => "none: the TLS handshake fails".to_owned(),
        Outcome::NoConnection => "none: no TCPMapping has it, so it is closed".to_owned(),
        Outcome::OnlyRequests => "HTTP is served there: ask with http:// or https://".to_owned(),
        Outcome::BadRequest { why } => format!("400: {why}"),
        Outcome::Misdirected => {
            "421: the connection was made for another Host (SNI and host disagree)".to_owned()
        }
        Outcome::NoHost => "404: no Host has this name".to_owned(),
        Outcome::Rejected => "404: the Host rejects insecure requests".to_owned(),
        Outcome::RedirectToHttps { location } => format!("301 to {location}"),
        Outcome::NoRoute => "404: no route matches".to_owned(),
        Outcome::NoShare { .. } => "404: no member of the route gets anything".to_owned(),
        Outcome::Connection { .. } | Outcome::Route { .. } => return None,
    })
}

/// What one member does with the request.
fn done(member: &MemberAnswer, backings: &[Backing], facts: &Facts) -> (&'static str, String) {
    if let Some(why) = &member.bad_request {
        return ("answer", format!("400: {why}"));
    }
    match &member.action {
        ActionView::Forward(forward) => {
            let place = target(member, forward, backings);
            let path = member.path.as_deref().unwrap_or_default();
            ("to", format!("{place}, path {path}"))
        }
        ActionView::Redirect(redirect) => {
            let scheme = redirect.scheme.as_deref();
            let scheme = scheme.map_or_else(String::new, |scheme| format!("{scheme}://"));
            let place = format!("{} to {scheme}{}", redirect.status, redirect.host);
            ("answer", place)
        }
        ActionView::Fail(code) => {
            let owner = facts.object(&object_of(&member.id));
            let found = owner.and_then(|known| known.view.first_error());
            let why = found.map_or_else(String::new, |found| format!(": {}", found.message));
            ("answer", format!("503 {code}{why}"))
        }
    }
}

fn target(member: &MemberAnswer, forward: &ForwardView, backings: &[Backing]) -> String {
    let target = member.upstream.as_ref().map(|upstream| &upstream.target);
    place(&forward.upstream, target, backings)
}

/// An upstream, by its id.
fn place(id: &str, target: Option<&TargetView>, backings: &[Backing]) -> String {
    let Some(target) = target else {
        return id.to_owned();
    };
    match target {
        TargetView::Addresses { addresses } => {
            let name = id.split(' ').next().unwrap_or_default();
            match backings.iter().find(|backing| backing.service == name) {
                Some(backing) => service(backing, addresses),
                None => format!("{name} at {}", addresses.join(", ")),
            }
        }
        TargetView::Dns { dns } => format!("{dns} by DNS"),
        TargetView::Echo { stands_for, .. } => format!("{stands_for} (the echo server stands in)"),
    }
}

/// `Service shop/web:80 (10.96.1.2), 2 of 3 endpoints ready`.
fn service(backing: &Backing, addresses: &[String]) -> String {
    let dialled = match (backing.dialled, backing.cluster_ips.first()) {
        (Some("ClusterIP"), Some(address)) => address.to_string(),
        (Some(_), _) if backing.by.is_empty() => "by its endpoints".to_owned(),
        (Some(_), _) => format!("by its endpoints: {}", backing.by.join(", ")),
        (None, _) => addresses.join(", "),
    };
    format!(
        "Service {} ({dialled}), {}",
        backing.service,
        backing.readiness()
    )
}
