//! The DevPortal, which has no effect in the open gateway of Emissary-ingress either.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crd::schema::{Spec, made_once};

/// A developer portal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DevPortalSpec {
    /// Whether this is the portal for everything. Default: false.
    pub default: Option<bool>,
    /// Where the pages of the portal are. Default: none.
    pub content: Option<Value>,
    /// What is documented. Default: none.
    pub docs: Option<Vec<Value>>,
    /// Which Mappings are documented. Default: all.
    pub selector: Option<Value>,
    /// How the names of services are made. Default: `namespace.name`.
    #[schemars(length(max = 64))]
    pub naming_scheme: Option<String>,
    /// How the portal is searched. Default: none.
    pub search: Option<Value>,
    /// Whether the servers of a document are kept. Default: false.
    pub preserve_servers: Option<bool>,
    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

impl Spec for DevPortalSpec {
    const REQUIRED: &'static [&'static str] = &[];
    const NO_EFFECT: &'static [&'static str] = &[
        "content",
        "default",
        "docs",
        "namingScheme",
        "preserveServers",
        "search",
        "selector",
    ];

    made_once!(DevPortalSpec);
}
