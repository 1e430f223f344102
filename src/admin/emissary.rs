//! The paths of Emissary-ingress on the health port, for probes and scripts that ask there: `/ambassador/v0/check_alive`,
//! `check_ready` and, when this replica takes Emissary's place, `diag/?json=true`.

use http::{StatusCode, request::Parts};
use serde_json::{Value, json};

use super::{Reply, Snapshot, State, json as reply_json, not_found, text};
use crate::{
    report::{Diagnostic, ObjectReport, Report, Severity},
    resource::Kind,
    telemetry::metrics::VERSION,
};

const PREFIX: &str = "/ambassador/v0/";

/// The answer to what Emissary-ingress would answer; none for other paths.
pub(super) fn answer(state: &State, head: &Parts) -> Option<Reply> {
    let reply = match head.uri.path().strip_prefix(PREFIX)? {
        "check_alive" => match state.health.death() {
            None => text(StatusCode::OK, "alive\n"),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        "check_ready" if state.health.is_ready() => text(StatusCode::OK, "ready\n"),
        "check_ready" => text(StatusCode::SERVICE_UNAVAILABLE, "not ready: see /ready\n"),
        "diag" | "diag/" => diagnostics(state, head.uri.query().unwrap_or_default()),
        _ => not_found(),
    };
    Some(reply)
}

fn diagnostics(state: &State, query: &str) -> Reply {
    let Some(snapshot) = (state.snapshot)().filter(|snapshot| snapshot.graph.own.diagnostics)
    else {
        return not_found();
    };
    let asked = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        { pairs }
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    };
    if asked("json") != Some("true") {
        return text(StatusCode::OK, "ask with ?json=true\n");
    }
    let mut all = document(state, &snapshot);
    match asked("filter") {
        None => reply_json(StatusCode::OK, &all),
        Some(key) => match all.get_mut(key).map(Value::take) {
            Some(part) => reply_json(StatusCode::OK, &part),
            None => not_found(),
        },
    }
}

fn document(state: &State, snapshot: &Snapshot) -> Value {
    let readiness = state.health.readiness();
    let report = &snapshot.report;
    json!({
        "system": {
            "version": VERSION,
            "ambassador_id": state.config["installation"],
            "ambassador_namespace": state.config["namespace"],
            "diagnostics_enabled": true,
            "generation": snapshot.generation,
        },
        "envoy_status": {
            "alive": state.health.death().is_none(),
            "ready": readiness.ready,
        },
        "errors": told(report, Severity::Error),
        "notices": told(report, Severity::Warning),
        "route_info": routes(report),
    })
}

/// Pairs of a resource and a text, as scripts read them.
fn told(report: &Report, severity: Severity) -> Vec<Value> {
    let is_wanted = |found: &&Diagnostic| found.code.info().severity == severity;
    let of_objects = report.objects.iter().flat_map(|object| {
        let found = object.diagnostics.iter().filter(is_wanted);
        found.map(|found| json!([key(object), sentence(found)]))
    });
    let of_files = report.files.iter().filter(|(_, found)| is_wanted(&found));
    let of_files = of_files.map(|(origin, found)| json!([origin.to_string(), sentence(found)]));
    of_objects.chain(of_files).collect()
}

fn sentence(found: &Diagnostic) -> String {
    let at = match &*found.field {
        "" => String::new(),
        field => format!(" at {field}"),
    };
    format!("{}{at}: {}", found.code, found.message)
}

fn routes(report: &Report) -> Vec<Value> {
    let mappings = report
        .objects
        .iter()
        .filter(|object| object.key.kind == Kind::Mapping);
    let routes = mappings.flat_map(|object| {
        object.serves.iter().map(|serves| {
            let (host, path) = serves.split_at(serves.find('/').unwrap_or(serves.len()));
            json!({
                "key": key(object),
                "host": host,
                "prefix": path,
                "source": object.origin.to_string(),
            })
        })
    });
    routes.collect()
}

/// As Emissary-ingress names a resource.
fn key(object: &ObjectReport) -> String {
    format!("{}.{}.1", object.key.name, object.key.namespace)
}
