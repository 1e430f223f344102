//! How the endpoints of an upstream are judged, where it has any.

use std::sync::Arc;

use super::{Dial, Findings};
use crate::{
    compile::mapping::DialPlan,
    graph::{
        Target,
        health::{Health, Probe},
    },
    report::Code,
};

/// What is in force. With a finding, an error, when a Mapping asks for what needs endpoints, and there are none.
pub(super) fn plan(
    plan: &DialPlan,
    dial: Option<&Dial>,
    findings: &mut Findings,
) -> Option<Arc<Health>> {
    let (asked, dial) = (plan.health.as_deref()?, dial?);
    if dial.by_endpoint {
        // What stands in for endpoints in a folder is not asked how they are.
        return matches!(dial.target, Target::Addresses(_))
            .then(|| Arc::new(asked.for_host(&dial.host)));
    }
    let mut needed =
        |field: &str, what: &str| {
            findings.push(
            Code::EndpointsNeeded,
            field,
            format!("{what}, and {} is dialled by one address or name", dial.host),
            "Add `resolver: endpoint` beside a `service` that names a Service, or remove the field",
        );
        };
    if !asked.checks.is_empty() {
        needed("spec.healthChecks", "Health checks ask endpoints");
    }
    if asked.outliers.is_some() {
        needed("spec.outlierDetection", "Ejection leaves out endpoints");
    }
    // The default of the installation is for those that have endpoints.
    if asked.slow_start_said && asked.slow_start.is_some() {
        needed(
            "spec.loadBalancer.slowStart",
            "A slow start is one of endpoints",
        );
    }
    None
}

/// Adds to an id what tells apart the ways of judging: a digest, because it is long, and headers may be secret.
pub(super) fn name(health: &Health, id: &mut String) {
    use sha2::{Digest, Sha256};
    use std::fmt::Write as _;
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    };
    for check in &health.checks {
        add(check.to_string().as_bytes());
        let Probe::Http(http) = &check.probe else {
            continue;
        };
        for (name, value) in &http.headers {
            add(name.as_str().as_bytes());
            add(value.as_bytes());
        }
    }
    add(format!("{:?} {:?}", health.outliers, health.slow_start).as_bytes());
    id.push_str(" health=");
    for byte in digest.finalize().iter().take(8) {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
}
