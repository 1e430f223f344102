//! The graph as others read it: what a replica tells on its diagnostics port, and what whoever asked makes of it again.
//! Secrets have no place in it: of a certificate only the digest is shown.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    Action, Balance, Forward, Graph, HostPattern, HostTls, InsecureAction, Listener, Member,
    Redirect, Region, Route, SecurityModel, Target, Upstream, UpstreamProtocol, VirtualHost,
    breaker::Priority,
    matching::RouteSet,
    retry::Retry,
    route::{Conditions, PathMatch, TextMatch},
    table::RouteTable,
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
    #[serde(skip_serializing_if = "EnvoyView::is_nothing")]
    pub envoy: EnvoyView,
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
}

/// A Host on a Listener.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HostView {
    pub id: String,
    /// The names for which it is found here: its own, or some that others have claimed and that it may decide about.
    pub hostname: String,
    pub tls: Option<TlsView>,
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

/// A route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteView {
    pub path: PathView,
    pub case_sensitive: bool,
    pub precedence: i32,
    pub conditions: ConditionsView,
    pub members: Vec<MemberView>,
}

/// What the path must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathView {
    Prefix(String),
    Exact(String),
    Regex(String),
}

/// What else must hold. Regular expressions begin with `~`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConditionsView {
    pub method: Option<String>,
    pub headers: Vec<ConditionView>,
    pub query: Vec<ConditionView>,
}

/// A header or a query parameter, and what its value must be.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConditionView {
    pub name: String,
    pub value: String,
}

/// One Mapping of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// `mapping/apps/quote`.
    pub id: String,
    pub share: u32,
    pub action: ActionView,
}

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ActionView {
    Forward(Box<ForwardView>),
    Redirect(RedirectView),
    /// 503 with this code.
    Fail(String),
}

/// Send it to an upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardView {
    pub upstream: String,
    pub rewrite: String,
    pub host: String,
    pub request_headers: String,
    pub response_headers: String,
    pub head_timeout: Option<String>,
    pub total_timeout: Option<String>,
    pub idle_timeout: Option<String>,
    pub max_request_body: Option<u64>,
    pub upgrades: Vec<String>,
    pub allow_escaped_slashes: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub high_priority: bool,
}

/// Answer with a redirect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RedirectView {
    pub status: u16,
    pub scheme: Option<String>,
    pub host: String,
    pub path: String,
}

/// Where requests are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamView {
    pub target: TargetView,
    pub protocol: String,
    /// How endpoints are chosen, where that is not one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balance: Option<String>,
    /// Connections, requests that wait for one, requests, and retries, for each priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breakers: Option<String>,
    pub tls: Option<UpstreamTlsView>,
    pub connect_timeout: String,
}

/// What is dialled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetView {
    Addresses {
        addresses: Vec<String>,
    },
    Dns {
        dns: String,
    },
    Echo {
        echo: String,
        #[serde(rename = "standsFor")]
        stands_for: String,
    },
}

/// How TLS is spoken to an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpstreamTlsView {
    pub server_name: String,
    pub verify: bool,
    pub client: Option<String>,
}

/// What is refused or rewritten in every request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestsView {
    pub allow_underscores: bool,
    pub merge_slashes: bool,
    pub allow_escaped_slashes: bool,
}

/// What Envoy would say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvoyView {
    pub written: bool,
    pub server: Option<String>,
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
        let listeners = graph
            .listeners
            .iter()
            .map(|listener| ListenerView::of(listener, &mut sets))
            .collect();
        let mut upstreams = BTreeMap::new();
        let route_sets = sets
            .sets
            .iter()
            .map(|set| RouteSetView::of(set, &mut upstreams))
            .collect();
        Self {
            listeners,
            route_sets,
            upstreams,
            envoy: EnvoyView {
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
    fn of<'g>(listener: &'g Listener, sets: &mut Sets<'g>) -> Self {
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
                HostTls::Certificate(certificate) => {
                    Some(TlsView::Certificate(certificate.digest.to_string()))
                }
                HostTls::Broken(fail) => Some(TlsView::Broken(fail.to_string())),
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
    for member in &route.members {
        if let Action::Forward(forward) = &member.action {
            upstreams
                .entry(forward.upstream.id.to_string())
                .or_insert_with(|| UpstreamView::of(&forward.upstream));
        }
    }
}

impl RouteView {
    pub fn of(route: &Route) -> Self {
        Self {
            path: PathView::of(&route.path),
            case_sensitive: route.case_sensitive,
            precedence: route.rank.precedence,
            conditions: ConditionsView::of(&route.conditions),
            members: route.members.iter().map(MemberView::of).collect(),
        }
    }
}

impl PathView {
    pub fn of(path: &PathMatch) -> Self {
        match path {
            PathMatch::Prefix(text) => Self::Prefix(text.to_string()),
            PathMatch::Exact(text) => Self::Exact(text.to_string()),
            PathMatch::Regex(pattern) => Self::Regex(pattern.text.to_string()),
        }
    }

    /// `prefix`, `exact` or `regex`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Prefix(_) => "prefix",
            Self::Exact(_) => "exact",
            Self::Regex(_) => "regex",
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Prefix(text) | Self::Exact(text) | Self::Regex(text) => text,
        }
    }
}

