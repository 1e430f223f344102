//! Reports, kept by object.

use std::{collections::BTreeSet, sync::Arc};

use super::finding::{Findings, as_written};
use crate::{
    report::{Asked, Code, Diagnostic, ObjectReport, ReportList, Settled},
    resource::{FileProblemKind, Object, ObjectKey, Origin, ResourceSet},
};

/// The reports of all objects.
#[derive(Debug, Default)]
pub(super) struct Reports {
    pub(super) list: ReportList,
    /// Who has a report by which pass, but for the Mappings.
    by_pass: [BTreeSet<ObjectKey>; 7],
}

/// The passes that report on all their objects at once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pass {
    Settings,
    Policies,
    Claims,
    Contexts,
    Hosts,
    Listeners,
    Tcp,
}

/// What there is to say beside the diagnostics.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) in_graph: bool,
    pub(super) serves: Vec<String>,
    pub(super) asks: Option<Asked>,
    pub(super) settled: Settled,
    pub(super) certificate_not_after: Option<i64>,
}

/// The report of an object, its diagnostics in order and each once.
pub(super) fn object<T>(object: &Object<T>, findings: Findings, place: Place) -> ObjectReport {
    let mut diagnostics = Vec::from(findings.0);
    for diagnostic in &mut diagnostics {
        let field = std::mem::take(&mut diagnostic.field);
        diagnostic.field = as_written(object, field);
    }
    diagnostics.sort();
    diagnostics.dedup();
    let serves = place.serves.into_iter();
    ObjectReport {
        key: object.key.clone(),
        origin: object.origin.clone(),
        revision: Arc::clone(&object.meta.revision),
        diagnostics: diagnostics.into(),
        in_graph: place.in_graph,
        serves: serves.map(String::into_boxed_str).collect(),
        asks: place.asks.map(Box::new),
        settled: place.settled,
        certificate_not_after: place.certificate_not_after,
    }
}

impl Reports {
    /// Puts these in the place of all that the pass has reported.
    pub(super) fn replace(&mut self, pass: Pass, reports: impl Iterator<Item = ObjectReport>) {
        let mut now = BTreeSet::new();
        for report in reports {
            now.insert(report.key.clone());
            self.list.put(report);
        }
        let before = &mut self.by_pass[pass as usize];
        for gone in before.difference(&now) {
            self.list.remove(gone);
        }
        *before = now;
    }
}

/// What is wrong with files as such, in the order of path and position.
pub(super) fn files(resources: &ResourceSet) -> Vec<(Origin, Diagnostic)> {
    let mut files = Vec::new();
    for (path, problems) in &resources.files {
        for problem in problems {
            let (code, next) = match problem.kind {
                FileProblemKind::Syntax => (
                    Code::InvalidSyntax,
                    "Mend the syntax at this line and column",
                ),
                FileProblemKind::Document => (
                    Code::InvalidSyntax,
                    "Write `apiVersion`, `kind` and `metadata.name`, which every object has, or remove the document",
                ),
                FileProblemKind::Encoding => (
                    Code::InvalidSyntax,
                    "Save the file as UTF-8 text without control characters",
                ),
                FileProblemKind::Size => (Code::InvalidSyntax, "Split the file into smaller ones"),
                FileProblemKind::Unreadable => (
                    Code::InvalidSyntax,
                    "See to it that the file is there and may be read",
                ),
                FileProblemKind::UnknownKind => (
                    Code::UnknownKind,
                    "Correct `kind` and `apiVersion`, or remove the document",
                ),
                FileProblemKind::Duplicate => {
                    (Code::DuplicateObject, "Rename or delete one of them")
                }
                FileProblemKind::Annotation => (
                    Code::InvalidSyntax,
                    "Correct the annotation, or write its objects as manifests of their own",
                ),
                FileProblemKind::Field => (Code::IgnoredField, ""),
            };
            let origin = Origin::File {
                path: Arc::clone(path),
                at: problem.at,
            };
            let diagnostic = Diagnostic::new(code, "", &*problem.message, next);
            files.push((origin, diagnostic));
        }
    }
    files.sort();
    files
}
