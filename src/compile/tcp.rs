//! TCPMappings: from a port, and the name that a handshake asks for, to upstreams. There are few: all are linked anew when anything
//! changes that they look at.
//!
//! ```text
//! TCPMapping ─ lower ─> LoweredTcp ─ owner: claims, who came first ─> groups by (port, host) ─ weights ─> TcpTable of a Listener
//! ```

mod lower;
mod owner;
pub(super) mod port;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Options, age,
    claim::Claims,
    finding::Findings,
    host::LoweredHost,
    installation,
    intern::Interner,
    mapping::Weight,
    reports::{self, Place as Told},
    routing::Routing,
    settings::Settings,
    twin,
    upstream::Resolver,
    virtual_host::some_name,
    weight::{self, Share},
};
use crate::{
    crd::TcpMappingSpec,
    graph::{
        ClientTls, Fail, Handshake, Listener, TcpAction, TcpForward, TcpMember, TcpRoute, TcpTable,
        Upstream, UpstreamId,
    },
    report::{Code, ObjectReport, Settled},
    resource::Objects,
};
use lower::{LoweredTcp, Place};
use owner::Firsts;

/// All that TCPMappings are linked with.
pub(super) struct Linking<'l> {
    pub(super) options: &'l Options,
    pub(super) settings: &'l Settings,
    pub(super) claims: &'l Claims,
    pub(super) routing: &'l Routing,
    pub(super) hosts: &'l [LoweredHost],
    /// With their Hosts: those have the certificates.
    pub(super) listeners: &'l [Arc<Listener>],
    pub(super) resolver: Resolver<'l>,
}

/// What became of the TCPMappings.
#[derive(Default)]
pub(super) struct Linked {
    /// By the port of the Listener.
    pub(super) tables: BTreeMap<u16, TcpTable>,
    pub(super) reports: Vec<ObjectReport>,
}

/// Upstreams that are known, and texts.
pub(super) struct Known<'k> {
    pub(super) upstreams: &'k mut HashMap<UpstreamId, Arc<Upstream>>,
    pub(super) interner: &'k mut Interner,
}

/// Lowers and links the TCPMappings of this installation.
pub(super) fn link(
    objects: &Objects<TcpMappingSpec>,
    linking: &Linking<'_>,
    known: &mut Known<'_>,
) -> Linked {
    let ours = objects.values().filter(|object| {
        let ids = object.spec.ambassador_id.as_deref();
        installation::includes(ids, &object.problems, linking.options)
    });
    let mut all: Vec<_> = ours
        .map(|object| lower::lower(object, linking.settings, known.interner))
        .collect();
    all.sort_by(|a, b| age(&a.object).cmp(&age(&b.object)));
    let mut firsts = Firsts::default();
    let mut groups: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
    for (position, tcp) in all.iter_mut().enumerate() {
        let Some(place) = tcp.place.clone() else {
            continue;
        };
        let mut findings = Findings::default();
        if is_reachable(&place, linking.listeners, &mut findings)
            && firsts.admit(tcp, &place, linking, &mut findings)
        {
            groups.entry(place).or_default().push(position);
        }
        tcp.findings.0.extend(findings.0);
    }
    let mut linked = Linked::default();
    let mut placed = vec![false; all.len()];
    let mut by_port: BTreeMap<u16, BTreeMap<_, Option<Arc<TcpRoute>>>> = BTreeMap::new();
    for (place, members) in &groups {
        let route = Arc::new(group(&mut all, members, &mut placed, linking, known));
        let table = linked.tables.entry(place.port).or_default();
        let Some(host) = &place.host else {
            table.any = Some(route);
            continue;
        };
        let names = by_port.entry(place.port).or_default();
        for kept in keep_out(host, members, &mut all, linking) {
            names.entry(kept).or_insert(None);
        }
        names.insert(host.clone(), Some(route));
    }
    for (port, names) in by_port {
        linked.tables.entry(port).or_default().by_name = names.into_iter().collect();
    }
    linked.reports = report(all, &placed, objects);
    linked
}

/// Whether the Listener of the port takes such connections; if not, says so.
fn is_reachable(place: &Place, listeners: &[Arc<Listener>], findings: &mut Findings) -> bool {
    let port = place.port;
    let listener = listeners.iter().find(|listener| listener.port == port);
    let Some(listener) = listener else {
        findings.push(
            Code::NoMatchingListener,
            "spec.port",
            format!("No Listener has port {port}, so no connection reaches this TCPMapping"),
            format!("Have a Listener created with port {port} and `protocol: TCP`, or `TLS` for a `host`"),
        );
        return false;
    };
    let why = match &place.host {
        None if listener.http => {
            "serves HTTP, from which every connection without a `host` would be taken"
        }
        Some(_) if !listener.tls => "has no TLS, and a `host` is what a TLS handshake asks for",
        None | Some(_) => return true,
    };
    findings.push(
        Code::NotForTcp,
        "spec.port",
        format!("Listener {} of port {port} {why}", listener.name),
        "Use a Listener with `protocol: TCP`, or with `protocol: TLS` for a `host`",
    );
    false
}

