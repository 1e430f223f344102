//! `endpoints`: where the requests for a hostname or a path are sent.

use clap::Args;
use serde::Serialize;

use super::{
    facts::{Answers, Facts},
    output::{Cell, Page, Style, Table, Verdict, many},
    place::{Place, object_of},
    routes,
};
use crate::{
    graph::wire::{ActionView, GraphView, TargetView, UpstreamView},
    resource::{ClusterIp, ResourceSet},
};

#[derive(Args, Debug)]
pub(super) struct Endpoints {
    /// The hostname, perhaps with a path: `example.com`, `example.com/cart/`
    #[arg(value_name = "HOST[/PATH]")]
    place: Place,
}

/// What one Mapping of a route dials.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    hostname: String,
    path: String,
    from: String,
    upstream: String,
    /// `ClusterIP`, `endpoints`, `DNS`, `echo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    addresses: Vec<String>,
    /// Endpoints of the Service that are ready, if they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    ready: Option<usize>,
    fails: bool,
}

impl Endpoints {
    pub(super) fn page(&self, facts: &Facts) -> Page {
        let set = match &facts.answers {
            Answers::Compiled(compiled) => Some(&compiled.set),
            Answers::Replica(_) => None,
        };
        let rows = self.rows(&facts.graph, set);
        let mut table = Table::new(&["HOST", "PATH", "FROM", "TO", "KIND", "READY", "ADDRESSES"]);
        for row in &rows {
            let style = if row.fails { Style::Bad } else { Style::Plain };
            table.push([
                (&*row.hostname).into(),
                (&*row.path).into(),
                (&*row.from).into(),
                Cell::new(&*row.upstream, style),
                row.kind.unwrap_or_default().into(),
                row.ready
                    .map_or_else(String::new, |ready| ready.to_string())
                    .into(),
                row.addresses.join(", ").into(),
            ]);
        }
        let text = match rows.len() {
            0 => "No route serves it.".to_owned(),
            count => many(count, "upstream"),
        };
        let none_ready = |row: &Row| row.fails || row.ready == Some(0);
        let verdict = Verdict::problems_if(rows.is_empty() || rows.iter().any(none_ready));
        Page::list(&rows, table, verdict).with_text(text)
    }

    fn rows(&self, graph: &GraphView, set: Option<&ResourceSet>) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        let regions = graph.route_sets.iter().flat_map(|set| &set.regions);
        let hosts = regions.flat_map(|region| &region.hostnames);
        for host in hosts.filter(|host| self.place.reaches_host(&host.hostname)) {
            for route in &host.routes {
                let path = route.path.to_string();
                if !self.place.reaches_path(&path) {
                    continue;
                }
                for member in &route.members {
                    let row = row(&host.hostname, &path, member, graph, set);
                    let is_same = |other: &Row| {
                        (&other.hostname, &other.path, &other.from)
                            == (&row.hostname, &row.path, &row.from)
                    };
                    if !rows.iter().any(is_same) {
                        rows.push(row);
                    }
                }
            }
        }
        rows
    }
}

fn row(
    hostname: &str,
    path: &str,
    member: &crate::graph::wire::MemberView,
    graph: &GraphView,
    set: Option<&ResourceSet>,
) -> Row {
    let upstream = match &member.action {
        ActionView::Forward(forward) => graph.upstreams.get(&forward.upstream),
        ActionView::Redirect(_) | ActionView::Fail(_) => None,
    };
    let shown = routes::action(&member.action, graph);
    let service = set.and_then(|set| Some((set, service(set, &shown)?)));
    Row {
        hostname: hostname.to_owned(),
        path: path.to_owned(),
        from: object_of(&member.id),
        kind: upstream.map(|upstream| kind(upstream, service)),
        addresses: upstream.map(addresses).unwrap_or_default(),
        ready: service.map(|(set, key)| ready(set, key)),
        upstream: shown,
        fails: matches!(member.action, ActionView::Fail(_)),
    }
}

fn kind(
    upstream: &UpstreamView,
    service: Option<(&ResourceSet, &crate::resource::ObjectKey)>,
) -> &'static str {
    let service = service.and_then(|(set, key)| set.services.get(key));
    match &upstream.target {
        TargetView::Dns { .. } => "DNS",
        TargetView::Echo { .. } => "echo",
        TargetView::Addresses { .. } => match service.map(|service| &service.spec.cluster_ip) {
            Some(ClusterIp::Addresses(_)) => "ClusterIP",
            Some(ClusterIp::Headless | ClusterIp::None) => "endpoints",
            None => "addresses",
        },
    }
}

fn addresses(upstream: &UpstreamView) -> Vec<String> {
    match &upstream.target {
        TargetView::Addresses { addresses } => addresses.clone(),
        TargetView::Dns { dns } => vec![dns.clone()],
        TargetView::Echo { .. } => Vec::new(),
    }
}

/// The Service that an upstream is, by the beginning of its name: `shop/cart:80`.
fn service<'s>(set: &'s ResourceSet, upstream: &str) -> Option<&'s crate::resource::ObjectKey> {
    let name = upstream.split([':', ' ']).next()?;
    let (namespace, name) = name.split_once('/')?;
    set.services
        .keys()
        .find(|key| *key.namespace == *namespace && *key.name == *name)
}

fn ready(set: &ResourceSet, service: &crate::resource::ObjectKey) -> usize {
    let slices = set.endpoint_slices.values();
    let own = slices.filter(|slice| {
        slice.key.namespace == service.namespace && slice.spec.service == service.name
    });
    let mut ready: Vec<_> = own.flat_map(|slice| &slice.spec.ready).collect();
    ready.sort_unstable();
    ready.dedup();
    ready.len()
}
