use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of one installation. Read from Postern's own namespace only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewaySettingsSpec {
    pub default_host: Option<DefaultHost>,
    pub ownership: Option<Ownership>,
    pub references: Option<References>,
    pub instance_namespaces: Option<Vec<String>>,
    pub emissary: Option<EmissarySettings>,
    pub headers: Option<HeaderPolicy>,
    pub paths: Option<PathPolicy>,
    pub ambassador_id: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DefaultHost {
    Always,
    Auto,
    Never,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Ownership {
    pub unclaimed: Option<Unclaimed>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Unclaimed {
    FirstCome,
    Deny,
    Shared,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct References {
    pub services: Option<ReferencePolicy>,
    pub external: Option<ExternalReferences>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReferencePolicy {
    Allow,
    RequireGrant,
}

/// Which names outside the cluster may be dialled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalReferences {
    pub policy: Option<ExternalPolicy>,
    pub suffixes: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExternalPolicy {
    Allow,
    Deny,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EmissarySettings {
    /// Emissary kinds and Module keys that are not implemented and may be ignored.
    pub ignore: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderPolicy {
    pub underscores: Option<Underscores>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Underscores {
    Allow,
    Reject,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PathPolicy {
    pub merge_slashes: Option<bool>,
    pub allow_escaped_slashes: Option<bool>,
}

impl super::schema::Spec for GatewaySettingsSpec {
    const REQUIRED: &'static [&'static str] = &[];

    super::schema::made_once!(GatewaySettingsSpec);
}
