//! TCPMappings that have connections together, and the tables made of them.
//!
//! A wildcard is one route for all its names, but for those inside of it that are claimed: of these, each is for the TCPMappings of
//! whoever has claimed it, and kept out where those have none.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Known, Linking,
    lower::{self, LoweredTcp, Place},
};
use crate::{
    compile::{
        claim::listed,
        mapping::Weight,
        state,
        virtual_host::some_name,
        weight::{self, Share},
    },
    graph::{
        ClientTls, Fail, Handshake, HostPattern, HostTable, ServerTls, TcpAction, TcpForward,
        TcpMember, TcpRoute, TcpTable,
    },
    report::Code,
};

/// A TCPMapping that asks for a place and may have some of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// In the list of all.
    pub(super) position: usize,
    /// Whether it may have everything that is not claimed inside.
    pub(super) is_whole: bool,
}

/// What groups are made with.
pub(super) struct Grouping<'g, 'l, 'k> {
    pub(super) all: &'g mut [LoweredTcp],
    pub(super) linking: &'g Linking<'l>,
    pub(super) known: &'g mut Known<'k>,
}

/// The routes of a port by the names of handshakes; none keeps a name out.
pub(super) type Names = BTreeMap<HostPattern, Option<Arc<TcpRoute>>>;

impl Grouping<'_, '_, '_> {
    /// The tables of all ports; of each place the candidates, the oldest first.
    pub(super) fn tables(
        mut self,
        places: &BTreeMap<Place, Vec<Candidate>>,
    ) -> BTreeMap<u16, TcpTable> {
        let mut tables = BTreeMap::new();
        let ports: BTreeSet<u16> = places.keys().map(|place| place.port).collect();
        for port in ports {
            let of_port = places.iter().filter(|(place, _)| place.port == port);
            let hosts: Vec<_> = of_port
                .clone()
                .filter_map(|(place, candidates)| Some((place.host.as_ref()?, &**candidates)))
                .collect();
            let mut any = of_port.filter(|(place, _)| place.host.is_none());
            let mut names = self.names(port, &hosts);
            let any = any.next().and_then(|(place, candidates)| {
                let any = self.group(place, &whole(candidates)).map(Arc::new);
                if self.has_names(port) {
                    self.wall(port, candidates, any.as_ref(), &mut names);
                }
                any
            });
            let by_name = names.into_iter().collect();
            tables.insert(port, TcpTable { by_name, any });
        }
        tables
    }

    fn names(&mut self, port: u16, hosts: &[(&HostPattern, &[Candidate])]) -> Names {
        let place = |host: &HostPattern| Place {
            port,
            host: Some(host.clone()),
        };
        let (mut names, mut made) = (Names::new(), Vec::new());
        for (host, candidates) in hosts {
            let members = whole(candidates);
            if let Some(route) = self.group(&place(host), &members) {
                names.insert((*host).clone(), Some(Arc::new(route)));
                made.push(((*host).clone(), members));
            }
        }
        // The most specific wildcard has a claimed name, as it has every name.
        let entries = hosts
            .iter()
            .map(|(host, them)| ((*host).clone(), (*host, *them)));
        let by_rank: HostTable<_> = entries.collect();
        for (host, candidates) in by_rank.iter() {
            for (inside, owners) in self.owners(host, candidates) {
                if !names.contains_key(&inside)
                    && let Some(route) = self.group(&place(&inside), &owners)
                {
                    names.insert(inside.clone(), Some(Arc::new(route)));
                    made.push((inside, owners));
                }
            }
        }
        for (host, members) in &made {
            for kept in self.keep_out(host, &host.to_string(), members) {
                names.entry(kept).or_insert(None);
            }
        }
        names
    }

    /// The claimed names inside of a wildcard, with those of the candidates whose they are.
    fn owners(
        &self,
        host: &HostPattern,
        candidates: &[Candidate],
    ) -> BTreeMap<HostPattern, Vec<usize>> {
        let mut owners: BTreeMap<HostPattern, Vec<usize>> = BTreeMap::new();
        for candidate in candidates {
            let namespace = &self.all[candidate.position].object.key.namespace;
            for inside in self.linking.claims.owned_within(namespace, host) {
                let of = owners.entry(inside.clone()).or_default();
                of.push(candidate.position);
            }
        }
        owners
    }

    /// The route of some TCPMappings, the oldest first; none when there are none.
    pub(super) fn group(&mut self, place: &Place, members: &[usize]) -> Option<TcpRoute> {
        let client_tls = self.all[*members.first()?].client_tls;
        let is_alike = |member: &&usize| self.all[**member].client_tls == client_tls;
        let (fitting, others): (Vec<&usize>, Vec<&usize>) = members.iter().partition(is_alike);
        for other in others {
            self.all[*other].findings.push(
                Code::GroupMismatch,
                "spec.clientTls",
                "Older TCPMappings with the same port and host treat the TLS of clients otherwise",
                "Write the same `clientTls` in all of them",
            );
        }
        let weights: Vec<_> = { fitting.iter() }
            .map(|member| self.all[**member].weight)
            .collect();
        let shares = weight::shares(&weights);
        let is_refused = |share: &Share| matches!(share, Share::Refused { .. });
        let nobody = shares.iter().all(is_refused);
        let mut route = Vec::new();
        let mut tls = None;
        for (member, share) in fitting.into_iter().zip(shares) {
            let tcp = &mut self.all[*member];
            tcp.serves.insert(place.to_string());
            let share = match share {
                Share::Of(share) => share,
                Share::Refused { .. } => {
                    refuse_weight(tcp);
                    // Where nobody else takes connections, the refusal does.
                    u32::from(nobody)
                }
            };
            if client_tls == ClientTls::Terminate {
                tls = tls.or_else(|| certificate(tcp, place, self.linking));
            }
            let action = action(tcp, self.linking, self.known);
            let id = lower::id(&tcp.object);
            route.push(TcpMember { id, share, action });
        }
        route.sort_by(|a, b| a.id.cmp(&b.id));
        Some(TcpRoute {
            client_tls,
            tls,
            members: route.into(),
        })
    }

    /// The names of a wildcard that others have claimed; says so.
    pub(super) fn keep_out(
        &mut self,
        host: &HostPattern,
        shown: &str,
        members: &[usize],
    ) -> Vec<HostPattern> {
        let mut kept = Vec::new();
        for member in members {
            let tcp = &mut self.all[*member];
            let namespace = Arc::clone(&tcp.object.key.namespace);
            let mut by = BTreeSet::new();
            for (names, claim) in self.linking.claims.kept_from(&namespace, host) {
                by.insert(&*claim.name);
                kept.push(names.clone());
            }
            if !by.is_empty() {
                let by: Vec<_> = by.into_iter().collect();
                tcp.findings.push(
                    Code::PartlyClaimed,
                    "spec.host",
                    format!(
                        "A part of {shown} belongs to others by {}; this object serves the rest",
                        listed(&by)
                    ),
                    "Leave it so, or choose a narrower host",
                );
            }
        }
        kept
    }
}

