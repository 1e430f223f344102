//! Graph and report as JSON. Secrets have no place in it: of a certificate only the digest is shown.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    graph::{
        Action, Graph, HostTls, InsecureAction, Listener, Member, Route, SecurityModel, Target,
        Upstream, UpstreamProtocol, VirtualHost,
        matching::RouteSet,
        route::{Conditions, PathMatch, TextMatch},
        table::RouteTable,
    },
    report::{Diagnostic, ObjectReport, Report, Severity},
};

/// A report, or a part of it.
#[derive(Debug, Serialize)]
pub(super) struct ReportView {
    pub(super) objects: Vec<Value>,
    files: Vec<Value>,
}

/// Route sets are shared by many virtual hosts: each is shown once, and named by its number.
#[derive(Default)]
struct RouteSets<'g> {
    numbers: HashMap<*const RouteSet, usize>,
    sets: Vec<&'g RouteSet>,
}

/// Tells whether two graphs are the same: equal on every machine for equal graphs.
pub fn digest(graph: &Graph) -> String {
    let text = serde_json::to_vec(&self::graph(graph)).expect("texts and numbers must become JSON");
    format!("{:x}", Sha256::digest(text))
}

/// Graph and report as the diagnostics show them, for those who compare them as text.
pub fn dump(graph: &Graph, report: &Report) -> (Value, Value) {
    let shown = self::report(report, |_| true);
    let report = json!({
        "objects": shown.objects,
        "files": shown.files,
        "wantedSecrets": report.wanted_secrets.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    (self::graph(graph), report)
}

pub(super) fn graph(graph: &Graph) -> Value {
    let mut sets = RouteSets::default();
    let mut upstreams = BTreeMap::new();
    let listeners: Vec<_> = graph
        .listeners
        .iter()
        .map(|l| listener(l, &mut sets))
        .collect();
    let mut route_sets = Vec::new();
    for set in &sets.sets {
        let regions: Vec<_> = set
            .regions
            .iter()
            .map(|region| {
                let named = region
                    .tables
                    .entries()
                    .map(|(pattern, table)| (pattern.to_string(), table));
                let regex = region
                    .regex_hosts
                    .iter()
                    .map(|(pattern, table)| (format!("~{}", pattern.text), table));
                let hosts: Vec<_> = named
                    .chain(regex)
                    .map(|(hostname, table)| {
                        json!({ "hostname": hostname, "routes": routes(table, &mut upstreams) })
                    })
                    .collect();
                json!({ "name": *region.name, "hostnames": hosts })
            })
            .collect();
        let claims: BTreeMap<_, _> = set
            .regions
            .cells()
            .map(|(cell, region)| (cell, &*region.name))
            .collect();
        route_sets.push(json!({ "regions": regions, "claims": claims }));
    }
    json!({
        "listeners": listeners,
        "routeSets": route_sets,
        "upstreams": upstreams,
        "requests": {
            "allowUnderscores": graph.requests.allow_underscores,
            "mergeSlashes": graph.requests.merge_slashes,
            "allowEscapedSlashes": graph.requests.allow_escaped_slashes,
        },
    })
}

pub(super) fn report(report: &Report, wanted: impl Fn(&ObjectReport) -> bool) -> ReportView {
    ReportView {
        objects: report
            .objects
            .iter()
            .filter(|object| wanted(object))
            .map(|o| object(o))
            .collect(),
        files: report
            .files
            .iter()
            .map(|(origin, found)| json!({ "at": origin.to_string(), "diagnostic": diagnostic(found) }))
            .collect(),
    }
}

/// The members of a route, with what each does.
pub(super) fn members(route: &Route) -> Vec<Value> {
    route.members.iter().map(member).collect()
}

fn listener<'g>(listener: &'g Listener, sets: &mut RouteSets<'g>) -> Value {
    let hosts: Vec<_> = listener
        .hosts
        .iter()
        .map(|host| virtual_host(host, sets))
        .collect();
    json!({
        "name": *listener.name,
        "port": listener.port,
        "tls": listener.tls,
        "cleartext": listener.cleartext,
        "securityModel": match listener.security {
            SecurityModel::Xfp => "XFP",
            SecurityModel::Secure => "SECURE",
            SecurityModel::Insecure => "INSECURE",
        },
        "l7Depth": listener.l7_depth,
        "trustedProxies": listener.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "hosts": hosts,
    })
}

fn virtual_host<'g>(host: &'g VirtualHost, sets: &mut RouteSets<'g>) -> Value {
    json!({
        "id": host.id.to_string(),
        "hostname": host.pattern.to_string(),
        "tls": match &host.tls {
            HostTls::None => json!(null),
            HostTls::Certificate(certificate) => json!({ "certificate": *certificate.digest }),
            HostTls::Broken(fail) => json!({ "broken": code(fail.code) }),
        },
        "insecure": match host.insecure {
            InsecureAction::Redirect => "redirect",
            InsecureAction::Route => "route",
            InsecureAction::Reject => "reject",
        },
        "routeSet": sets.number(&host.routes),
    })
}

