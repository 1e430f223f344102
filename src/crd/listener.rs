//! The Listener: which ports are open, and what is spoken on them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    host::LabelSelector,
    rule::Rule,
    schema::{Spec, made_once},
};

/// A port, the protocols spoken on it, and the Hosts that it is for. Without any Listener, Postern opens 8080 for HTTP and
/// 8443 for HTTPS. Read from Postern's own namespace, and from those that the GatewaySettings name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerSpec {
    /// The port. Required.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// A short form of `protocolStack`. One of the two is required.
    pub protocol: Option<Protocol>,
    /// The protocols, down to that of the socket: `[TLS, HTTP, TCP]`. One of this and `protocol` is required.
    #[schemars(length(max = 8))]
    pub protocol_stack: Option<Vec<ProtocolLayer>>,
    /// How it is known whether a request came by TLS. Required.
    pub security_model: Option<SecurityModel>,
    /// The Hosts that are served on this port. Required.
    pub host_binding: Option<HostBinding>,
    /// How many proxies in front of this port add to X-Forwarded-For. Default: 0.
    #[schemars(range(min = 0, max = 64))]
    pub l7_depth: Option<i32>,
    /// Addresses and networks (`10.0.0.0/8`) whose X-Forwarded headers are believed. Default: the private networks when
    /// `l7Depth` is above 0, else none.
    #[schemars(inner(length(max = 64)))]
    pub trusted_proxies: Option<Vec<String>>,
    /// How many streams a client may have open in one HTTP/2 connection. Default: 100.
    #[schemars(range(min = 1, max = 65535))]
    pub http2_max_concurrent_streams: Option<i32>,
    /// What the names of this Listener's metrics begin with in Emissary-ingress. Default: made from the protocol.
    #[schemars(length(max = 253))]
    pub stats_prefix: Option<String>,
    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

/// A protocol stack by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// HTTP without TLS.
    Http,
    /// HTTP with TLS, and without where the `securityModel` lets it.
    Https,
    /// HTTP after a PROXY protocol header. Not implemented.
    HttpProxy,
    /// HTTPS after a PROXY protocol header. Not implemented.
    HttpsProxy,
    /// Whatever a TCPMapping of the port has sent on.
    Tcp,
    /// TLS, for the TCPMapping with the name that the handshake asks for.
    Tls,
    /// UDP. Not implemented.
    Udp,
}

/// A protocol of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProtocolLayer {
    /// HTTP/1.1 and HTTP/2.
    Http,
    /// The PROXY protocol. Not implemented.
    Proxy,
    /// TLS with the certificates of the Hosts.
    Tls,
    /// TCP.
    Tcp,
    /// UDP. Not implemented.
    Udp,
}

/// How it is known whether a request came by TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum SecurityModel {
    /// X-Forwarded-Proto of a trusted proxy says so; without one, the connection.
    Xfp,
    /// Every request counts as secure, and cleartext is not served.
    Secure,
    /// No request counts as secure.
    Insecure,
}

/// The Hosts that a Listener serves: those that fit both conditions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostBinding {
    /// The namespaces of the Hosts. Default: the Listener's own.
    pub namespace: Option<NamespaceBinding>,
    /// The labels of the Hosts. Default: any.
    pub selector: Option<LabelSelector>,
}

/// Namespaces whose Hosts are served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceBinding {
    /// Which namespaces. Default: `SELF`.
    pub from: Option<NamespaceFrom>,
}

/// Which namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum NamespaceFrom {
    /// The Listener's own.
    #[serde(rename = "SELF")]
    Own,
    /// Every namespace.
    All,
    /// Namespaces by their labels. Emissary-ingress never implemented it, nor does Postern.
    Selector,
}

impl Spec for ListenerSpec {
    const REQUIRED: &'static [&'static str] = &["port", "securityModel", "hostBinding"];
    const NO_EFFECT: &'static [&'static str] = &["statsPrefix"];
    const RULES: &'static [Rule<Self>] = super::rule::LISTENER;

    made_once!(ListenerSpec);
}
