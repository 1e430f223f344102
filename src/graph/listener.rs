//! Listeners and the hosts behind them: from a connection to a virtual host, and what cleartext gets.

use std::{collections::BTreeSet, fmt, sync::Arc};

use ipnet::IpNet;

use super::{HostPattern, HostTable, ServerTls, TcpTable, matching::RouteSet};

/// A port with its protocol stack, on every address.
#[derive(Clone, Debug)]
pub struct Listener {
    /// `namespace/name`, or `default-http` and `default-https`.
    pub name: Arc<str>,
    pub port: u16,
    /// HTTP is served; where it is not, every connection is a TCPMapping's.
    pub http: bool,
    /// TLS connections are taken.
    pub tls: bool,
    /// Connections without TLS are taken. A Listener may take both on one port.
    pub cleartext: bool,
    pub security: SecurityModel,
    /// Trusted proxies in front.
    pub l7_depth: usize,
    /// Peers whose forwarding headers count, when `l7_depth` is above 0.
    pub trusted_proxies: Arc<[IpNet]>,
    pub http2_max_concurrent_streams: u32,
    pub hosts: HostTable<Arc<VirtualHost>>,
    pub tcp: TcpTable,
}

/// What makes a request secure: see `docs/concepts.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityModel {
    /// The scheme of the connection, or the trusted X-Forwarded-Proto.
    Xfp,
    /// Every request.
    Secure,
    /// None.
    Insecure,
}

/// Names a virtual host: `namespace/name` of its Host, or `default`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub Arc<str>);

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A Host on a Listener.
#[derive(Clone, Debug)]
pub struct VirtualHost {
    pub id: HostId,
    pub pattern: HostPattern,
    pub tls: HostTls,
    pub insecure: InsecureAction,
    /// Shared by all virtual hosts that do not select Mappings by label.
    pub routes: Arc<RouteSet>,
}

/// What a TLS handshake for this name gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostTls {
    /// The Host names no certificate: `unrecognized_name`.
    None,
    Certificate(Arc<ServerTls>),
    /// The certificate it names cannot be used: the handshake is refused, no other certificate stands in.
    Broken(super::Fail),
}

/// What an insecure request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsecureAction {
    /// 301 to https, on every path except the ACME prefix.
    Redirect,
    /// The same on the paths that a route matches; 404 on the others.
    RedirectMatched,
    Route,
    /// 404, on every path except the ACME prefix.
    Reject,
}

/// Requests under this path are routed whatever the insecure action is (RFC 8555, section 8.3).
pub const ACME_PREFIX: &str = "/.well-known/acme-challenge/";

impl Listener {
    /// All distinct virtual hosts, for those who count.
    pub fn host_ids(&self) -> BTreeSet<HostId> {
        self.hosts.iter().map(|host| host.id.clone()).collect()
    }
}
