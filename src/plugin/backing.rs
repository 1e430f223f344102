//! What stands behind an upstream: a Service and its endpoints, as far as they are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use serde::Serialize;

use super::{
    facts::{Answers, Facts},
    output::{Cell, Style, Table},
};
use crate::{
    graph::wire::TargetView,
    resource::{ClusterIp, Kind, ObjectKey, ResourceSet, Service},
};

/// A Service that requests are sent to.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Backing {
    /// `shop/cart:80`.
    pub(super) service: String,
    /// `ClusterIP` when it is dialled by that, `endpoints` when they are dialled themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dialled: Option<&'static str>,
    /// Who says so, and by which field: a resolver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) by: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) cluster_ips: Vec<IpAddr>,
    /// Those of the port, in the order of their addresses; none when they are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) endpoints: Option<Vec<Endpoint>>,
    /// Why they are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unknown: Option<String>,
}

/// An address behind a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Endpoint {
    pub(super) address: IpAddr,
    pub(super) ready: bool,
}

impl Backing {
    /// Of an upstream, by its id; none when no Service stands behind it, or none is known.
    pub(super) fn of(id: &str, target: &TargetView, facts: &Facts) -> Option<Self> {
        let TargetView::Addresses { addresses } = target else {
            return None;
        };
        let service = id.split(' ').next()?;
        let (namespace, rest) = service.split_once('/')?;
        let (name, port) = rest.rsplit_once(':')?;
        // So does the id of a literal address begin, and no Service has an address for a name.
        if namespace == "address" && name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return None;
        }
        let mut backing = Self {
            service: service.to_owned(),
            dialled: None,
            by: Vec::new(),
            cluster_ips: Vec::new(),
            endpoints: None,
            unknown: None,
        };
        match &facts.answers {
            Answers::Replica(_) => {
                backing.unknown = Some("a replica does not tell them, the cluster does".to_owned());
            }
            Answers::Compiled(compiled) => {
                let (key, service) = find(&compiled.set, namespace, name)?;
                backing.describe(service, addresses);
                backing.unknown = facts.unread(&[Kind::EndpointSlice], namespace);
                let port = port.parse().ok();
                let known = backing.unknown.is_none();
                backing.endpoints = known.then(|| endpoints(&compiled.set, key, service, port));
            }
        }
        Some(backing)
    }

    /// A Service with a ClusterIP may be dialled by its endpoints all the same: `resolver` says so.
    fn describe(&mut self, service: &Service, dialled: &[String]) {
        if let ClusterIp::Addresses(addresses) = &service.cluster_ip {
            self.cluster_ips.clone_from(addresses);
        }
        let is_own = |address: &String| {
            let socket = address.parse::<SocketAddr>();
            socket.is_ok_and(|socket| self.cluster_ips.contains(&socket.ip()))
        };
        self.dialled = Some(if !dialled.is_empty() && dialled.iter().all(is_own) {
            "ClusterIP"
        } else {
            "endpoints"
        });
    }

    pub(super) fn ready(&self) -> Option<usize> {
        let endpoints = self.endpoints.as_ref()?;
        Some(endpoints.iter().filter(|endpoint| endpoint.ready).count())
    }

    /// Whether it is known that nobody answers.
    pub(super) fn is_down(&self) -> bool {
        self.ready() == Some(0)
    }

    /// `2 of 3 endpoints ready`.
    pub(super) fn readiness(&self) -> String {
        let all = self.endpoints.as_ref().map(Vec::len);
        match (self.ready(), all, &self.unknown) {
            (_, Some(0), _) => "no endpoints".to_owned(),
            (Some(0), Some(all), _) => format!("none of {all} endpoints ready"),
            (Some(ready), Some(all), _) => format!("{ready} of {all} endpoints ready"),
            (_, _, Some(why)) => format!("endpoints not told: {why}"),
            (_, _, None) => "endpoints not told".to_owned(),
        }
    }
}

/// Address by address, for those who want to see them.
pub(super) fn table(backings: &[Backing]) -> Table {
    let mut table = Table::new(&["ENDPOINT", "STATE", "OF"]);
    let mut seen = BTreeSet::new();
    for backing in backings
        .iter()
        .filter(|backing| seen.insert(&backing.service))
    {
        for endpoint in backing.endpoints.iter().flatten() {
            let (word, style) = if endpoint.ready {
                ("ready", Style::Good)
            } else {
                ("not ready", Style::Bad)
            };
            table.push([
                endpoint.address.to_string().into(),
                Cell::new(word, style),
                format!("Service {}", backing.service).into(),
            ]);
        }
    }
    table
}

fn find<'s>(
    set: &'s ResourceSet,
    namespace: &str,
    name: &str,
) -> Option<(&'s ObjectKey, &'s Service)> {
    let mut services = set.services.iter();
    let (key, service) =
        services.find(|(key, _)| *key.namespace == *namespace && *key.name == *name)?;
    Some((key, &service.spec))
}

/// One that is ready in some slice is ready.
fn endpoints(
    set: &ResourceSet,
    key: &ObjectKey,
    service: &Service,
    port: Option<u16>,
) -> Vec<Endpoint> {
    let port = service.ports.iter().find(|known| Some(known.port) == port);
    let slices = set
        .endpoint_slices
        .values()
        .filter(|slice| slice.key.namespace == key.namespace && *slice.spec.service == *key.name);
    let mut found: BTreeMap<IpAddr, bool> = BTreeMap::new();
    for slice in slices {
        let has_port = |port| slice.spec.ports.iter().any(|(name, _)| *name == port);
        if port.is_some_and(|port| !has_port(&*port.name)) {
            continue;
        }
        let ready = slice.spec.ready.iter().map(|address| (*address, true));
        let not_ready = { slice.spec.not_ready.iter().chain(&slice.spec.draining) }
            .map(|address| (*address, false));
        for (address, ready) in ready.chain(not_ready) {
            *found.entry(address).or_default() |= ready;
        }
    }
    let found = found.into_iter();
    found
        .map(|(address, ready)| Endpoint { address, ready })
        .collect()
}
