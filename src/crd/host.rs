use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A hostname, its certificate, and what happens to cleartext requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostSpec {
    pub hostname: Option<String>,
    pub tls_secret: Option<SecretReference>,
    pub request_policy: Option<RequestPolicy>,
    pub mapping_selector: Option<LabelSelector>,
    pub selector: Option<LabelSelector>,
    pub ambassador_id: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretReference {
    pub name: Option<String>,
    pub namespace: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestPolicy {
    pub insecure: Option<InsecurePolicy>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InsecurePolicy {
    pub action: Option<InsecureAction>,
    pub additional_port: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InsecureAction {
    Redirect,
    Route,
    Reject,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    pub match_labels: Option<BTreeMap<String, String>>,
}

impl super::schema::Spec for HostSpec {
    const REQUIRED: &'static [&'static str] = &[];

    super::schema::made_once!(HostSpec);
}
