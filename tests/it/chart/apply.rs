//! What the chart gives is taken by a real API server: every case, as a dry run there.

use std::fs;

use super::{MANIFESTS, cases, documents, is_crd, render};
use crate::cluster::platform::{self, attempt, namespace, said};

/// Kinds of the Prometheus operator, which is not there.
fn is_foreign(document: &str) -> bool {
    document.contains("apiVersion: monitoring.coreos.com/")
}

#[test]
fn a_real_api_server_takes_what_the_chart_gives() {
    let server = platform::shared();
    for team in ["postern", "shop", "web", "certificates"] {
        namespace(server, team);
    }
    let dry_run = [
        "apply",
        "--server-side",
        "--dry-run=server",
        "--validate=strict",
        "--force-conflicts",
        "-f",
        "-",
    ];
    for case in cases() {
        if !case.to_str().unwrap().ends_with(MANIFESTS) {
            continue;
        }
        let manifests = fs::read_to_string(&case).unwrap();
        let known = documents(&manifests, is_foreign);
        let output = attempt(server, &dry_run, &known);
        assert!(
            output.status.success(),
            "{}: {}",
            case.display(),
            said(&output)
        );
    }
    let crds = documents(&render(&[]).unwrap(), |document| !is_crd(document));
    let output = attempt(server, &dry_run, &crds);
    assert!(output.status.success(), "{}", said(&output));
}