pub(super) fn whole(candidates: &[Candidate]) -> Vec<usize> {
    let whole = candidates.iter().filter(|candidate| candidate.is_whole);
    whole.map(|candidate| candidate.position).collect()
}

/// What the others have is theirs to know.
fn refuse_weight(tcp: &mut LoweredTcp) {
    if let Weight::Percent(percent) = tcp.weight {
        tcp.findings.push(
            Code::InvalidWeight,
            "spec.weight",
            format!("{percent} is more than older TCPMappings of the group leave of 100"),
            "Lower one of the weights",
        );
    }
}

/// What TLS is spoken with where no Host has the name: the certificate of a TLSContext. Says so if there is none.
fn certificate(
    tcp: &mut LoweredTcp,
    place: &Place,
    linking: &Linking<'_>,
) -> Option<Arc<ServerTls>> {
    let Place {
        port,
        host: Some(host),
    } = place
    else {
        return None;
    };
    let mut listeners = linking.listeners.iter();
    let listener = listeners.find(|listener| listener.port == *port);
    let name = some_name(host);
    let found = listener.map(|listener| listener.handshake(Some(&name)));
    // What a Host says of its names, it says of these, too: that it has no certificate that can be used, among others.
    if matches!(found, Some(Handshake::Certificate(_))) {
        return None;
    }
    let written = tcp.object.spec.host.as_deref().unwrap_or_default();
    let namespace = &tcp.object.key.namespace;
    let contexts = linking.resolver.contexts;
    let own = contexts.serving(written, namespace, linking.settings);
    if own.is_some() && !matches!(found, Some(Handshake::Broken(_))) {
        return own.cloned();
    }
    tcp.findings.push(
        Code::NoServerCertificate,
        "spec.host",
        format!("No Host that serves {host} on port {port} has a certificate, and no TLSContext has it in `hosts`, so TLS is refused"),
        "Have a Host with a `tlsSecret` created for the name, or a TLSContext with `hosts` and `secret`, or write `clientTls: Passthrough`",
    );
    None
}

fn action(tcp: &mut LoweredTcp, linking: &Linking<'_>, known: &mut Known<'_>) -> TcpAction {
    let dialled = tcp.dial.clone().filter(|_| tcp.weight != Weight::Invalid);
    let dialled = dialled.and_then(|plan| {
        let from = &tcp.object.key;
        linking
            .resolver
            .dialled(from, &plan, known.upstreams, &mut tcp.findings)
    });
    if let Some(dialled) = dialled {
        let upstream = state::shared(known.upstreams, dialled).upstream;
        return TcpAction::Forward(TcpForward {
            upstream,
            idle_timeout: tcp.idle_timeout,
        });
    }
    let error = tcp.findings.first_error();
    TcpAction::Fail(Fail {
        code: error
            .map_or(Code::InvalidValue, |error| error.code)
            .number(),
    })
}
