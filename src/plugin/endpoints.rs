//! `endpoints`: where the requests for a hostname or a path, or the connections to a port, are sent.

use clap::Args;
use serde::Serialize;

use super::{
    backing::{self, Backing},
    facts::Facts,
    output::{Cell, Page, Style, Table, Verdict, many},
    place::{Place, object_of},
    routes,
};
use crate::graph::wire::{ActionView, TargetView, TcpActionView, UpstreamView};

#[derive(Args, Debug)]
pub(super) struct Endpoints {
    /// The hostname, perhaps with a path, or the port: `example.com`, `example.com/cart/`, `:6379`, `tcp://db.example.com:5432`
    #[arg(value_name = "HOST[/PATH]|[HOST]:PORT")]
    place: Place,
}

/// What one object of a route dials.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    backing: Option<Backing>,
    /// How it is decided which endpoints are used, where that is not by their readiness alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    judged: Vec<String>,
    fails: bool,
}

impl Endpoints {
    pub(super) fn page(&self, facts: &Facts) -> Page {
        let rows = self.rows(facts);
        let mut table = Table::new(&["HOST", "PATH", "FROM", "TO", "KIND", "READY", "ADDRESSES"]);
        for row in &rows {
            let style = if row.fails { Style::Bad } else { Style::Plain };
            table.push([
                (&*row.hostname).into(),
                (&*row.path).into(),
                (&*row.from).into(),
                Cell::new(&*row.upstream, style),
                row.kind.unwrap_or_default().into(),
                row.readiness(),
                row.addresses.join(", ").into(),
            ]);
        }
        let mut text = match rows.len() {
            0 => "No route serves it.".to_owned(),
            count => many(count, "upstream"),
        };
        for row in rows.iter().filter(|row| !row.judged.is_empty()) {
            text.extend(["\n", &row.hostname, &row.path, ": ", &row.judged.join("; ")]);
        }
        let is_down = |row: &Row| row.fails || row.backing.as_ref().is_some_and(Backing::is_down);
        let backings: Vec<_> = rows.iter().filter_map(|row| row.backing.clone()).collect();
        let verdict = if rows.is_empty() || rows.iter().any(is_down) {
            Verdict::Problems
        } else if backings.iter().any(|backing| backing.unknown.is_some()) {
            Verdict::Unknown
        } else {
            Verdict::Clean
        };
        Page::list(&rows, table, verdict)
            .with_text(text)
            .with_wide_table(backing::table(&backings))
    }

    fn rows(&self, facts: &Facts) -> Vec<Row> {
        let graph = &facts.graph;
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
                    let at = (&*host.hostname, &*path);
                    let upstream = match &member.action {
                        ActionView::Forward(forward) => Some(&*forward.upstream),
                        ActionView::Redirect(_) | ActionView::Fail(_) => None,
                    };
                    let row = Row {
                        upstream: routes::action(&member.action, graph),
                        fails: matches!(member.action, ActionView::Fail(_)),
                        ..row(at, &member.id, upstream, facts)
                    };
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
        rows.extend(self.connections(facts));
        rows
    }

    /// Those of TCPMappings.
    fn connections(&self, facts: &Facts) -> Vec<Row> {
        let mut rows = Vec::new();
        for listener in &facts.graph.listeners {
            let port = listener.port;
            for route in &listener.tcp {
                if !self.place.reaches_connections(port, route.host.as_deref()) {
                    continue;
                }
                let at = format!("{}:{port}", route.host.as_deref().unwrap_or_default());
                rows.extend(route.members.iter().map(|member| {
                    let (upstream, shown) = match &member.action {
                        TcpActionView::Forward { upstream, .. } => {
                            (Some(&**upstream), routes::upstream(upstream, &facts.graph))
                        }
                        TcpActionView::Fail(code) => (None, format!("closed ({code})")),
                    };
                    Row {
                        upstream: shown,
                        fails: upstream.is_none(),
                        ..row((&at, ""), &member.id, upstream, facts)
                    }
                }));
            }
        }
        rows
    }
}

/// What there is to say of an upstream, by its id.
fn row((hostname, path): (&str, &str), member: &str, upstream: Option<&str>, facts: &Facts) -> Row {
    let upstream = upstream.and_then(|id| facts.graph.upstreams.get_key_value(id));
    let backing = upstream.and_then(|(id, upstream)| Backing::of(id, &upstream.target, facts));
    let upstream = upstream.map(|(_, upstream)| upstream);
    Row {
        hostname: hostname.to_owned(),
        path: path.to_owned(),
        from: object_of(member),
        upstream: String::new(),
        kind: upstream.map(|upstream| kind(upstream, backing.as_ref())),
        addresses: upstream.map(addresses).unwrap_or_default(),
        backing,
        judged: upstream.map(judged).unwrap_or_default(),
        fails: false,
    }
}

impl Row {
    /// `2/3`.
    fn readiness(&self) -> Cell {
        let Some(backing) = &self.backing else {
            return Cell::default();
        };
        let (Some(ready), Some(endpoints)) = (backing.ready(), &backing.endpoints) else {
            return Cell::new("not told", Style::Warn);
        };
        let style = match ready {
            0 => Style::Bad,
            some if some < endpoints.len() => Style::Warn,
            _ => Style::Good,
        };
        Cell::new(format!("{ready}/{}", endpoints.len()), style)
    }
}

fn kind(upstream: &UpstreamView, backing: Option<&Backing>) -> &'static str {
    match &upstream.target {
        TargetView::Dns { .. } => "DNS",
        TargetView::Echo { .. } => "echo",
        TargetView::Addresses { .. } => {
            let dialled = backing.and_then(|backing| backing.dialled);
            dialled.unwrap_or("addresses")
        }
    }
}

fn judged(upstream: &UpstreamView) -> Vec<String> {
    let checks = { upstream.health_checks.iter() }.map(|check| format!("checked by {check}"));
    let others = [
        ("left out after", &upstream.outliers),
        ("full share after", &upstream.slow_start),
        ("for zones:", &upstream.zones),
    ];
    let others = { others.into_iter() }
        .filter_map(|(what, said)| said.as_ref().map(|said| format!("{what} {said}")));
    checks.chain(others).collect()
}

fn addresses(upstream: &UpstreamView) -> Vec<String> {
    match &upstream.target {
        TargetView::Addresses { addresses } => addresses.clone(),
        TargetView::Dns { dns } => vec![dns.clone()],
        TargetView::Echo { .. } => Vec::new(),
    }
}
