//! The diagnostics port: what is served, and why.

use std::{borrow::Cow, net::IpAddr};

use http::{StatusCode, header, request::Parts};
use serde_json::{Value, json};

use super::{Reply, Snapshot, State, json as reply_json, not_found, text, view::digest, why};
use crate::{graph::wire::GraphView, report::wire::ReportView};

pub(super) fn answer(state: &State, head: &Parts) -> Reply {
    if !names_an_address(head) {
        return text(
            StatusCode::FORBIDDEN,
            "diagnostics are answered under an address or localhost only\n",
        );
    }
    let path = head.uri.path();
    if path == "/" {
        return reply_json(StatusCode::OK, &index(state));
    }
    if path == "/config" {
        return reply_json(StatusCode::OK, &state.config);
    }
    if !matches!(
        path,
        "/graph" | "/certificates" | "/report" | "/digest" | "/why"
    ) {
        return not_found();
    }
    let Some(snapshot) = (state.snapshot)() else {
        return text(
            StatusCode::SERVICE_UNAVAILABLE,
            "nothing is compiled yet: see /ready on the health port\n",
        );
    };
    let query = head.uri.query().unwrap_or_default();
    match path {
        "/graph" => reply_json(StatusCode::OK, &GraphView::of(&snapshot.graph)),
        "/certificates" => reply_json(StatusCode::OK, &snapshot.graph.certificates()),
        "/report" => report(&snapshot, query),
        "/digest" => reply_json(
            StatusCode::OK,
            &json!({
                "generation": snapshot.generation,
                "digest": digest(&snapshot.graph),
                "versions": *snapshot.versions,
            }),
        ),
        _ => why::answer(&snapshot.graph, query),
    }
}

/// A browser on this machine can be made to send requests to loopback, but always under a name (DNS rebinding).
fn names_an_address(head: &Parts) -> bool {
    let Some(host) = head.headers.get(header::HOST) else {
        return true;
    };
    let Ok(host) = host.to_str() else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

fn index(state: &State) -> Value {
    let snapshot = (state.snapshot)();
    let objects = snapshot.as_ref().map(|s| s.report.objects.len());
    let errors = snapshot
        .as_ref()
        .map(|s| s.report.objects.iter().filter(|o| o.has_errors()).count());
    json!({
        "ready": state.health.readiness(),
        "generation": snapshot.map(|s| s.generation),
        "objects": objects,
        "objectsWithErrors": errors,
        "paths": {
            "/graph": "what is served",
            "/certificates": "names, issuer and end of each certificate, by its digest; never keys",
            "/report": "what became of each object; ?object=apps/quote for those with that name",
            "/why?url=http://host:8080/path": "which route takes a request, and why not the others; &method=POST&header=name:value&sni=NAME&from=ADDRESS",
            "/digest": "what tells whether two replicas serve the same",
            "/config": "the settings of this process",
        },
    })
}

/// The whole report, or with `object=NAMESPACE/NAME` (or `NAME`) the objects called that.
fn report(snapshot: &Snapshot, query: &str) -> Reply {
    let wanted = parameters(query).find_map(|(name, value)| (name == "object").then_some(value));
    let Some(wanted) = wanted else {
        return reply_json(StatusCode::OK, &ReportView::of(&snapshot.report));
    };
    let (namespace, name) = match wanted.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, &*wanted),
    };
    let found = ReportView::part(&snapshot.report, |object| {
        *object.key.name == *name && namespace.is_none_or(|n| *object.key.namespace == *n)
    });
    if found.objects.is_empty() {
        return reply_json(
            StatusCode::NOT_FOUND,
            &json!({ "error": format!("no object is called {wanted}") }),
        );
    }
    reply_json(StatusCode::OK, &found)
}

/// The parameters of a query, decoded.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
}

/// Percent-decodes; an escape that is none stays as it is.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escape = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        rest = after;
        if let Some((high, low)) = escape {
            bytes.push(high << 4 | low);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(if *first == b'+' { b' ' } else { *first });
        }
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}
