//! `diff`: which requests change hands if a folder is applied.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;

use super::{
    Console,
    args::Common,
    facts::{Compiled, Facts},
    output::{Page, Verdict, many},
    place::object_of,
    routes, source,
};
use crate::{
    compile::compile,
    graph::wire::GraphView,
    report::wire::{DiagnosticView, ReportView},
    resource::{AnyObject, ResourceSet},
};

#[derive(Args, Debug)]
pub(super) struct Diff {
    /// Compare with these manifests instead of the cluster
    #[arg(long, value_name = "PATH")]
    from: Vec<PathBuf>,
}

/// What would be different.
#[derive(Debug, Default, Serialize)]
struct Told {
    introduced: Vec<Problem>,
    fixed: Vec<Problem>,
    /// The same problems, in other words.
    changed: Vec<Problem>,
    traffic: Vec<Moved>,
    unchanged: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Problem {
    object: String,
    #[serde(flatten)]
    found: DiagnosticView,
}

/// Requests of one match that go elsewhere, or in other shares.
#[derive(Debug, Serialize)]
struct Moved {
    place: String,
    /// Empty: it would be new.
    before: Vec<Part>,
    /// Empty: nobody would serve it any more.
    after: Vec<Part>,
}

/// What one Mapping does with its share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Part {
    /// `Mapping shop/cart`.
    object: String,
    to: String,
    percent: u64,
}

impl Diff {
    pub(super) async fn page(&self, common: &Common, console: &mut Console<'_>) -> Result<Page> {
        if common.files.is_empty() {
            bail!("what would be applied? Name a folder with -f");
        }
        let now: Facts = if self.from.is_empty() {
            source::load(&common.of_cluster()).await?
        } else {
            source::load(&common.of_files(self.from.clone())).await?
        };
        now.complain(console)?;
        let namespace = common
            .namespace
            .as_deref()
            .or(now.scope.namespace.as_deref());
        let named = Common {
            namespace: namespace.map(str::to_owned),
            ..common.clone()
        };
        let applied = source::folder::compile(&common.files, &named)?;
        let told = compared(now.compiled()?, &applied.set);
        let problems = told
            .introduced
            .iter()
            .any(|problem| problem.found.is_error());
        let text = text(&told);
        Ok(Page::new(&told, Verdict::problems_if(problems))?.with_text(text))
    }
}

/// The same objects, and these in the place of those of their names.
fn compared(now: &Compiled, applied: &ResourceSet) -> Told {
    let mut set = now.set.clone();
    for object in objects_of(applied, &now.set) {
        set.insert(object);
    }
    let (graph, report) = compile(&set, &now.options);
    let problems = |report: &ReportView| -> BTreeSet<Problem> {
        let objects = report.objects.iter();
        objects
            .flat_map(|object| {
                object
                    .diagnostics
                    .iter()
                    .map(|found| (object.title(), found.clone()))
            })
            .map(|(object, found)| Problem { object, found })
            .collect()
    };
    let before = problems(&ReportView::of(&now.report));
    let after = problems(&ReportView::of(&report));
    let mut introduced: Vec<_> = after.difference(&before).cloned().collect();
    let mut fixed: Vec<_> = before.difference(&after).cloned().collect();
    let changed = reworded(&mut introduced, &mut fixed);
    let (traffic, unchanged) = moved(&GraphView::of(&now.graph), &GraphView::of(&graph));
    Told {
        introduced,
        fixed,
        changed,
        traffic,
        unchanged,
    }
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

/// The objects of a set as they would be if they were applied to another: what is there already keeps its age, and what is new
/// is younger than everything that has one.
pub(super) fn objects_of(applied: &ResourceSet, now: &ResourceSet) -> Vec<AnyObject> {
    let has_ages = now.mappings.values().any(|m| m.meta.created.is_some());
    let mut objects = objects(applied);
    for object in &mut objects {
        let before = now.meta(object.key()).and_then(|meta| meta.created);
        object.meta_mut().created = before.or(has_ages.then_some(i64::MAX));
    }
    objects
}

fn objects(set: &ResourceSet) -> Vec<AnyObject> {
    let mut all = Vec::new();
    all.extend(set.mappings.values().cloned().map(AnyObject::Mapping));
    all.extend(set.hosts.values().cloned().map(AnyObject::Host));
    all.extend(set.listeners.values().cloned().map(AnyObject::Listener));
    all.extend(
        set.settings
            .values()
            .cloned()
            .map(AnyObject::GatewaySettings),
    );
    all.extend(set.claims.values().cloned().map(AnyObject::RouteClaim));
    all.extend(
        set.tls_contexts
            .values()
            .cloned()
            .map(AnyObject::TlsContext),
    );
    all.extend(set.others.values().cloned().map(AnyObject::Other));
    all.extend(set.namespaces.values().cloned().map(AnyObject::Namespace));
    all.extend(set.services.values().cloned().map(AnyObject::Service));
    all.extend(
        set.endpoint_slices
            .values()
            .cloned()
            .map(AnyObject::EndpointSlice),
    );
    all.extend(set.secrets.values().cloned().map(AnyObject::Secret));
    all.extend(set.grants.values().cloned().map(AnyObject::Grant));
    all
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

fn text(told: &Told) -> String {
    let mut lines = Vec::new();
    for (word, problems) in [
        ("introduced", &told.introduced),
        ("fixed", &told.fixed),
        ("changed", &told.changed),
    ] {
        lines.extend(problems.iter().map(|problem| {
            let found = &problem.found;
            format!(
                "{word:<12}{}  {}: {}",
                found.code, problem.object, found.message
            )
        }));
    }
    let traffic = told.traffic.iter();
    lines.extend(traffic.map(|moved| {
        let (word, change) = (moved.word(), moved.change());
        format!("{word:<12}{}   {change}", moved.place)
    }));
    lines.push(format!(
        "{:<12}{}",
        "unchanged",
        many(told.unchanged, "route")
    ));
    lines.join("\n")
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
