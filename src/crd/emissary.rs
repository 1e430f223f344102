//! Kinds of Emissary-ingress that Postern has no counterpart of: their schemas, for CustomResourceDefinitions and the reference.

mod portal;
mod service;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::schema::{Spec, made_once};
pub use portal::DevPortalSpec;
pub use service::{AuthServiceSpec, LogServiceSpec, RateLimitServiceSpec, TracingServiceSpec};

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
