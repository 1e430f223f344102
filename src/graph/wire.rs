//! The graph as others read it: what a replica tells on its diagnostics port, and what whoever asked makes of it again.
//! Secrets have no place in it: of a certificate only the digest is shown.

mod client;
mod route;
mod tcp;
mod upstream;

pub use client::{ClientsView, CompressionView};
pub use route::{
    ActionView, ConditionView, ConditionsView, ForwardView, MemberView, PathView, RedirectView,
    RouteView, ShadowView,
};
pub use tcp::{TcpActionView, TcpMemberView, TcpRouteView};
pub use upstream::{TargetView, UpstreamTlsView, UpstreamView};

pub(super) use self::{
    route::shown_retry,
    upstream::{balance, checks, outliers, slow_start},
};

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    Graph, HostPattern, HostTls, InsecureAction, Listener, Region, Route, SecurityModel,
    VirtualHost, matching::RouteSet, table::RouteTable,
};

/// All of a graph.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GraphView {
    pub listeners: Vec<ListenerView>,
    /// Each is shared by many virtual hosts, which name it by its number.
    pub route_sets: Vec<RouteSetView>,
    /// By their ids.
    pub upstreams: BTreeMap<String, UpstreamView>,
    pub requests: RequestsView,
    #[serde(skip_serializing_if = "ClientsView::is_usual")]
    pub clients: ClientsView,
    #[serde(skip_serializing_if = "EnvoyView::is_nothing")]
    pub envoy: EnvoyView,
    /// Whose addresses are let in, or kept out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
}

/// A Listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerView {
    pub name: String,
    pub port: u16,
    pub tls: bool,
    pub cleartext: bool,
    pub security_model: String,
    pub l7_depth: usize,
    pub trusted_proxies: Vec<String>,
    pub hosts: Vec<HostView>,
    /// No HTTP is served.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub only_tcp: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tcp: Vec<TcpRouteView>,
}

/// A Host on a Listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostView {
    pub id: String,
    /// The names for which it is found here: its own, or some that others have claimed and that it may decide about.
    pub hostname: String,
    pub tls: Option<TlsView>,
    /// What is not as usual in the handshake.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<String>,
    pub insecure: String,
    /// Its place among the route sets.
    pub route_set: usize,
}

/// What a TLS handshake for a Host gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TlsView {
    /// The digest of chain and key.
    Certificate(String),
    /// The code of what is wrong.
    Broken(String),
}

/// The routes of the virtual hosts that share them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RouteSetView {
    pub regions: Vec<RegionView>,
    /// What is claimed, as a person writes it, with the name of its region.
    pub claims: BTreeMap<String, String>,
}

/// A part of the URL space.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegionView {
    /// Empty for what no claim covers.
    pub name: String,
    pub hostnames: Vec<RoutesView>,
}

/// The routes of a hostname, the greatest rank first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoutesView {
    /// A regular expression begins with `~`.
    pub hostname: String,
    pub routes: Vec<RouteView>,
}

/// What is refused or rewritten in every request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestsView {
    pub allow_underscores: bool,
    pub merge_slashes: bool,
    pub allow_escaped_slashes: bool,
}

/// What Envoy would say, and where Emissary-ingress answers itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvoyView {
    pub written: bool,
    pub server: Option<String>,
    pub check_alive: bool,
    pub check_ready: bool,
    pub diagnostics: bool,
}

/// Route sets by their address, in the order in which they were met.
#[derive(Default)]
struct Sets<'g> {
    numbers: HashMap<*const RouteSet, usize>,
    sets: Vec<&'g RouteSet>,
}

// === impl GraphView ===

impl GraphView {
    pub fn of(graph: &Graph) -> Self {
        let mut sets = Sets::default();
        let mut upstreams = BTreeMap::new();
        let listeners = graph
            .listeners
            .iter()
            .map(|listener| ListenerView::of(listener, &mut sets, &mut upstreams))
            .collect();
        let route_sets = sets
            .sets
            .iter()
            .map(|set| RouteSetView::of(set, &mut upstreams))
            .collect();
        Self {
            listeners,
            route_sets,
            upstreams,
            clients: ClientsView::of(&graph.clients),
            access: graph.access.as_ref().map(ToString::to_string),
            envoy: EnvoyView {
                check_alive: graph.own.check_alive,
                check_ready: graph.own.check_ready,
                diagnostics: graph.own.diagnostics,
                written: graph.envoy.written,
                server: { graph.envoy.server.as_ref() }
                    .map(|server| String::from_utf8_lossy(server.as_bytes()).into_owned()),
            },
            requests: RequestsView {
                allow_underscores: graph.requests.allow_underscores,
                merge_slashes: graph.requests.merge_slashes,
                allow_escaped_slashes: graph.requests.allow_escaped_slashes,
            },
        }
    }
}

