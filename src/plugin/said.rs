//! What the replicas say in the status of objects: they have read all that decides, and the kubeconfig perhaps not.

use std::collections::BTreeMap;

use super::{
    conflicts::is_conflict,
    facts::{Answers, Facts, Known, Ruling},
};
use crate::{
    crd::schema::Written,
    graph::wire::GraphView,
    report::{
        Asked, Diagnostic,
        code::CODES,
        wire::{DiagnosticView, ObjectView},
    },
    resource::{Kind, ObjectKey, Objects, ResourceSet},
};

/// Kinds that decide whose something is.
pub(super) const DECIDING: &[Kind] = &[
    Kind::Mapping,
    Kind::TcpMapping,
    Kind::Host,
    Kind::RouteClaim,
    Kind::Namespace,
];

/// What the status of an object as it is now says is wrong with it; empty when nothing is.
pub(super) type Said = BTreeMap<ObjectKey, String>;

/// Where something that decides was not read, objects lose what their status says that they lose: what is refused is shown as
/// refused, and is in no route.
pub(super) fn believe(facts: &mut Facts, said: &Said) {
    if facts.hidden(DECIDING).is_none() {
        return;
    }
    let Answers::Compiled(before) = &facts.answers else {
        return;
    };
    let reports = before.report.objects.iter();
    for (known, report) in facts.objects.iter_mut().zip(reports) {
        if said.contains_key(&report.key) {
            known.ruling = Ruling::Kept;
        }
    }
    let told = said.iter().map(|(key, text)| (key, conflicts_in(text)));
    let mut told: BTreeMap<_, _> = told.filter(|(_, found)| !found.is_empty()).collect();
    if told.is_empty() {
        return;
    }
    let mut set = before.set.clone();
    for (key, found) in &told {
        if is_refused(found) && leaves(key.kind) {
            set.remove(key);
        }
    }
    let after = before.again(set);
    let reports = before.report.objects.iter();
    for (known, report) in facts.objects.iter_mut().zip(reports) {
        if let Some(report) = after.report.object(&report.key) {
            known.view = ObjectView::of(report);
        }
        if let Some(found) = told.remove(&report.key) {
            tell(known, found, asked(&before.set, &report.key));
        }
    }
    facts.graph = GraphView::of(&after.graph);
    facts.certificates = after.graph.certificates();
    facts.answers = Answers::Compiled(Box::new(after));
}

/// Puts objects back that were taken out of what was compiled, so that others can be compiled with them.
pub(super) fn restore(said: &Said, all: &ResourceSet, set: &mut ResourceSet) {
    for key in said.keys() {
        if set.meta(key).is_some() {
            continue;
        }
        if let Some(mapping) = all.mappings.get(key) {
            set.mappings.insert(key.clone(), mapping.clone());
        }
        if let Some(mapping) = all.tcp_mappings.get(key) {
            set.tcp_mappings.insert(key.clone(), mapping.clone());
        }
        if let Some(claim) = all.claims.get(key) {
            set.claims.insert(key.clone(), claim.clone());
        }
    }
}

/// What still holds in a set in which some objects are others: the status of an object is about what it was.
pub(super) fn still_said(said: &Said, all: &ResourceSet, set: &ResourceSet) -> Said {
    fn is_same<T, S: PartialEq>(
        [all, set]: [&Objects<T>; 2],
        key: &ObjectKey,
        spec: impl Fn(&T) -> S,
    ) -> bool {
        let [now, then] = [all, set].map(|of_kind| Some(spec(&of_kind.get(key)?.spec)));
        now == then
    }
    let holds = |key: &ObjectKey| match key.kind {
        Kind::Mapping => is_same([&all.mappings, &set.mappings], key, Written::read),
        Kind::TcpMapping => is_same([&all.tcp_mappings, &set.tcp_mappings], key, Clone::clone),
        Kind::Host => is_same([&all.hosts, &set.hosts], key, Clone::clone),
        _ => true,
    };
    let still = said.iter().filter(|(key, _)| holds(key));
    still
        .map(|(key, text)| (key.clone(), text.clone()))
        .collect()
}

fn is_refused(found: &[DiagnosticView]) -> bool {
    found.iter().any(DiagnosticView::is_error)
}

/// Whether a refused object of the kind is as good as none. Who has the hostname of a refused Host is a Host that nobody here
/// knows: without any, its Mappings would seem to be served by none.
fn leaves(kind: Kind) -> bool {
    matches!(kind, Kind::Mapping | Kind::TcpMapping | Kind::RouteClaim)
}

/// Shows an object as its status does. The replicas know better whose something is, and no more than that.
fn tell(known: &mut Known, found: Vec<DiagnosticView>, asked: Option<Asked>) {
    known.ruling = Ruling::Lost;
    let view = &mut known.view;
    let refused = is_refused(&found);
    let is_new = |old: &DiagnosticView| {
        found.iter().all(|new| new.code != old.code) && !(refused && is_conflict(old))
    };
    view.diagnostics.retain(is_new);
    view.diagnostics.extend(found);
    view.diagnostics.sort();
    if refused {
        view.in_graph = false;
        view.serves.clear();
        view.asks = view.asks.take().or(asked);
    }
}

/// The place that an object asks for.
fn asked(set: &ResourceSet, key: &ObjectKey) -> Option<Asked> {
    if let Some(mapping) = set.mappings.get(key) {
        let spec = mapping.spec.read();
        let tilde = |is_regex: Option<bool>| if is_regex == Some(true) { "~" } else { "" };
        let hostname = match (spec.hostname, spec.host) {
            (Some(hostname), _) => hostname,
            (None, Some(host)) => format!("{}{host}", tilde(spec.host_regex)),
            (None, None) => "*".to_owned(),
        };
        return Some(Asked {
            hostname,
            path: format!("{}{}", tilde(spec.prefix_regex), spec.prefix?),
            exact: spec.prefix_exact == Some(true),
        });
    }
    let spec = &set.tcp_mappings.get(key)?.spec;
    let host = spec.host.as_deref().unwrap_or_default();
    Some(Asked {
        hostname: format!("{host}:{}", spec.port?),
        ..Asked::default()
    })
}

/// What a status says about whose something is: `PST2007 at spec.hostname: It belongs to others. Choose another.`, one after
/// the other.
fn conflicts_in(text: &str) -> Vec<DiagnosticView> {
    let begins = |at: &usize| {
        let (before, rest) = text.split_at(*at);
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        (before.is_empty() || before.ends_with(". "))
            && (rest.starts_with(": ") || rest.starts_with(" at "))
    };
    let starts = text.match_indices("PST").map(|(at, _)| at).filter(begins);
    let mut bounds: Vec<_> = starts.collect();
    bounds.push(text.len());
    let sentences = bounds.windows(2).filter_map(|pair| match pair {
        [from, to] => text.get(*from..*to),
        _ => None,
    });
    sentences.filter_map(read).filter(is_conflict).collect()
}

fn read(sentence: &str) -> Option<DiagnosticView> {
    let (which, told) = sentence.trim_end().split_once(": ")?;
    let (code, field) = which.split_once(" at ").unwrap_or((which, ""));
    let info = CODES.iter().find(|info| info.code.to_string() == code)?;
    let (message, next) = told.split_once(". ").unwrap_or((told, ""));
    let [message, next] = [message, next].map(|text| text.strip_suffix('.').unwrap_or(text));
    Some(DiagnosticView::of(&Diagnostic::new(
        info.code, field, message, next,
    )))
}

#[cfg(test)]
mod tests;
