//! Reports, kept by object: one that says the same as before keeps its `Arc`.

use std::{collections::BTreeMap, sync::Arc};

use super::finding::Findings;
use crate::{
    report::{Code, Diagnostic, ObjectReport},
    resource::{FileProblemKind, Object, ObjectKey, Origin, ResourceSet},
};

/// The reports of some kinds of objects.
#[derive(Debug, Default)]
pub(super) struct Reports(BTreeMap<ObjectKey, Arc<ObjectReport>>);

/// What there is to say beside the diagnostics.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) in_graph: bool,
    pub(super) serves: Vec<String>,
    pub(super) certificate_not_after: Option<i64>,
}

/// The report of an object, its diagnostics in order and each once.
pub(super) fn object<T>(object: &Object<T>, findings: Findings, place: Place) -> ObjectReport {
    let mut diagnostics = findings.0;
    diagnostics.sort();
    diagnostics.dedup();
    ObjectReport {
        key: object.key.clone(),
        origin: object.origin.clone(),
        uid: Arc::clone(&object.meta.uid),
        generation: object.meta.generation,
        diagnostics,
        in_graph: place.in_graph,
        serves: place.serves,
        certificate_not_after: place.certificate_not_after,
    }
}

impl Reports {
    pub(super) fn put(&mut self, report: ObjectReport) {
        let same = self.0.get(&report.key).is_some_and(|old| **old == report);
        if !same {
            self.0.insert(report.key.clone(), Arc::new(report));
        }
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) {
        self.0.remove(key);
    }

    /// Puts these in the place of all.
    pub(super) fn replace(&mut self, reports: impl Iterator<Item = ObjectReport>) {
        let mut old = std::mem::take(&mut self.0);
        for report in reports {
            let kept = old.remove(&report.key).filter(|old| **old == report);
            let report = kept.unwrap_or_else(|| Arc::new(report));
            self.0.insert(report.key.clone(), report);
        }
    }
}

/// All of these in the order of their keys.
pub(super) fn merged(many: &Reports, few: [&Reports; 5]) -> Vec<Arc<ObjectReport>> {
    let mut few: Vec<_> = few.iter().flat_map(|reports| reports.0.values()).collect();
    few.sort_by(|a, b| a.key.cmp(&b.key));
    let mut few = few.into_iter().peekable();
    let mut merged = Vec::with_capacity(many.0.len() + few.len());
    for report in many.0.values() {
        while let Some(earlier) = few.next_if(|earlier| earlier.key < report.key) {
            merged.push(Arc::clone(earlier));
        }
        merged.push(Arc::clone(report));
    }
    merged.extend(few.map(Arc::clone));
    merged
}

/// What is wrong with files as such, in the order of path and position.
pub(super) fn files(resources: &ResourceSet) -> Vec<(Origin, Diagnostic)> {
    let mut files = Vec::new();
    for (path, problems) in &resources.files {
        for problem in problems {
            let (code, next) = match problem.kind {
                FileProblemKind::Syntax => (
                    Code::InvalidSyntax,
                    "Mend the syntax; until then the last good objects of the file are served",
                ),
                FileProblemKind::UnknownKind => (
                    Code::UnknownKind,
                    "Correct the kind if it is misspelt; otherwise nothing needs to be done",
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
