//! Names that others have claimed, below the wildcard of a Host: its certificate and its insecure policy do not reach them
//! unless its namespace has claimed the wildcard itself (design D4).

use std::sync::Arc;

use super::{
    claim::{Claim, Claims},
    host::LoweredHost,
    safety::covers,
    settings::Settings,
    virtual_host::Serving,
};
use crate::{
    graph::{
        HostId, HostPattern, HostTable, HostTls, InsecureAction, VirtualHost, host::NamePattern,
        matching::RouteSet,
    },
    report::{Code, Diagnostic},
    resource::ObjectKey,
};

/// Claimed names that get another Host than the one that would have them.
pub(super) struct Wall<'h> {
    pub(super) names: HostPattern,
    /// None for the default Host.
    pub(super) instead: Option<Serving<'h>>,
    pub(super) kept_out: &'h ObjectKey,
    pub(super) why: Diagnostic,
}

/// The walls among the Hosts of one Listener.
pub(super) fn raise<'h>(
    hosts: &HostTable<Serving<'h>>,
    (claims, settings): (&Claims, &Settings),
) -> Vec<Wall<'h>> {
    let mut walls = Vec::new();
    for (names, claim) in claims.whole_hosts() {
        let wider = wider(hosts, names);
        let Some((first, _)) = wider.first() else {
            continue;
        };
        if is_let_in(first, names, claim, claims, settings) {
            continue;
        }
        let instead = wider
            .iter()
            .find(|(host, _)| is_let_in(host, names, claim, claims, settings));
        walls.push(Wall {
            names: names.clone(),
            instead: instead.copied(),
            kept_out: &first.object.key,
            why: Diagnostic::new(
                Code::PartlyClaimed,
                "spec.hostname",
                format!(
                    "{names} belongs to {}, so this Host is not for it",
                    claim.owner()
                ),
                "Have the wildcard claimed for this namespace, or leave it so",
            ),
        });
    }
    walls
}

/// The Hosts for these names, the most specific first.
fn wider<'h>(hosts: &HostTable<Serving<'h>>, names: &HostPattern) -> Vec<Serving<'h>> {
    let mut found = Vec::new();
    if let NamePattern::Exact(name) = &names.name {
        hosts.find_map(name, |host| {
            found.push(*host);
            None::<()>
        });
    } else {
        let all = hosts.entries();
        let wider = all.filter(|(pattern, _)| covers(&pattern.name, &names.name));
        found.extend(wider.map(|(_, host)| *host));
    }
    found
}

/// Whether a Host may decide about claimed names: for its owners, for those who have claimed the Host's wildcard, and for the
/// platform.
fn is_let_in(
    host: &LoweredHost,
    names: &HostPattern,
    claim: &Claim,
    claims: &Claims,
    settings: &Settings,
) -> bool {
    let namespace = &host.object.key.namespace;
    let Some(pattern) = &host.pattern else {
        return false;
    };
    // One for just these names is there only because its namespace owns them.
    pattern.name == names.name
        || claim.owners.contains(namespace)
        || settings.instance_namespaces.contains(namespace)
        || claims
            .on_host(pattern)
            .is_some_and(|claim| claim.owners.contains(namespace))
}

/// Serves nothing: for claimed names that have no Host where there is no default Host.
pub(super) fn nobody(names: &HostPattern) -> Arc<VirtualHost> {
    Arc::new(VirtualHost {
        id: HostId("claimed".into()),
        pattern: names.clone(),
        tls: HostTls::None,
        insecure: InsecureAction::Route,
        routes: Arc::new(RouteSet::default()),
    })
}
