//! Upstreams: where requests are sent.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use super::{
    Balance, Certificate, Terms, breaker::Breakers, health::Health, tls::Roots, zone::Hints,
};

/// Names an upstream. Two routes with the same id share a connection pool: the id says all that a connection depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(pub Arc<str>);

impl fmt::Display for UpstreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A Service, a list of endpoints, a name outside, or the echo server that stands in for one of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    pub id: UpstreamId,
    pub target: Target,
    pub protocol: UpstreamProtocol,
    pub balance: Balance,
    /// What may be under way at a time; none for no limits.
    pub breakers: Option<Breakers>,
    /// Which endpoints are used; none for all. Only where endpoints are dialled.
    pub health: Option<Arc<Health>>,
    /// For which zones the endpoints are meant; none for all.
    pub zones: Option<Hints>,
    pub tls: Option<Arc<UpstreamTls>>,
    pub connect_timeout: Duration,
    /// An idle connection is closed after this.
    pub idle_timeout: Duration,
    /// A connection takes no more requests after this (with jitter).
    pub max_age: Option<Duration>,
    /// Probes of the kernel on connections that are silent; none for its own habits.
    pub keepalive: Option<Keepalive>,
}

/// Probes of the kernel; what is not said is its own habit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keepalive {
    /// Seconds without a byte before the first.
    pub idle: Option<u32>,
    /// Seconds between two.
    pub interval: Option<u32>,
    /// Without an answer, before the connection is dead.
    pub probes: Option<u32>,
}

/// What is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One of these, as the balance says.
    Addresses(Arc<[SocketAddr]>),
    /// What DNS says, for as long as it says.
    Dns { name: Arc<str>, port: u16 },
    /// The embedded echo server, which answers in the name of `name`.
    Echo { address: SocketAddr, name: Arc<str> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpstreamProtocol {
    Http1,
    /// Prior knowledge without TLS, ALPN with it.
    Http2,
    /// Whatever clients speak; no ALPN with TLS.
    Tcp,
}

/// How TLS is spoken to an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamTls {
    /// Sent as SNI and looked for in the certificate.
    pub server_name: Arc<str>,
    /// False only when a TLSContext asks for it in so many words.
    pub verify: bool,
    pub roots: Roots,
    /// Shown when the upstream asks for a client certificate.
    pub client: Option<Arc<Certificate>>,
    pub terms: Terms,
    /// DER of the lists of what the authorities have revoked.
    pub revoked: Arc<[Arc<[u8]>]>,
}

impl UpstreamTls {
    /// What is not as usual in the handshake, for people.
    pub fn told(&self) -> Vec<String> {
        let mut told = self.terms.told();
        if !self.revoked.is_empty() {
            told.push("revoked certificates are refused".to_owned());
        }
        told
    }
}