impl std::fmt::Display for PathView {
    /// As reports write it: a regular expression begins with `~`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Prefix(text) | Self::Exact(text) => f.write_str(text),
            Self::Regex(text) => write!(f, "~{text}"),
        }
    }
}

impl ConditionsView {
    pub fn of(conditions: &Conditions) -> Self {
        let condition = |name: &str, value: &TextMatch| ConditionView {
            name: name.to_owned(),
            value: shown(value),
        };
        let headers = conditions.headers.iter();
        let query = conditions.query.iter();
        Self {
            method: conditions.method.as_ref().map(shown),
            headers: headers
                .map(|(name, value)| condition(name.as_str(), value))
                .collect(),
            query: query.map(|(name, value)| condition(name, value)).collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.method.is_none() && self.headers.is_empty() && self.query.is_empty()
    }
}

impl std::fmt::Display for ConditionsView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let method = self.method.iter().cloned();
        let headers = { self.headers.iter() }.map(|c| format!("{}: {}", c.name, c.value));
        let query = { self.query.iter() }.map(|c| format!("?{}={}", c.name, c.value));
        let all: Vec<_> = method.chain(headers).chain(query).collect();
        f.write_str(&all.join(", "))
    }
}

fn shown(text: &TextMatch) -> String {
    match text {
        TextMatch::Exact(text) => text.to_string(),
        TextMatch::Regex(pattern) => format!("~{}", pattern.text),
    }
}

impl MemberView {
    pub fn of(member: &Member) -> Self {
        Self {
            id: member.id.to_string(),
            share: member.share,
            action: match &member.action {
                Action::Forward(forward) => ActionView::Forward(Box::new(ForwardView::of(forward))),
                Action::Redirect(redirect) => ActionView::Redirect(RedirectView::of(redirect)),
                Action::Fail(fail) => ActionView::Fail(fail.to_string()),
            },
        }
    }
}

impl ForwardView {
    fn of(forward: &Forward) -> Self {
        Self {
            upstream: forward.upstream.id.to_string(),
            rewrite: format!("{:?}", forward.rewrite),
            host: format!("{:?}", forward.host),
            request_headers: format!("{:?}", forward.request_headers.edits),
            response_headers: format!("{:?}", forward.response_headers.edits),
            head_timeout: forward.head_timeout.map(|d| format!("{d:?}")),
            total_timeout: forward.total_timeout.map(|d| format!("{d:?}")),
            idle_timeout: forward.idle_timeout.map(|d| format!("{d:?}")),
            max_request_body: forward.max_request_body,
            upgrades: forward.upgrades.iter().map(ToString::to_string).collect(),
            allow_escaped_slashes: forward.allow_escaped_slashes,
            cors: forward.cors.as_ref().map(|cors| format!("{cors:?}")),
            retry: forward.retry.map(shown_retry),
            high_priority: forward.priority == Priority::High,
        }
    }
}

fn shown_retry(retry: Retry) -> String {
    let times = format!("{} times on {}", retry.count, retry.on.name());
    let each = retry.per_try.map(|limit| format!(", {limit:?} each"));
    times + &each.unwrap_or_default()
}

impl RedirectView {
    fn of(redirect: &Redirect) -> Self {
        Self {
            status: redirect.status.as_u16(),
            scheme: redirect.scheme.as_deref().map(str::to_owned),
            host: redirect.host.to_string(),
            path: format!("{:?}", redirect.path),
        }
    }
}

impl UpstreamView {
    pub fn of(upstream: &Upstream) -> Self {
        Self {
            target: match &upstream.target {
                Target::Addresses(addresses) => TargetView::Addresses {
                    addresses: addresses.iter().map(ToString::to_string).collect(),
                },
                Target::Dns { name, port } => TargetView::Dns {
                    dns: format!("{name}:{port}"),
                },
                Target::Echo { address, name } => TargetView::Echo {
                    echo: address.to_string(),
                    stands_for: name.to_string(),
                },
            },
            protocol: match upstream.protocol {
                UpstreamProtocol::Http1 => "http1",
                UpstreamProtocol::Http2 => "http2",
            }
            .to_owned(),
            balance: balance(&upstream.balance),
            breakers: upstream.breakers.map(|breakers| breakers.to_string()),
            tls: upstream.tls.as_ref().map(|tls| UpstreamTlsView {
                server_name: tls.server_name.to_string(),
                verify: tls.verify,
                client: tls.client.as_ref().map(|client| client.digest.to_string()),
            }),
            connect_timeout: format!("{:?}", upstream.connect_timeout),
        }
    }
}

fn balance(balance: &Balance) -> Option<String> {
    match balance {
        Balance::RoundRobin => None,
        Balance::LeastRequest => Some("least_request".to_owned()),
        Balance::Hash(hashed) => Some(format!("{} by {}", hashed.table.name(), hashed.by)),
    }
}
