//! What is different between two graphs of which only views are there: each match compared with the same one, without asking
//! which of several has a request.

use std::collections::{BTreeMap, BTreeSet};

use super::moved::{How, Moved, Part};
use crate::{
    graph::wire::{ConditionsView, GraphView, PathView},
    plugin::{place::object_of, routes},
};

/// What each match leads to: compared by hostname, path and conditions. And how many lead where they led.
pub(super) fn moved(before: &GraphView, after: &GraphView) -> (Vec<Moved>, usize) {
    let (mut before, mut after) = (places(before), places(after));
    let places: BTreeSet<_> = before.keys().chain(after.keys()).cloned().collect();
    let mut unchanged = 0;
    let mut moved = Vec::new();
    for place in places {
        let before = before.remove(&place).unwrap_or_default();
        let after = after.remove(&place).unwrap_or_default();
        match How::of(&before, &after) {
            None => unchanged += 1,
            Some(how) => moved.push(Moved {
                place,
                how,
                request: String::new(),
                through: Vec::new(),
                before,
                after,
                fields: Vec::new(),
            }),
        }
    }
    (moved, unchanged)
}

fn places(graph: &GraphView) -> BTreeMap<String, Vec<Part>> {
    let mut places: BTreeMap<String, Vec<Part>> = BTreeMap::new();
    for row in routes::rows(graph) {
        let place = label(&row.hostname, &row.path, &row.conditions);
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

/// `shop.example.com/cart/ [x-team: beta]`.
pub(super) fn label(hostname: &str, path: &PathView, conditions: &ConditionsView) -> String {
    let kind = match path {
        PathView::Exact(_) => " (exact)",
        PathView::Prefix(_) | PathView::Regex(_) => "",
    };
    let conditions = match conditions.to_string() {
        conditions if conditions.is_empty() => conditions,
        conditions => format!(" [{conditions}]"),
    };
    format!("{hostname}{path}{kind}{conditions}")
}