impl<'g> RouteSets<'g> {
    fn number(&mut self, set: &'g Arc<RouteSet>) -> usize {
        *self.numbers.entry(Arc::as_ptr(set)).or_insert_with(|| {
            self.sets.push(set);
            self.sets.len() - 1
        })
    }
}

fn routes(table: &RouteTable, upstreams: &mut BTreeMap<String, Value>) -> Vec<Value> {
    table
        .iter()
        .map(|route| {
            for member in &route.members {
                if let Action::Forward(forward) = &member.action {
                    upstreams
                        .entry(forward.upstream.id.to_string())
                        .or_insert_with(|| upstream(&forward.upstream));
                }
            }
            let (kind, path) = match &route.path {
                PathMatch::Prefix(text) => ("prefix", text),
                PathMatch::Exact(text) => ("exact", text),
                PathMatch::Regex(pattern) => ("regex", &pattern.text),
            };
            json!({
                "path": { kind: **path },
                "caseSensitive": route.case_sensitive,
                "precedence": route.rank.precedence,
                "conditions": conditions(&route.conditions),
                "members": members(route),
            })
        })
        .collect()
}

fn conditions(conditions: &Conditions) -> Value {
    json!({
        "method": conditions.method.as_ref().map(shown),
        "headers": conditions
            .headers
            .iter()
            .map(|(name, value)| json!({ "name": name.as_str(), "value": shown(value) }))
            .collect::<Vec<_>>(),
        "query": conditions
            .query
            .iter()
            .map(|(name, value)| json!({ "name": **name, "value": shown(value) }))
            .collect::<Vec<_>>(),
    })
}

fn shown(text: &TextMatch) -> String {
    match text {
        TextMatch::Exact(text) => text.to_string(),
        TextMatch::Regex(pattern) => format!("~{}", pattern.text),
    }
}

fn member(member: &Member) -> Value {
    let action = match &member.action {
        Action::Forward(forward) => json!({ "forward": {
            "upstream": forward.upstream.id.to_string(),
            "rewrite": format!("{:?}", forward.rewrite),
            "host": format!("{:?}", forward.host),
            "requestHeaders": format!("{:?}", forward.request_headers.edits),
            "responseHeaders": format!("{:?}", forward.response_headers.edits),
            "headTimeout": forward.head_timeout.map(|d| format!("{d:?}")),
            "totalTimeout": forward.total_timeout.map(|d| format!("{d:?}")),
            "idleTimeout": forward.idle_timeout.map(|d| format!("{d:?}")),
            "maxRequestBody": forward.max_request_body,
            "upgrades": forward.upgrades.iter().map(|u| &**u).collect::<Vec<_>>(),
            "allowEscapedSlashes": forward.allow_escaped_slashes,
        }}),
        Action::Redirect(redirect) => json!({ "redirect": {
            "status": redirect.status.as_u16(),
            "scheme": redirect.scheme.as_deref(),
            "host": *redirect.host,
            "path": format!("{:?}", redirect.path),
        }}),
        Action::Fail(fail) => json!({ "fail": code(fail.code) }),
    };
    json!({ "id": member.id.to_string(), "share": member.share, "action": action })
}

fn upstream(upstream: &Upstream) -> Value {
    json!({
        "target": match &upstream.target {
            Target::Addresses(addresses) => json!({
                "addresses": addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            }),
            Target::Dns { name, port } => json!({ "dns": format!("{name}:{port}") }),
            Target::Echo { address, name } => {
                json!({ "echo": address.to_string(), "standsFor": **name })
            }
        },
        "protocol": match upstream.protocol {
            UpstreamProtocol::Http1 => "http1",
            UpstreamProtocol::Http2 => "http2",
        },
        "tls": upstream.tls.as_ref().map(|tls| json!({
            "serverName": *tls.server_name,
            "verify": tls.verify,
            "client": tls.client.as_ref().map(|client| &*client.digest),
        })),
        "connectTimeout": format!("{:?}", upstream.connect_timeout),
    })
}

fn object(object: &ObjectReport) -> Value {
    json!({
        "group": object.key.group.name(),
        "kind": object.key.kind.name(),
        "namespace": *object.key.namespace,
        "name": *object.key.name,
        "origin": object.origin.to_string(),
        "generation": object.generation,
        "inGraph": object.in_graph,
        "serves": object.serves,
        "diagnostics": object.diagnostics.iter().map(diagnostic).collect::<Vec<_>>(),
        "certificateNotAfter": object.certificate_not_after,
    })
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    let info = diagnostic.code.info();
    json!({
        "code": diagnostic.code.to_string(),
        "reason": info.reason,
        "severity": match info.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        "field": diagnostic.field,
        "message": diagnostic.message,
        "next": diagnostic.next,
    })
}

fn code(number: u16) -> String {
    format!("PST{number:04}")
}
