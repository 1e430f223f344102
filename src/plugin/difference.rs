//! What is different between two answers of the compiler: problems, and where requests go.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    output::{Verdict, many},
    place::object_of,
    routes,
    state::Which,
};
use crate::{
    graph::wire::GraphView,
    report::wire::{DiagnosticView, FileView, ObjectView},
};

/// What is different after a change.
#[derive(Debug, Default, Serialize)]
pub(super) struct Difference {
    pub(super) introduced: Vec<Problem>,
    pub(super) fixed: Vec<Problem>,
    /// The same problems, in other words.
    pub(super) changed: Vec<Problem>,
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

/// Requests of one match that go elsewhere, or in other shares.
#[derive(Debug, Serialize)]
pub(super) struct Moved {
    place: String,
    /// Empty: it would be new.
    before: Vec<Part>,
    /// Empty: nobody would serve it any more.
    after: Vec<Part>,
}

/// What one Mapping does with its share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Part {
    /// `Mapping shop/cart`.
    object: String,
    to: String,
    percent: u64,
}

/// An answer of the compiler.
type Answer<'v> = (&'v [ObjectView], &'v GraphView);

impl Difference {
    pub(super) fn between(before: Answer<'_>, after: Answer<'_>) -> Self {
        let (old, new) = (problems(before.0), problems(after.0));
        let mut introduced: Vec<_> = new.difference(&old).cloned().collect();
        let mut fixed: Vec<_> = old.difference(&new).cloned().collect();
        let changed = reworded(&mut introduced, &mut fixed);
        let (traffic, unchanged) = moved(before.1, after.1);
        Self {
            introduced,
            fixed,
            changed,
            traffic,
            files: Vec::new(),
            unchanged,
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

    /// For people, a line for each.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (word, problems) in [
            ("introduced", &self.introduced),
            ("fixed", &self.fixed),
            ("changed", &self.changed),
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
        let traffic = self.traffic.iter();
        lines.extend(traffic.map(|moved| {
            let (word, change) = (moved.word(), moved.change());
            format!("{word:<12}{}   {change}", moved.place)
        }));
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

/// What each match leads to: compared by hostname, path and conditions.
fn moved(before: &GraphView, after: &GraphView) -> (Vec<Moved>, usize) {
    let (mut before, mut after) = (places(before), places(after));
    let places: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
    let mut unchanged = 0;
    let mut moved = Vec::new();
    for place in places {
        let old = before.remove(&place).unwrap_or_default();
        let new = after.remove(&place).unwrap_or_default();
        if sent(&old) == sent(&new) {
            unchanged += 1;
        } else {
            moved.push(Moved {
                place,
                before: old,
                after: new,
            });
        }
    }
    (moved, unchanged)
}

fn places(graph: &GraphView) -> BTreeMap<String, Vec<Part>> {
    let mut places: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for row in routes::rows(graph) {
        let conditions = match row.conditions.to_string() {
            conditions if conditions.is_empty() => conditions,
            conditions => format!(" [{conditions}]"),
        };
        let kind = if row.path.kind() == "exact" {
            " (exact)"
        } else {
            ""
        };
        let place = format!("{}{}{kind}{conditions}", row.hostname, row.path);
        let parts = places.entry(place).or_default();
        for to in row.to {
            let part = Part {
                object: object_of(&to.id),
                to: to.action,
                percent: to.percent,
            };
            // A route that claims divide is there once for each part.
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
    }
    places
}

/// What clients notice: where requests go, and in which shares.
fn sent(parts: &[Part]) -> BTreeMap<&str, u64> {
    let mut sent = BTreeMap::new();
    for part in parts {
        *sent.entry(&*part.to).or_default() += part.percent;
    }
    sent
}

impl Moved {
    /// `shares` when requests go where they went, in other shares.
    fn word(&self) -> &'static str {
        let (before, after) = (sent(&self.before), sent(&self.after));
        if before.keys().eq(after.keys()) {
            "shares"
        } else {
            "traffic"
        }
    }

    fn change(&self) -> String {
        let (before, after) = (sent(&self.before), sent(&self.after));
        if self.word() == "shares" {
            let shares = before.iter().map(|(to, old)| match after.get(to) {
                Some(new) if new != old => format!("{to} {old}% -> {new}%"),
                _ => format!("{to} {old}%"),
            });
            return shares.collect::<Vec<_>>().join(", ");
        }
        let told = |sent: &BTreeMap<&str, u64>| {
            let only = sent.len() == 1;
            let parts = sent.iter().map(|(to, percent)| {
                if only {
                    (*to).to_owned()
                } else {
                    format!("{to} {percent}%")
                }
            });
            match sent.len() {
                0 => "nothing".to_owned(),
                _ => parts.collect::<Vec<_>>().join(", "),
            }
        };
        format!("{} -> {}", told(&before), told(&after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(object: &str, field: &str, message: &str) -> Problem {
        Problem {
            object: object.to_owned(),
            found: DiagnosticView {
                code: "PST2018".to_owned(),
                field: field.to_owned(),
                message: message.to_owned(),
                ..DiagnosticView::default()
            },
            unknown: None,
        }
    }

    #[test]
    fn a_problem_in_other_words_is_neither_new_nor_fixed() {
        let mut introduced = vec![
            problem("a", "spec.prefix", "two take it"),
            problem("b", "spec.prefix", "new"),
            problem("a", "spec.prefix", "three take it"),
        ];
        let mut fixed = vec![
            problem("a", "spec.prefix", "one takes it"),
            problem("c", "spec.prefix", "gone"),
        ];
        let changed = reworded(&mut introduced, &mut fixed);
        let told = |problems: &[Problem]| -> Vec<_> {
            let told = problems.iter();
            told.map(|problem| problem.found.message.clone()).collect()
        };
        assert_eq!(told(&changed), ["two take it"]);
        assert_eq!(told(&introduced), ["new", "three take it"]);
        assert_eq!(told(&fixed), ["gone"]);
    }

    #[test]
    fn other_shares_are_told_as_rates_and_other_places_as_a_move() {
        let part = |to: &str, percent| Part {
            object: format!("Mapping shop/{to}"),
            to: to.to_owned(),
            percent,
        };
        for (before, after, word, change) in [
            (
                vec![part("cart", 90), part("next", 10)],
                vec![part("cart", 50), part("next", 50)],
                "shares",
                "cart 90% -> 50%, next 10% -> 50%",
            ),
            (
                vec![part("cart", 100)],
                vec![part("next", 100)],
                "traffic",
                "cart -> next",
            ),
            (
                vec![part("cart", 100)],
                vec![part("cart", 90), part("next", 10)],
                "traffic",
                "cart -> cart 90%, next 10%",
            ),
            (
                vec![],
                vec![part("cart", 100)],
                "traffic",
                "nothing -> cart",
            ),
            (
                vec![part("cart", 100)],
                vec![],
                "traffic",
                "cart -> nothing",
            ),
        ] {
            let moved = Moved {
                place: String::new(),
                before,
                after,
            };
            assert_eq!((moved.word(), &*moved.change()), (word, change));
        }
    }
}
