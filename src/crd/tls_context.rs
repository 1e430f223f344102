use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// TLS settings that a Mapping names to speak TLS to its upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsContextSpec {
    pub hosts: Option<Vec<String>>,
    pub secret: Option<String>,
    pub ca_secret: Option<String>,
    pub sni: Option<String>,
    pub insecure_skip_verify: Option<bool>,
    pub ambassador_id: Option<Vec<String>>,
}

impl super::schema::Spec for TlsContextSpec {
    const REQUIRED: &'static [&'static str] = &[];

    super::schema::made_once!(TlsContextSpec);
}
