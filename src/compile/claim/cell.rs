//! What a claim asks for: each hostname with each path.

use std::sync::Arc;

use super::is_claimable;
use crate::{
    compile::finding::Findings,
    crd::RouteClaimSpec,
    graph::{
        HostPattern, RequestPolicy,
        path::{canonical, literal},
        region::as_claimed,
    },
    report::Code,
};

/// A cell that a claim asks for.
pub(super) struct Asked {
    pub(super) host: HostPattern,
    /// Without a slash at its end.
    pub(super) path: Arc<str>,
}

/// The cells of a claim. What cannot be read of it claims nothing, and takes nothing else with it.
pub(super) fn read(
    spec: &RouteClaimSpec,
    policy: RequestPolicy,
    findings: &mut Findings,
) -> Vec<Asked> {
    let paths = paths(spec, policy, findings);
    let hosts = hosts(spec, findings);
    let cells = hosts.iter().flat_map(|host| {
        paths.iter().map(|path| Asked {
            host: host.clone(),
            path: Arc::clone(path),
        })
    });
    cells.collect()
}

/// A cell as a person writes it.
pub(super) fn text(host: &HostPattern, path: &str) -> String {
    format!("{host}{}", if path.is_empty() { "/" } else { path })
}

fn hosts(spec: &RouteClaimSpec, findings: &mut Findings) -> Vec<HostPattern> {
    let names = spec.hostnames.as_deref().unwrap_or_default();
    let only_ports = spec.ports.as_ref().is_some_and(|ports| !ports.is_empty());
    if names.is_empty() && !only_ports && !findings.is_unreadable("spec.hostnames") {
        findings.push(
            Code::MissingField,
            "spec.hostnames",
            "`hostnames` is empty, so nothing is claimed",
            "Name one or more hostnames, or `*` for all",
        );
    }
    let mut hosts = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let parsed = name.parse::<HostPattern>();
        let why = match parsed {
            Ok(host) if is_claimable(&host) => {
                hosts.push(host);
                continue;
            }
            Ok(_) => {
                "a claim is for a name without a port, and `*` stands for whole labels".to_owned()
            }
            Err(error) => error.to_string(),
        };
        findings.push(
            Code::InvalidHostname,
            &format!("spec.hostnames[{index}]"),
            format!("{name:?} cannot be claimed: {why}"),
            "Write a name such as `example.com` or `*.example.com`, or `*`",
        );
    }
    hosts
}

fn paths(spec: &RouteClaimSpec, policy: RequestPolicy, findings: &mut Findings) -> Vec<Arc<str>> {
    if findings.is_unreadable("spec.paths") {
        return Vec::new();
    }
    let Some(asked) = &spec.paths else {
        return vec![Arc::default()];
    };
    if asked.is_empty() {
        findings.push(
            Code::InvalidValue,
            "spec.paths",
            "`paths` is empty, so nothing is claimed",
            "Name one or more paths, or remove the field to claim all",
        );
    }
    let mut paths = Vec::new();
    for (index, path) in asked.iter().enumerate() {
        match spelled(path, policy) {
            Ok(path) => paths.push(path),
            Err(why) => findings.push(
                Code::InvalidPath,
                &format!("spec.paths[{index}]"),
                format!("no request has {path:?}: {why}"),
                "Write the path as it is after normalisation",
            ),
        }
    }
    paths
}

/// As claims see the canonical path, without a slash at its end.
fn spelled(path: &str, policy: RequestPolicy) -> Result<Arc<str>, String> {
    if !path.starts_with('/') {
        return Err("it does not begin with `/`".to_owned());
    }
    let literal = literal(path).map_err(|error| error.to_string())?;
    let canonical = canonical(&literal, policy).map_err(|error| error.to_string())?;
    let path = as_claimed(canonical.as_str());
    Ok(path.strip_suffix('/').unwrap_or(&path).into())
}
