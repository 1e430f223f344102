//! The dashboard for Grafana, from the definitions of the metrics: one panel for each family, with its help as description.

use std::collections::BTreeMap;

use postern::cli::docs;
use serde_json::{Value, json};

/// A family of metrics.
#[derive(Debug)]
pub(crate) struct Family {
    name: String,
    kind: String,
    help: String,
}

/// Rows, and the families in them by the beginning of their names. The first that fits has it.
const ROWS: &[(&str, &[&str])] = &[
    ("Requests", &["postern_request", "postern_response"]),
    ("Routes", &["postern_route"]),
    (
        "Clients",
        &["postern_connections", "postern_tls", "postern_access_log"],
    ),
    ("Upstreams", &["postern_upstream"]),
    (
        "Configuration",
        &["postern_config", "postern_objects", "postern_diagnostics"],
    ),
    (
        "API server and status",
        &["postern_watch", "postern_status", "postern_replica"],
    ),
    ("Process", &["postern_"]),
];

/// By which labels the series of a family are told apart, beside the pod's.
const LABELS: &[(&str, &str)] = &[
    ("postern_requests", "code, reason"),
    ("postern_route_requests", "route, code"),
    ("postern_route_request_duration_seconds", "route"),
    ("postern_upstream_connections_failed", "cause"),
    ("postern_objects", "kind, state"),
    ("postern_diagnostics", "code"),
    ("postern_replicas", "state"),
    ("postern_status_writes", "result"),
    ("postern_watch_age_seconds", "watch"),
    ("postern_watch_errors", "watch"),
];

const WIDTH: u64 = 8;
const HEIGHT: u64 = 7;
const COLUMNS: u64 = 24 / WIDTH;

/// The families of the reference.
pub(crate) fn families() -> Vec<Family> {
    let pages = docs::pages();
    let (_, page) = pages
        .iter()
        .find(|(name, _)| *name == "metrics.md")
        .unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `postern_"));
    let families: Vec<_> = rows
        .map(|row| {
            let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
            Family {
                name: cells[0].trim().trim_matches('`').to_owned(),
                kind: cells[1].trim().to_owned(),
                help: cells[2].trim().trim_end_matches('|').trim().to_owned(),
            }
        })
        .collect();
    assert!(families.len() > 20, "{families:?}");
    families
}

impl Family {
    /// The names of its series.
    pub(crate) fn series(&self) -> Vec<String> {
        let name = &self.name;
        match self.kind.as_str() {
            "counter" => vec![format!("{name}_total")],
            "histogram" => ["bucket", "sum", "count"]
                .map(|part| format!("{name}_{part}"))
                .to_vec(),
            "info" => vec![format!("{name}_info")],
            _ => vec![name.clone()],
        }
    }

    /// Whether this is the name of the family or of one of its series.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.name == name || self.series().iter().any(|series| series == name)
    }

    fn labels(&self) -> &'static str {
        let found = LABELS.iter().find(|(name, _)| *name == self.name);
        found.map_or("pod", |(_, labels)| labels)
    }

    /// Queries, and how their series are called.
    fn queries(&self) -> Vec<(String, String)> {
        let selector = "{namespace=\"$namespace\", pod=~\"$pod\"}";
        let labels = self.labels();
        let legend: Vec<_> = labels
            .split(", ")
            .map(|label| format!("{{{{{label}}}}}"))
            .collect();
        let legend = legend.join(" ");
        let series = self.series();
        let rate = format!("rate({}{selector}[$__rate_interval])", series[0]);
        match self.kind.as_str() {
            // There may be thousands of routes: the busiest, and the slowest.
            "counter" if labels.starts_with("route") => {
                vec![(format!("topk(20, sum by ({labels}) ({rate}))"), legend)]
            }
            "histogram" if labels.starts_with("route") => {
                let slowest = format!("histogram_quantile(0.99, sum by (le, {labels}) ({rate}))");
                vec![(format!("topk(20, {slowest})"), format!("p99 {legend}"))]
            }
            "counter" => vec![(format!("sum by ({labels}) ({rate})"), legend)],
            "histogram" => [("0.5", "p50"), ("0.9", "p90"), ("0.99", "p99")]
                .map(|(quantile, legend)| {
                    let query = format!("histogram_quantile({quantile}, sum by (le) ({rate}))");
                    (query, legend.to_owned())
                })
                .to_vec(),
            _ if labels == "pod" => vec![(format!("{}{selector}", series[0]), legend)],
            _ => vec![(
                format!("max by ({labels}) ({}{selector})", series[0]),
                legend,
            )],
        }
    }

    fn unit(&self) -> &'static str {
        let name = &self.name;
        match self.kind.as_str() {
            "counter" if name.ends_with("_bytes") => "Bps",
            "counter" => "ops",
            _ if name.ends_with("_seconds") => "s",
            _ if name.ends_with("_bytes") => "bytes",
            _ => "short",
        }
    }
}

fn panel(family: &Family, id: u64, x: u64, y: u64) -> Value {
    let targets: Vec<_> = family
        .queries()
        .into_iter()
        .zip(["A", "B", "C"])
        .map(|((query, legend), id)| json!({"refId": id, "expr": query, "legendFormat": legend}))
        .collect();
    json!({
        "id": id,
        "type": "timeseries",
        "title": family.name,
        "description": family.help,
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "gridPos": {"x": x, "y": y, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": family.unit(), "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": targets,
    })
}

/// The panels, row by row.
fn panels() -> Vec<Value> {
    let mut by_row: BTreeMap<usize, Vec<Family>> = BTreeMap::new();
    for family in families() {
        let row = ROWS
            .iter()
            .position(|(_, begins)| begins.iter().any(|begin| family.name.starts_with(begin)));
        by_row.entry(row.unwrap()).or_default().push(family);
    }
    let (mut panels, mut y) = (Vec::new(), 0);
    for (row, families) in by_row {
        let id = panels.len() as u64 + 1;
        panels.push(
            json!({"id": id, "type": "row", "title": ROWS[row].0, "collapsed": false,
            "gridPos": {"x": 0, "y": y, "w": 24, "h": 1}, "panels": []}),
        );
        y += 1;
        for (place, family) in (0..).zip(&families) {
            let id = panels.len() as u64 + 1;
            let (x, below) = (place % COLUMNS * WIDTH, place / COLUMNS * HEIGHT);
            panels.push(panel(family, id, x, y + below));
        }
        y += (families.len() as u64).div_ceil(COLUMNS) * HEIGHT;
    }
    panels
}

fn variable(name: &str, query: &str, is_multi: bool) -> Value {
    json!({"name": name, "type": "query", "datasource": {"type": "prometheus", "uid": "$datasource"},
        "query": query, "refresh": 2, "multi": is_multi, "includeAll": is_multi, "sort": 1})
}

/// The dashboard, as Grafana imports it.
pub(crate) fn dashboard() -> String {
    let dashboard = json!({
        "uid": "postern",
        "title": "Postern",
        "tags": ["postern"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [
            {"name": "datasource", "type": "datasource", "query": "prometheus"},
            variable("namespace", "label_values(postern_build_info, namespace)", false),
            variable("pod", "label_values(postern_build_info{namespace=\"$namespace\"}, pod)", true),
        ]},
        "panels": panels(),
    });
    format!("{dashboard:#}\n")
}
