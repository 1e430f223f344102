//! `routes`: one line for each hostname and path, whatever it came from.

pub(super) mod tcp;

use std::collections::BTreeSet;

use clap::Args;
use serde::Serialize;

use super::{
    facts::{Facts, Scope},
    output::{Cell, Page, Style, Table, Verdict, many},
    place::{Place, namespace_of, object_of},
};
use crate::graph::wire::{ActionView, ConditionsView, GraphView, PathView, RouteView, TargetView};

#[derive(Args, Debug)]
pub(super) struct Routes {
    /// Only routes that requests for this hostname, and perhaps path, or connections to this port may take: `example.com`, `example.com/cart/`, `:6379`, `tcp://db.example.com:5432`
    #[arg(value_name = "HOST[/PATH]|[HOST]:PORT")]
    place: Option<Place>,
}

/// A route, wherever it is served.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) hostname: String,
    pub(super) path: PathView,
    #[serde(skip_serializing_if = "ConditionsView::is_empty")]
    pub(super) conditions: ConditionsView,
    pub(super) precedence: i32,
    /// Empty for what no claim covers.
    pub(super) region: String,
    pub(super) to: Vec<To>,
}

/// What one Mapping does with its share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct To {
    /// `mapping/apps/quote`.
    pub(super) id: String,
    pub(super) percent: u64,
    pub(super) action: String,
    pub(super) fails: bool,
}

impl Routes {
    pub(super) fn page(&self, facts: &Facts, scope: &Scope) -> Page {
        let fits = |row: &Row| {
            let own = row.to.iter().any(|to| scope.includes(namespace_of(&to.id)));
            own && self.place.as_ref().is_none_or(|place| {
                place.reaches_host(&row.hostname) && place.reaches_path(&row.path.to_string())
            })
        };
        let rows: Vec<_> = rows(&facts.graph).into_iter().filter(fits).collect();
        let ports = tcp::rows(&facts.graph, scope, self.place.as_ref());
        let all = || {
            { rows.iter() }
                .map(|row| &row.to)
                .chain(ports.iter().map(|row| &row.to))
        };
        let fails = all().flatten().any(|to| to.fails);
        let mut table = Table::new(&[
            "HOST",
            "PATH",
            "MATCH",
            "CONDITIONS",
            "TO",
            "FROM",
            "<PRECEDENCE>",
            "<CLAIM>",
        ]);
        for row in &rows {
            table.push([
                (&*row.hostname).into(),
                row.path.to_string().into(),
                row.path.kind().into(),
                row.conditions.to_string().into(),
                targets(&row.to),
                objects(&row.to).into(),
                row.precedence.to_string().into(),
                (&*row.region).into(),
            ]);
        }
        for row in &ports {
            table.push(row.cells());
        }
        let names: Vec<_> = all().flatten().map(|to| kubectl_id(&to.id)).collect();
        let text = many(rows.len() + ports.len(), "route");
        let lines = rows.iter().map(Line::Requests);
        let lines: Vec<_> = lines.chain(ports.iter().map(Line::Connections)).collect();
        Page::list(&lines, table, Verdict::problems_if(fails))
            .with_names(names)
            .with_text(text)
    }
}

/// A route of either kind, as data.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'r> {
    Requests(&'r Row),
    Connections(&'r tcp::Row),
}

/// The objects that are a route together.
fn objects(to: &[To]) -> String {
    let objects: BTreeSet<_> = to.iter().map(|to| object_of(&to.id)).collect();
    objects.into_iter().collect::<Vec<_>>().join(", ")
}

fn targets(to: &[To]) -> Cell {
    let only = to.len() == 1;
    let shown = to.iter().map(|to| {
        if only {
            to.action.clone()
        } else {
            format!("{} {}%", to.action, to.percent)
        }
    });
    let style = if to.iter().any(|to| to.fails) {
        Style::Bad
    } else {
        Style::Plain
    };
    Cell::new(shown.collect::<Vec<_>>().join(", "), style)
}

/// `mapping/apps/quote` as kubectl takes it.
pub(super) fn kubectl_id(id: &str) -> String {
    let mut parts = id.split('/');
    let (kind, name) = (
        parts.next().unwrap_or_default(),
        parts.next_back().unwrap_or_default(),
    );
    if kind.contains('.') {
        format!("{kind}/{name}")
    } else {
        format!("{kind}.postern.dev/{name}")
    }
}

/// All routes, each once, in the order in which they are looked at.
pub(super) fn rows(graph: &GraphView) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut seen = BTreeSet::new();
    let regions = graph.route_sets.iter().flat_map(|set| &set.regions);
    for region in regions {
        for (hostname, route) in region
            .hostnames
            .iter()
            .flat_map(|host| host.routes.iter().map(move |route| (&host.hostname, route)))
        {
            let ids: Vec<_> = route.members.iter().map(|member| &member.id).collect();
            let key = (&region.name, hostname, &route.path, &route.conditions, ids);
            if seen.insert(key) {
                rows.push(row(&region.name, hostname, route, graph));
            }
        }
    }
    rows
}

fn row(region: &str, hostname: &str, route: &RouteView, graph: &GraphView) -> Row {
    let total: u64 = { route.members.iter() }.map(|m| u64::from(m.share)).sum();
    let to = route.members.iter().map(|member| To {
        id: member.id.clone(),
        percent: percent(member.share, total),
        action: action(&member.action, graph),
        fails: matches!(member.action, ActionView::Fail(_)),
    });
    Row {
        hostname: hostname.to_owned(),
        path: route.path.clone(),
        conditions: route.conditions.clone(),
        precedence: route.precedence,
        region: region.to_owned(),
        to: to.collect(),
    }
}

/// A share of the sum of all.
pub(super) fn percent(share: u32, total: u64) -> u64 {
    (u64::from(share) * 100).checked_div(total).unwrap_or(0)
}

/// What is done, in a few words.
pub(super) fn action(action: &ActionView, graph: &GraphView) -> String {
    match action {
        ActionView::Forward(forward) => stands_for(&forward.upstream, graph),
        ActionView::Redirect(_) | ActionView::Fail(_) => None,
    }
    .unwrap_or_else(|| action.summary())
}

/// An upstream, in a few words.
pub(super) fn upstream(id: &str, graph: &GraphView) -> String {
    // That it is for TCP is said beside it.
    stands_for(id, graph).unwrap_or_else(|| id.replacen(" tcp", "", 1))
}

/// The id of the echo server says that it is that, the target whom it stands for.
fn stands_for(id: &str, graph: &GraphView) -> Option<String> {
    match &graph.upstreams.get(id)?.target {
        TargetView::Echo { stands_for, .. } => Some(stands_for.clone()),
        TargetView::Addresses { .. } | TargetView::Dns { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::kubectl_id;

    #[test]
    fn ids_are_told_as_kubectl_takes_them() {
        for (id, name) in [
            ("mapping/apps/quote", "mapping.postern.dev/quote"),
            (
                "mapping.getambassador.io/apps/quote",
                "mapping.getambassador.io/quote",
            ),
        ] {
            assert_eq!(kubectl_id(id), name);
        }
    }
}
