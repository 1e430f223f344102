//! From the connection to the region, and whose that is.

use std::{collections::BTreeSet, fmt::Write as _};

use jiff::Timestamp;

use super::{Told, connection, taken};
use crate::{
    graph::{
        certificate::CertificateView,
        why::{Answer, HandshakeAnswer, ListenerAnswer},
    },
    plugin::{
        facts::Facts,
        output::span,
        place::{host_of, namespace_of},
        who,
    },
};

/// The namespaces whose routes may have the request: of the claim, or of who came first where there is none.
pub(super) fn owners(answer: &Answer, facts: &Facts) -> BTreeSet<String> {
    match claim_of(answer, facts).filter(|claim| !claim.is_empty()) {
        Some(claim) => {
            let known = facts.object(&format!("RouteClaim {claim}"));
            known.map_or_else(BTreeSet::new, |known| who::owners(facts, &known.view))
        }
        None => taken(answer)
            .map(|id| namespace_of(id).to_owned())
            .collect(),
    }
}

/// The claim that decides whose it is, empty where none does; none when it was not asked whose it is.
pub(super) fn claim_of(answer: &Answer, facts: &Facts) -> Option<String> {
    match answer.connection {
        Some(_) => Some(connection::claim(answer, facts).unwrap_or_default()),
        None => answer.region.clone(),
    }
}

/// The Secret that the certificate of the handshake is from.
pub(super) fn secret(answer: &Answer, facts: &Facts) -> Option<String> {
    let host = host_of(&answer.secured_by.as_ref()?.id)?;
    facts.object(&host)?.view.tls_secret.clone()
}

/// `namespace shop`, `namespaces shop, web and those with its labels`.
fn namespaces(owners: &BTreeSet<String>) -> String {
    let named = owners.iter().filter(|name| *name != who::BY_LABELS);
    let named: Vec<_> = named.map(String::as_str).collect();
    let by_labels = named.len() < owners.len();
    let word = if named.len() == 1 && !by_labels {
        "namespace"
    } else {
        "namespaces"
    };
    match (named.is_empty(), by_labels) {
        (true, _) => format!("{word} with its labels"),
        (false, true) => format!("{word} {} and those with its labels", named.join(", ")),
        (false, false) => format!("{word} {}", named.join(", ")),
    }
}

/// From the connection to the region.
fn listening(listener: &ListenerAnswer) -> String {
    let own = format!("{} (port {}", listener.name, listener.port);
    match listener.instead_of {
        Some(asked) => format!("{own}; no such Listener has port {asked})"),
        None => own + ")",
    }
}

/// A line for each step.
pub(super) fn text(told: &Told<'_>, facts: &Facts, now: Timestamp) -> String {
    let answer = &told.answer;
    let mut text = String::new();
    let mut say = |label: &str, what: &str| {
        let _infallible = writeln!(text, "{label:<10}{what}");
    };
    say(
        "request",
        &format!("{} {}{}", answer.method, answer.authority, answer.path),
    );
    match &answer.listener {
        Some(listener) => say("listener", &listening(listener)),
        None => say("listener", "none takes such a connection"),
    }
    if let Some(handshake) = &answer.handshake {
        let sni = answer.sni.as_deref().unwrap_or("none");
        let certificate = shaken(handshake, told.secret.as_deref(), now);
        say("tls", &format!("SNI {sni}, {certificate}"));
    } else if answer.connection.is_some() && answer.sni.is_some() {
        say("tls", &connection::name(answer));
    }
    if let Some(host) = &answer.host {
        let served = match host_of(&host.id) {
            Some(title) => format!("{} -> {title}", host.hostname),
            None if host.id == "default" => "the default one, for names without a Host".to_owned(),
            None => format!("{}: claimed, and no Host serves it", host.hostname),
        };
        say("host", &served);
    }
    if let Some(entry) = &answer.entry {
        let secure = if entry.secure { "secure" } else { "insecure" };
        say("entry", &format!("{secure}: {}", entry.action));
    }
    let owners = namespaces(&told.owners);
    match claim_of(answer, facts).as_deref() {
        None => {}
        Some("") if told.owners.is_empty() => say("region", "no claim covers it"),
        Some("") => say(
            "region",
            &format!("no claim covers it; first come, {owners}"),
        ),
        Some(claim) if told.owners.is_empty() => say("region", &format!("claim {claim}")),
        Some(claim) => say("region", &format!("claim {claim}, of {owners}")),
    }
    text
}

fn shaken(handshake: &HandshakeAnswer, secret: Option<&str>, now: Timestamp) -> String {
    match handshake {
        HandshakeAnswer::Certificate(certificate) => {
            let from = secret.map_or_else(String::new, |secret| format!("{secret} "));
            let certificate = certificate_text(certificate, now);
            format!("certificate {from}for {certificate}")
        }
        HandshakeAnswer::UnrecognizedName => {
            "no certificate: the alert unrecognized_name".to_owned()
        }
        HandshakeAnswer::Broken(code) => {
            let from = secret.map_or_else(String::new, |secret| format!(", {secret},"));
            format!("the certificate of the Host{from} cannot be used: an alert ({code})")
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
