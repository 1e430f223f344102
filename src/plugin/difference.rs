//! What is different between two answers of the compiler: problems, and where requests go.

mod hosts;
mod moved;
mod requests;
mod tcp;
mod views;
mod way;
mod witness;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use self::{hosts::Setting, moved::Moved};
use super::{
    output::{Verdict, many},
    state::Which,
};
use crate::{
    graph::{Graph, wire::GraphView},
    report::wire::{DiagnosticView, FileView, ObjectView},
};

/// What is different after a change.
#[derive(Debug, Default, Serialize)]
pub(super) struct Difference {
    pub(super) introduced: Vec<Problem>,
    pub(super) fixed: Vec<Problem>,
    /// The same problems, in other words.
    pub(super) reworded: Vec<Problem>,
    /// What holds for all requests for a name, or of a port, and would be another.
    pub(super) settings: Vec<Setting>,
    pub(super) traffic: Vec<Moved>,
    /// What of the files could not be read, and is not looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) files: Vec<FileView>,
    /// Matches whose requests go where they went.
    pub(super) unchanged: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Problem {
    pub(super) object: String,
    #[serde(flatten)]
    pub(super) found: DiagnosticView,
    /// What could not be read, if it may be there only because of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unknown: Option<String>,
}

/// What the compiler says, and what it makes.
type Answer<'v, G> = (&'v [ObjectView], &'v G);

impl Difference {
    /// By asking both graphs what becomes of requests.
    pub(super) fn between(before: Answer<'_, Graph>, after: Answer<'_, Graph>) -> Self {
        let (mut traffic, unchanged) = requests::moved(before.1, after.1);
        let (connections, kept) = tcp::moved(before.1, after.1);
        traffic.extend(connections);
        Self {
            settings: hosts::settings(before.1, after.1),
            traffic,
            unchanged: unchanged + kept,
            ..Self::of_problems(before.0, after.0)
        }
    }

    /// Where one of the graphs is elsewhere: each match compared with the same one.
    pub(super) fn between_views(
        before: Answer<'_, GraphView>,
        after: Answer<'_, GraphView>,
    ) -> Self {
        let (traffic, unchanged) = views::moved(before.1, after.1);
        Self {
            traffic,
            unchanged,
            ..Self::of_problems(before.0, after.0)
        }
    }

    fn of_problems(before: &[ObjectView], after: &[ObjectView]) -> Self {
        let (old, new) = (problems(before), problems(after));
        let mut introduced: Vec<_> = new.difference(&old).cloned().collect();
        let mut fixed: Vec<_> = old.difference(&new).cloned().collect();
        let reworded = reworded(&mut introduced, &mut fixed);
        Self {
            introduced,
            fixed,
            reworded,
            ..Self::default()
        }
    }

    /// With what makes new problems doubtful.
    pub(super) fn with_doubts(mut self, doubts: &BTreeMap<Which, String>) -> Self {
        for Problem {
            object,
            found,
            unknown,
        } in &mut self.introduced
        {
            let which = (object.clone(), found.code.clone(), found.field.clone());
            *unknown = doubts.get(&which).cloned();
        }
        self
    }

    /// Whether something is wrong that was not.
    pub(super) fn verdict(&self) -> Verdict {
        if self.files.iter().any(|file| file.diagnostic.is_error()) {
            return Verdict::Problems;
        }
        let errors = || { self.introduced.iter() }.filter(|problem| problem.found.is_error());
        if errors().any(|problem| problem.unknown.is_none()) {
            Verdict::Problems
        } else if errors().next().is_some() {
            Verdict::Unknown
        } else {
            Verdict::Clean
        }
    }

    /// Whether requests or connections change hands.
    pub(super) fn moves(&self) -> bool {
        !self.traffic.is_empty()
    }

    /// For people, a line for each.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (word, problems) in [
            ("introduced", &self.introduced),
            ("fixed", &self.fixed),
            ("reworded", &self.reworded),
        ] {
            lines.extend(problems.iter().map(|problem| {
                let found = &problem.found;
                let doubt = problem.unknown.as_ref();
                let doubt = doubt.map_or_else(String::new, |why| format!(" (not certain: {why})"));
                format!(
                    "{word:<12}{}  {}: {}{doubt}",
                    found.code, problem.object, found.message
                )
            }));
        }
        lines.extend(self.files.iter().map(|file| {
            let found = &file.diagnostic;
            format!(
                "{:<12}{}  {}: {}",
                "unread", found.code, file.at, found.message
            )
        }));
        let settings = self.settings.iter();
        lines.extend(settings.map(|setting| {
            let Setting { place, field } = setting;
            format!("{:<12}{place}   {field}", "changed")
        }));
        lines.extend(self.traffic.iter().map(Moved::line));
        lines.push(format!(
            "{:<12}{}",
            "unchanged",
            many(self.unchanged, "route")
        ));
        lines
    }
}

fn problems(objects: &[ObjectView]) -> BTreeSet<Problem> {
    let found = objects.iter().flat_map(|object| {
        let found = object.diagnostics.iter().cloned();
        found.map(|found| Problem {
            object: object.title(),
            found,
            unknown: None,
        })
    });
    found.collect()
}

/// Takes out of both what is only said in other words: of the same object and field, with the same code.
fn reworded(introduced: &mut Vec<Problem>, fixed: &mut Vec<Problem>) -> Vec<Problem> {
    let mut changed = Vec::new();
    introduced.retain(|new| {
        let same = |old: &Problem| {
            (&old.object, &old.found.code, &old.found.field)
                == (&new.object, &new.found.code, &new.found.field)
        };
        let found = fixed.iter().position(same);
        if let Some(at) = found {
            fixed.remove(at);
            changed.push(new.clone());
        }
        found.is_none()
    });
    changed
}

#[cfg(test)]
mod tests;
