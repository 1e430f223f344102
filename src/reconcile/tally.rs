//! How many objects came to what. Only what a snapshot does not share with the last one is counted again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    report::{Code, ObjectReport, Report},
    telemetry::metrics::Compiled,
};

type Chunk = Arc<Vec<Arc<ObjectReport>>>;

/// The counts of the last snapshot, by chunk of its reports.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// By the address of the chunk, which is nobody else's as long as the chunk is kept here.
    chunks: HashMap<usize, (Chunk, Counts)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    objects: BTreeMap<(&'static str, &'static str), u64>,
    diagnostics: BTreeMap<Code, u64>,
}

// === impl Tally ===

impl Tally {
    /// What is in a report.
    pub(super) fn count(&mut self, generation: u64, report: &Report) -> Compiled {
        let mut before = std::mem::take(&mut self.chunks);
        let mut sum = Counts::default();
        for chunk in report.objects.chunks() {
            let kept = before.remove(&Arc::as_ptr(chunk).addr());
            let counted = kept.unwrap_or_else(|| (Arc::clone(chunk), Counts::of(chunk)));
            sum.add(&counted.1);
            self.chunks.insert(Arc::as_ptr(chunk).addr(), counted);
        }
        for (_, diagnostic) in &report.files {
            *sum.diagnostics.entry(diagnostic.code).or_default() += 1;
        }
        let diagnostics = sum.diagnostics.into_iter();
        Compiled {
            generation,
            objects: sum.objects,
            diagnostics: diagnostics
                .map(|(code, count)| (code.to_string(), count))
                .collect(),
        }
    }
}

/// How many objects have an error.
pub(super) fn errors(compiled: &Compiled) -> u64 {
    let objects = compiled.objects.iter();
    let wrong = objects.filter(|((_, state), _)| matches!(*state, FAILING | REFUSED));
    wrong.map(|(_, count)| count).sum()
}

const FAILING: &str = "failing";
const REFUSED: &str = "refused";

// === impl Counts ===

impl Counts {
    fn of(chunk: &[Arc<ObjectReport>]) -> Self {
        let mut counts = Self::default();
        for object in chunk {
            let row = (object.key.kind.name(), state(object));
            *counts.objects.entry(row).or_default() += 1;
            for diagnostic in &object.diagnostics {
                *counts.diagnostics.entry(diagnostic.code).or_default() += 1;
            }
        }
        counts
    }

    fn add(&mut self, other: &Self) {
        for (row, count) in &other.objects {
            *self.objects.entry(*row).or_default() += count;
        }
        for (code, count) in &other.diagnostics {
            *self.diagnostics.entry(*code).or_default() += count;
        }
    }
}

/// What became of an object, in one word.
fn state(object: &ObjectReport) -> &'static str {
    match (object.in_graph, object.has_errors()) {
        (true, false) => "serving",
        (true, true) => FAILING,
        (false, true) => REFUSED,
        (false, false) => "idle",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::Diagnostic,
        resource::{Group, Kind, ObjectKey, Origin},
    };

    fn object(name: usize, in_graph: bool, code: Option<Code>) -> ObjectReport {
        ObjectReport {
            key: ObjectKey::new(Group::Postern, Kind::Mapping, "apps", &name.to_string()),
            origin: Origin::Cluster,
            revision: Arc::default(),
            diagnostics: Box::from_iter(code.map(|code| Diagnostic::new(code, "", "m", "n"))),
            in_graph,
            serves: Box::default(),
            asks: None,
            settled: crate::report::Settled::default(),
            certificate_not_after: None,
        }
    }

    #[test]
    fn counting_what_changed_is_counting_everything() {
        let mut report = Report::default();
        let mut kept = Tally::default();
        for name in 0..400 {
            let code = [None, Some(Code::UnknownField), Some(Code::NoEffect)][name % 3];
            report.objects.put(object(name, name % 2 == 0, code));
            if name % 50 != 7 {
                continue;
            }
            report.objects.put(object(name / 2, true, None));
            report.objects.remove(&object(name / 3, true, None).key);
            let (counted, fresh) = (kept.count(1, &report), Tally::default().count(1, &report));
            assert_eq!(counted.objects, fresh.objects);
            assert_eq!(counted.diagnostics, fresh.diagnostics);
            let wrong = report.objects.iter().filter(|object| object.has_errors());
            assert_eq!(errors(&counted), wrong.count() as u64);
            assert_eq!(kept.chunks.len(), report.objects.chunks().len());
        }
    }
}
