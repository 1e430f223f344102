//! TCPMappings: from a port, and the name that a handshake asks for, to upstreams. There are few: all are linked anew when anything
//! changes that they look at.
//!
//! ```text
//! TCPMapping ─ lower ─> LoweredTcp ─ owner: claims, who came first ─> groups by (port, host) ─ weights ─> TcpTable of a Listener
//! ```

pub(super) mod behind;
mod group;
mod lower;
mod owner;
pub(super) mod port;
mod rest;

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
    listener,
    reports::{self, Place as Told},
    routing::Routing,
    settings::{self, Settings},
    twin,
    upstream::Resolver,
};
use crate::{
    crd::TcpMappingSpec,
    graph::{Listener, TcpTable, Upstream, UpstreamId},
    report::{Asked, Code, ObjectReport, Settled},
    resource::Objects,
};
use group::{Candidate, Grouping};
use lower::{LoweredTcp, Place};
use owner::{Extent, Firsts};

/// All that TCPMappings are linked with.
pub(super) struct Linking<'l> {
    pub(super) options: &'l Options,
    pub(super) settings: &'l Settings,
    pub(super) claims: &'l Claims,
    pub(super) routing: &'l Routing,
    pub(super) hosts: &'l [LoweredHost],
    /// With their Hosts: those have the certificates.
    pub(super) listeners: &'l [Arc<Listener>],
    /// Whether routes are to say that claims may not be read.
    pub(super) are_claims_untold: bool,
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
    let mut groups: BTreeMap<Place, Vec<Candidate>> = BTreeMap::new();
    for (position, tcp) in all.iter_mut().enumerate() {
        let Some(place) = tcp.place.clone() else {
            continue;
        };
        let mut findings = Findings::default();
        if is_reachable(&place, linking, &mut findings) {
            let extent = firsts.extent(tcp, &place, linking, &mut findings);
            if extent != Extent::None {
                let is_whole = extent == Extent::All;
                let candidate = Candidate { position, is_whole };
                groups.entry(place).or_default().push(candidate);
            }
        }
        tcp.findings.0.extend(findings.0);
    }
    let tables = Grouping {
        all: &mut all,
        linking,
        known,
    }
    .tables(&groups);
    Linked {
        tables,
        reports: report(all, objects, linking.are_claims_untold),
    }
}

/// Whether the Listener of the port takes such connections; if not, says so.
fn is_reachable(place: &Place, linking: &Linking<'_>, findings: &mut Findings) -> bool {
    let port = place.port;
    if listener::is_reserved(port, linking.options, findings) {
        return false;
    }
    let mut listeners = linking.listeners.iter();
    let listener = listeners.find(|listener| listener.port == port);
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

fn report(
    all: Vec<LoweredTcp>,
    objects: &Objects<TcpMappingSpec>,
    are_claims_untold: bool,
) -> Vec<ObjectReport> {
    let reports = all.into_iter().map(|mut tcp| {
        let key = &tcp.object.key;
        if let Some(twin) = twin::of(key).filter(|twin| objects.contains_key(twin)) {
            twin::tell(&twin, &mut tcp.findings);
        }
        if are_claims_untold {
            settings::tell_of_unread_claims(&mut tcp.findings);
        }
        let in_graph = !tcp.serves.is_empty();
        let place = Told {
            in_graph,
            asks: tcp.place.filter(|_| !in_graph).map(|place| Asked {
                hostname: place.to_string(),
                ..Asked::default()
            }),
            serves: std::mem::take(&mut tcp.serves).into_iter().collect(),
            settled: Settled::default(),
            ..Told::default()
        };
        reports::object(&tcp.object, tcp.findings, place)
    });
    reports.collect()
}
