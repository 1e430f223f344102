//! What tells two graphs apart, and what those compare who compare them as text.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    graph::{Graph, wire::GraphView},
    report::{Report, wire::ReportView},
};

/// Tells whether two graphs are the same: equal on every machine for equal graphs.
pub fn digest(graph: &Graph) -> String {
    let text =
        serde_json::to_vec(&GraphView::of(graph)).expect("texts and numbers must become JSON");
    format!("{:x}", Bytes::from_owner(Sha256::digest(text)))
}

/// Graph and report as the diagnostics show them, for those who compare them as text.
pub fn dump(graph: &Graph, report: &Report) -> (Value, Value) {
    let mut shown = ReportView::of(report);
    for object in &mut shown.objects {
        // The manifest, with which these are compared, says it already.
        object.asks = None;
        object.settles = None;
        object.tls_context = None;
        object.owners = None;
        object.created = None;
    }
    let report = json!({
        "objects": shown.objects,
        "files": shown.files,
        "wantedSecrets": report.wanted_secrets.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    (json!(GraphView::of(graph)), report)
}
