//! Kinds of Emissary-ingress that Postern has no counterpart of: their schemas, for CustomResourceDefinitions and the reference.

mod portal;
mod service;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    mapping::CircuitBreaker,
    schema::{Spec, made_once},
};
pub use portal::DevPortalSpec;
pub use service::{AuthServiceSpec, LogServiceSpec, RateLimitServiceSpec, TracingServiceSpec};

/// A port whose connections are sent on as they are, or by the name that a TLS handshake asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpMappingSpec {
    /// The port. Required.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// The address that the port is on. Default: every address.
    #[schemars(length(max = 64))]
    pub address: Option<String>,
    /// The name that TLS handshakes ask for; TLS is then ended here. Default: every connection.
    #[schemars(length(max = 262))]
    pub host: Option<String>,
    /// Where connections go: `[https://]name[.namespace][:port]`. Required.
    #[schemars(length(max = 512))]
    pub service: Option<String>,
    /// The name of a TLSContext for TLS to the upstream. Default: none.
    #[schemars(length(max = 253))]
    pub tls: Option<String>,
    /// How a Service becomes addresses: the name of a resolver. Default: the ClusterIP.
    #[schemars(length(max = 253))]
    pub resolver: Option<String>,
    /// Limits on what is under way to the upstream at the same time. Default: none.
    #[schemars(length(max = 8))]
    pub circuit_breakers: Option<Vec<CircuitBreaker>>,
    /// Whether IPv4 addresses are dialled. Default: true.
    pub enable_ipv4: Option<bool>,
    /// Whether IPv6 addresses are dialled. Default: true.
    pub enable_ipv6: Option<bool>,
    /// Puts these connections into a pool of their own. Default: none.
    #[schemars(length(max = 253))]
    pub cluster_tag: Option<String>,
    /// The share of the connections. Default: the rest. Unit: percent.
    pub weight: Option<i32>,
    /// How long a connection may be silent. Unit: milliseconds.
    #[schemars(length(max = 64))]
    pub idle_timeout_ms: Option<String>,
    /// The name of the upstream in metrics. Default: made from `service`.
    #[schemars(length(max = 253))]
    pub stats_name: Option<String>,
    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

/// Settings of the whole installation, in the Module `ambassador`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ModuleSpec {
    /// The settings, each by its key. Required.
    pub config: Option<Value>,
    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

/// A name for routing to the ClusterIPs of Services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KubernetesServiceResolverSpec {
    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

/// A name for routing to the endpoints of Services.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KubernetesEndpointResolverSpec {
    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

/// A name for routing to what Consul knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsulResolverSpec {
    /// The address of Consul. Default: `127.0.0.1:8500`.
    #[schemars(length(max = 512))]
    pub address: Option<String>,
    /// The datacenter. Required.
    #[schemars(length(max = 253))]
    pub datacenter: Option<String>,
    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

impl Spec for TcpMappingSpec {
    const REQUIRED: &'static [&'static str] = &["port", "service"];
    const NOT_IMPLEMENTED: &'static [&'static str] = &[
        "address",
        "circuitBreakers",
        "clusterTag",
        "enableIpv4",
        "enableIpv6",
        "host",
        "port",
        "resolver",
        "service",
        "tls",
        "weight",
    ];
    const NO_EFFECT: &'static [&'static str] = &["idleTimeoutMs", "statsName"];

    made_once!(TcpMappingSpec);
}

impl Spec for ModuleSpec {
    const REQUIRED: &'static [&'static str] = &["config"];

    made_once!(ModuleSpec);
}

impl Spec for KubernetesServiceResolverSpec {
    const REQUIRED: &'static [&'static str] = &[];

    made_once!(KubernetesServiceResolverSpec);
}

impl Spec for KubernetesEndpointResolverSpec {
    const REQUIRED: &'static [&'static str] = &[];

    made_once!(KubernetesEndpointResolverSpec);
}

impl Spec for ConsulResolverSpec {
    const REQUIRED: &'static [&'static str] = &["datacenter"];
    const NOT_IMPLEMENTED: &'static [&'static str] = &["address", "datacenter"];

    made_once!(ConsulResolverSpec);
}