impl EnvoyView {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl ListenerView {
    fn of<'g>(
        listener: &'g Listener,
        sets: &mut Sets<'g>,
        upstreams: &mut BTreeMap<String, UpstreamView>,
    ) -> Self {
        Self {
            name: listener.name.to_string(),
            port: listener.port,
            tls: listener.tls,
            cleartext: listener.cleartext,
            security_model: match listener.security {
                SecurityModel::Xfp => "XFP",
                SecurityModel::Secure => "SECURE",
                SecurityModel::Insecure => "INSECURE",
            }
            .to_owned(),
            l7_depth: listener.l7_depth,
            trusted_proxies: listener
                .trusted_proxies
                .iter()
                .map(ToString::to_string)
                .collect(),
            hosts: listener
                .hosts
                .entries()
                .map(|(names, host)| HostView::of(names, host, sets))
                .collect(),
            only_tcp: !listener.http,
            tcp: tcp::routes(&listener.tcp, upstreams),
        }
    }
}

impl HostView {
    fn of<'g>(names: &HostPattern, host: &'g VirtualHost, sets: &mut Sets<'g>) -> Self {
        Self {
            id: host.id.to_string(),
            hostname: names.to_string(),
            tls: match &host.tls {
                HostTls::None => None,
                HostTls::Certificate(tls) => {
                    Some(TlsView::Certificate(tls.certificate.digest.to_string()))
                }
                HostTls::Broken(fail) => Some(TlsView::Broken(fail.to_string())),
            },
            terms: match &host.tls {
                HostTls::Certificate(tls) => tls.told(),
                HostTls::None | HostTls::Broken(_) => Vec::new(),
            },
            insecure: match host.insecure {
                InsecureAction::Redirect => "redirect",
                InsecureAction::RedirectMatched => "redirectMatched",
                InsecureAction::Route => "route",
                InsecureAction::Reject => "reject",
            }
            .to_owned(),
            route_set: sets.number(&host.routes),
        }
    }
}

impl<'g> Sets<'g> {
    fn number(&mut self, set: &'g Arc<RouteSet>) -> usize {
        *self.numbers.entry(Arc::as_ptr(set)).or_insert_with(|| {
            self.sets.push(set);
            self.sets.len() - 1
        })
    }
}

impl RouteSetView {
    fn of(set: &RouteSet, upstreams: &mut BTreeMap<String, UpstreamView>) -> Self {
        let regions = set.regions.iter();
        Self {
            regions: regions
                .map(|region| RegionView::of(region, upstreams))
                .collect(),
            claims: { set.regions.cells() }
                .map(|(cell, region)| (cell.to_owned(), region.name.to_string()))
                .collect(),
        }
    }
}

impl RegionView {
    fn of(region: &Region, upstreams: &mut BTreeMap<String, UpstreamView>) -> Self {
        Self {
            name: region.name.to_string(),
            hostnames: hostnames(region)
                .map(|(hostname, table)| RoutesView {
                    hostname,
                    routes: table
                        .iter()
                        .map(|route| {
                            collect_upstreams(route, upstreams);
                            RouteView::of(route)
                        })
                        .collect(),
                })
                .collect(),
        }
    }
}

/// The tables of a region with their hostnames; a regular expression begins with `~`.
pub(super) fn hostnames(region: &Region) -> impl Iterator<Item = (String, &Arc<RouteTable>)> {
    let named = region
        .tables
        .entries()
        .map(|(pattern, table)| (pattern.to_string(), table));
    let regex = region
        .regex_hosts
        .iter()
        .map(|(pattern, table)| (format!("~{}", pattern.text), table));
    named.chain(regex)
}

fn collect_upstreams(route: &Route, upstreams: &mut BTreeMap<String, UpstreamView>) {
    for upstream in route.upstreams() {
        upstreams
            .entry(upstream.id.to_string())
            .or_insert_with(|| UpstreamView::of(upstream));
    }
}
