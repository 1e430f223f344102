//! The TCPMapping: connections that are not HTTP, by port and by the name that a TLS handshake asks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    mapping::CircuitBreaker,
    schema::{Spec, made_once},
};

/// A port of a Listener whose connections are sent on byte for byte: all of them, or those whose TLS handshake asks for a name. The
/// Listener has `protocol: TCP`, `TLS` or, with a `host`, `HTTPS`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpMappingSpec {
    /// The port of the Listener. Required.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// The address that the port is on: `0.0.0.0` or `::`, because Postern listens on every address. Default: every address.
    #[schemars(length(max = 64))]
    pub address: Option<String>,
    /// The name that TLS handshakes ask for: `db.example.com`, `*.example.com` for everything below it, or `*` for every name.
    /// Needs a Listener with TLS. Default: none, for every connection that no name is found for.
    #[schemars(length(max = 262))]
    pub host: Option<String>,
    /// What becomes of the client's TLS, with a `host`. Default: `Terminate`.
    pub client_tls: Option<ClientTls>,
    /// Where connections go: `[https://]name[.namespace][:port]`, the port as a number or a name of the Service; `https://` for
    /// TLS to the upstream. Without a port, 80, or 443 with TLS. Required.
    #[schemars(length(max = 512))]
    pub service: Option<String>,
    /// The name of a TLSContext for TLS to the upstream. Default: none.
    #[schemars(length(max = 253))]
    pub tls: Option<String>,
    /// How a Service becomes addresses: `kubernetes-service` for its ClusterIP, `endpoint` for the addresses of its endpoints,
    /// or the name of a resolver of Emissary-ingress. Default: what the installation says, else `kubernetes-service`.
    #[schemars(length(max = 253))]
    pub resolver: Option<String>,
    /// The share of the connections among TCPMappings with the same port and host, from 0 to 100. Those without one share the
    /// rest. Default: the rest. Unit: percent.
    pub weight: Option<i32>,
    /// Limits on what is under way to the upstream at the same time; of connections of TCP, `maxConnections` counts, and one too
    /// many is closed. Default: none.
    #[schemars(length(max = 8))]
    pub circuit_breakers: Option<Vec<CircuitBreaker>>,
    /// How long to wait for a connection to the upstream. Default: 3000. Unit: milliseconds.
    #[schemars(range(min = 1))]
    pub connect_timeout_ms: Option<i64>,
    /// How long a connection may be silent in both directions, as text: `"60000"`; `"0"` for the longest there is, a day. Emissary-ingress
    /// has the field, and gives it no effect. Default: `"3600000"`. Unit: milliseconds.
    #[schemars(length(max = 64))]
    pub idle_timeout_ms: Option<String>,
    /// Puts these connections, and the limits on them, apart from those of others to the same upstream. Default: none.
    #[schemars(length(max = 253))]
    pub cluster_tag: Option<String>,
    /// Whether IPv4 addresses are dialled. Default: true.
    pub enable_ipv4: Option<bool>,
    /// Whether IPv6 addresses are dialled. Postern dials what the Service or the DNS answer has, IPv6 last where the first address
    /// is IPv4; `false` is the default of Emissary-ingress, and leaves it so. Default: true.
    pub enable_ipv6: Option<bool>,
    /// The name of the upstream in metrics. Default: made from `service`.
    #[schemars(length(max = 253))]
    pub stats_name: Option<String>,
    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

/// What becomes of the client's TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClientTls {
    /// It ends here, with the certificate of the Host that has the name, and the upstream gets what was in it.
    Terminate,
    /// It ends at the upstream, which has the certificate: nothing of it is changed.
    Passthrough,
}

impl Spec for TcpMappingSpec {
    const REQUIRED: &'static [&'static str] = &["port", "service"];
    const NOT_IMPLEMENTED: &'static [&'static str] = &["address", "clusterTag", "enableIpv4"];
    const NO_EFFECT: &'static [&'static str] = &["enableIpv6", "statsName"];
    const OFF: &'static [(&'static str, &'static str)] = &[
        ("address", "0.0.0.0"),
        ("address", "::"),
        ("enableIpv4", "true"),
        ("enableIpv6", "true"),
    ];

    made_once!(TcpMappingSpec);
}
