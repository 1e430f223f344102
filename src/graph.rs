//! The routing graph: immutable, plain data, no clocks and no sockets; and every pure decision of the request path.
//!
//! ```text
//! port ─> Listener ─> VirtualHost ─> Region ─> RouteTable ─> Route ─> Member ─> Action
//!           │            │            │           │            │         └ by weight
//!           │ SNI,       │ insecure   │ host,     │ path       └ method, headers, query: highest Rank
//!           │ authority  │ action     │ path      │
//! ```

pub mod access;
pub mod affinity;
pub mod authority;
pub mod balance;
pub mod breaker;
pub mod certificate;
pub mod client;
pub mod client_certificate;
pub mod compression;
pub mod cors;
pub mod decide;
pub mod dial;
pub mod explain;
pub mod filters;
pub mod health;
pub mod host;
pub mod host_table;
pub mod listener;
pub mod matching;
pub mod outlier;
pub mod path;
pub mod region;
pub mod retry;
pub mod rewrite;
pub mod route;
pub mod shadow;
pub mod table;
pub mod tcp;
pub mod terms;
pub mod tls;
pub mod upstream;
pub mod why;
pub mod wire;
pub mod zone;

use std::{collections::HashSet, sync::Arc};

use foldhash::fast::RandomState;
use http::HeaderValue;

use matching::RouteSet;

pub use access::Access;
pub use affinity::{Affinity, AffinityCookie};
pub use authority::{Authority, AuthorityError};
pub use balance::Balance;
pub use client::ClientPolicy;
pub use client_certificate::{CertDetails, ClientCertificates, ForwardMode, ForwardedCert};
pub use decide::{Connection, Decision, Entry, Handshake, HostChoice, Request, decide};
pub use dial::{AddressSource, DialPolicy};
pub use explain::{Step, Trace};
pub use filters::{HeaderEdit, HeaderEdits};
pub use host::HostPattern;
pub use host_table::HostTable;
pub use listener::{HostId, HostTls, InsecureAction, Listener, SecurityModel, VirtualHost};
pub use path::{CanonicalPath, PathError};
pub use region::{ClaimTable, Region, Regions};
pub use route::{
    Action, Fail, Forward, ForwardTerms, HostRewrite, Member, Redirect, Rewrite, Route, RouteId,
};
pub use tcp::{ClientTls, TcpAction, TcpForward, TcpMember, TcpRoute, TcpTable};
pub use terms::{Group, Offer, Suite, Terms, Versions};
pub use tls::{Certificate, PrivateKey, ServerTls};
pub use upstream::{Target, Upstream, UpstreamId, UpstreamProtocol, UpstreamTls};

/// The compiled result.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// In the order of their ports; no two have the same port.
    pub listeners: Vec<Arc<Listener>>,
    pub requests: RequestPolicy,
    pub clients: ClientPolicy,
    pub envoy: EnvoyHeaders,
    /// Whose requests are taken at all; everybody's without it.
    pub access: Option<Access>,
    pub own: OwnPaths,
    /// Addresses that must not be dialled, whatever name led there.
    pub dial: DialPolicy,
}

/// The paths at which Emissary-ingress answers itself, for those who ask there. None as a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnPaths {
    /// On every Listener.
    pub check_alive: bool,
    /// On every Listener.
    pub check_ready: bool,
    /// On the health port only.
    pub diagnostics: bool,
}

impl OwnPaths {
    pub const CHECK_ALIVE: &str = "/ambassador/v0/check_alive";
    pub const CHECK_READY: &str = "/ambassador/v0/check_ready";
}

/// What Envoy would say, for those who listen to it. Nothing as a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvoyHeaders {
    /// Whether `x-envoy-*` headers are written into requests and responses.
    pub written: bool,
    /// What every response has as `server`.
    pub server: Option<HeaderValue>,
}

impl Graph {
    /// Every route. Virtual hosts that share their routes count once.
    pub fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        let listeners = self.listeners.iter();
        let hosts = listeners.flat_map(|listener| listener.hosts.iter());
        let mut looked_at: HashSet<*const RouteSet, RandomState> = HashSet::default();
        hosts
            .filter(move |host| looked_at.insert(Arc::as_ptr(&host.routes)))
            .flat_map(|host| host.routes.regions.iter())
            .flat_map(|region| {
                let by_regex = region.regex_hosts.iter().map(|(_, table)| table);
                region.tables.iter().chain(by_regex)
            })
            .flat_map(|table| table.iter())
    }

    /// Everywhere that requests, their copies and connections may be sent.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let tcp = self.listeners.iter();
        let tcp = tcp.flat_map(|listener| listener.tcp.upstreams());
        let requests = self.routes().flat_map(|route| route.upstreams());
        requests.chain(tcp)
    }

    /// What every route leads to.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.routes().flat_map(|route| route.members.iter())
    }
}

/// What is refused or rewritten in every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestPolicy {
    /// Whether header names with `_` are let through.
    pub allow_underscores: bool,
    pub merge_slashes: bool,
    /// Whether `%2F` in a path is let through on every route.
    pub allow_escaped_slashes: bool,
}

impl Default for RequestPolicy {
    fn default() -> Self {
        Self {
            allow_underscores: false,
            merge_slashes: true,
            allow_escaped_slashes: false,
        }
    }
}