/// The route of the TCPMappings with the same place, the oldest first.
fn group(
    all: &mut [LoweredTcp],
    members: &[usize],
    placed: &mut [bool],
    linking: &Linking<'_>,
    known: &mut Known<'_>,
) -> TcpRoute {
    let client_tls = members
        .first()
        .map_or(ClientTls::Untouched, |first| all[*first].client_tls);
    let (fitting, others): (Vec<&usize>, Vec<&usize>) = members
        .iter()
        .partition(|member| all[**member].client_tls == client_tls);
    for other in others {
        all[*other].findings.push(
            Code::GroupMismatch,
            "spec.clientTls",
            "Older TCPMappings with the same port and host treat the TLS of clients otherwise",
            "Write the same `clientTls` in all of them",
        );
    }
    let weights: Vec<_> = fitting.iter().map(|member| all[**member].weight).collect();
    let shares = weight::shares(&weights);
    let nobody = shares
        .iter()
        .all(|share| matches!(share, Share::Refused { .. }));
    let mut route = Vec::new();
    for (member, share) in fitting.into_iter().zip(shares) {
        let tcp = &mut all[*member];
        placed[*member] = true;
        let share = match share {
            Share::Of(share) => share,
            Share::Refused { sum } => {
                refuse_weight(tcp, sum);
                // Where nobody else takes connections, the refusal does.
                u32::from(nobody)
            }
        };
        if client_tls == ClientTls::Terminate {
            need_certificate(tcp, linking.listeners);
        }
        let action = action(tcp, linking, known);
        let id = lower::id(&tcp.object);
        route.push(TcpMember { id, share, action });
    }
    route.sort_by(|a, b| a.id.cmp(&b.id));
    TcpRoute {
        client_tls,
        members: route.into(),
    }
}

fn refuse_weight(tcp: &mut LoweredTcp, sum: u32) {
    if let Weight::Percent(percent) = tcp.weight {
        tcp.findings.push(
            Code::InvalidWeight,
            "spec.weight",
            format!(
                "With {percent} the weights are over 100: older TCPMappings of the group have {sum}"
            ),
            "Lower one of the weights",
        );
    }
}

fn need_certificate(tcp: &mut LoweredTcp, listeners: &[Arc<Listener>]) {
    let Some(Place {
        port,
        host: Some(host),
    }) = &tcp.place
    else {
        return;
    };
    let listener = listeners.iter().find(|listener| listener.port == *port);
    let name = some_name(host);
    let found = listener.map(|listener| listener.handshake(Some(&name)));
    if !matches!(found, Some(Handshake::Certificate(_))) {
        tcp.findings.push(
            Code::NoServerCertificate,
            "spec.host",
            format!("No Host that serves {host} on port {port} has a certificate, so TLS is refused"),
            "Have a Host with a `tlsSecret` created for the name, or write `clientTls: Passthrough`",
        );
    }
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
        let upstream = super::state::shared(known.upstreams, dialled).upstream;
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

/// The names of a wildcard that others have claimed; says so.
fn keep_out(
    host: &crate::graph::HostPattern,
    members: &[usize],
    all: &mut [LoweredTcp],
    linking: &Linking<'_>,
) -> Vec<crate::graph::HostPattern> {
    let mut kept = Vec::new();
    for member in members {
        let tcp = &mut all[*member];
        let namespace = Arc::clone(&tcp.object.key.namespace);
        for (names, claim) in linking.claims.kept_from(&namespace, host) {
            tcp.findings.push(
                Code::PartlyClaimed,
                "spec.host",
                format!(
                    "{names} belongs to {} and is not served by this object",
                    claim.owner()
                ),
                "Leave it so, or choose a narrower host",
            );
            kept.push(names.clone());
        }
    }
    kept
}

fn report(
    all: Vec<LoweredTcp>,
    placed: &[bool],
    objects: &Objects<TcpMappingSpec>,
) -> Vec<ObjectReport> {
    let reports = all.into_iter().zip(placed).map(|(mut tcp, placed)| {
        let key = &tcp.object.key;
        if let Some(twin) = twin::of(key).filter(|twin| objects.contains_key(twin)) {
            twin::tell(&twin, &mut tcp.findings);
        }
        let place = Told {
            in_graph: *placed,
            serves: tcp
                .place
                .iter()
                .filter(|_| *placed)
                .map(ToString::to_string)
                .collect(),
            settled: Settled::default(),
            ..Told::default()
        };
        reports::object(&tcp.object, tcp.findings, place)
    });
    reports.collect()
}
