//! Those who have all the rest of a port, and the names that are claimed there: a TCPMapping without a `host` gets every connection
//! whose name nobody else has, on a port with TLS too. What is claimed is for its owners alone, as within a wildcard.

use std::sync::Arc;

use super::{
    group::{Candidate, Grouping, Names, whole},
    lower::Place,
};
use crate::{
    compile::{claim::Say, safety::covers},
    graph::{HostPattern, HostTable, TcpRoute},
};

impl Grouping<'_, '_, '_> {
    /// Whether names are asked for on a port.
    pub(super) fn has_names(&self, port: u16) -> bool {
        let mut listeners = self.linking.listeners.iter();
        listeners.any(|listener| listener.port == port && listener.tls)
    }

    /// Keeps those who ask for the rest of a port, the oldest first, out of names that others have claimed, and gives them their
    /// own. `any` is the route of those who have the rest.
    pub(super) fn wall(
        &mut self,
        port: u16,
        candidates: &[Candidate],
        any: Option<&Arc<TcpRoute>>,
        names: &mut Names,
    ) {
        let claims = self.linking.claims;
        if claims.on_port(port).is_some() {
            // A port that is claimed is its owners', whatever is asked for there.
            for kept in names.values_mut().filter(|kept| kept.is_none()) {
                *kept = any.cloned();
            }
            return;
        }
        let members = whole(candidates);
        let served = names
            .iter()
            .map(|(host, route)| (host.clone(), (host.clone(), route.is_some())));
        let served: HostTable<_> = served.collect();
        // A narrower claim is looked at after the wider one that has it inside.
        for host in claims
            .hosts()
            .rev()
            .filter(|host| **host != HostPattern::ANY)
        {
            let mut wider = served
                .iter()
                .filter(|(other, _)| covers(&other.name, &host.name));
            if wider.next().is_some_and(|(_, is_served)| *is_served) {
                continue;
            }
            let owners = self.owning(host, candidates);
            let is_below = { names.keys() }.any(|other| covers(&other.name, &host.name));
            let route = if owners.is_empty() {
                None
            } else if owners != members {
                let place = Place {
                    port,
                    host: Some(host.clone()),
                };
                self.group(&place, &owners).map(Arc::new)
            } else if is_below {
                any.cloned()
            } else {
                continue;
            };
            if route.is_some() || any.is_some() || is_below {
                names.insert(host.clone(), route);
            }
        }
        let shown = Place { port, host: None }.to_string();
        self.keep_out(&HostPattern::ANY, &shown, &members);
    }

    /// Those of the candidates whose namespaces have claimed these names.
    fn owning(&self, host: &HostPattern, candidates: &[Candidate]) -> Vec<usize> {
        let claims = self.linking.claims;
        let all = candidates.iter().map(|candidate| candidate.position);
        let owning = all.filter(|position| {
            let namespace = &self.all[*position].object.key.namespace;
            matches!(claims.say_of_connections(namespace, host), Say::Yes)
        });
        owning.collect()
    }
}
