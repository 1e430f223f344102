use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A match (hostname, path, method, headers, query) and what to do with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MappingSpec {
    pub hostname: Option<String>,
    pub host: Option<String>,
    pub host_regex: Option<bool>,
    pub prefix: Option<String>,
    pub prefix_exact: Option<bool>,
    pub prefix_regex: Option<bool>,
    pub case_sensitive: Option<bool>,
    pub method: Option<String>,
    pub method_regex: Option<bool>,
    pub headers: Option<BTreeMap<String, String>>,
    pub regex_headers: Option<BTreeMap<String, String>>,
    pub query_parameters: Option<BTreeMap<String, String>>,
    pub regex_query_parameters: Option<BTreeMap<String, String>>,
    pub precedence: Option<i32>,

    pub service: Option<String>,
    pub resolver: Option<String>,
    pub weight: Option<i32>,
    pub tls: Option<String>,
    pub grpc: Option<bool>,
    pub connect_timeout_ms: Option<i64>,

    pub rewrite: Option<String>,
    pub regex_rewrite: Option<RegexRewrite>,
    pub host_rewrite: Option<String>,
    pub auto_host_rewrite: Option<bool>,
    pub allow_escaped_slashes: Option<bool>,
    pub add_request_headers: Option<BTreeMap<String, AddedHeader>>,
    pub add_response_headers: Option<BTreeMap<String, AddedHeader>>,
    pub remove_request_headers: Option<Vec<String>>,
    pub remove_response_headers: Option<Vec<String>>,
    pub timeout_ms: Option<i64>,
    pub idle_timeout_ms: Option<i64>,
    pub max_request_body_bytes: Option<i64>,
    pub allow_upgrade: Option<Vec<String>>,
    pub use_websocket: Option<bool>,

    pub host_redirect: Option<bool>,
    pub path_redirect: Option<String>,
    pub prefix_redirect: Option<String>,
    pub regex_redirect: Option<RegexRewrite>,
    #[schemars(extend("enum" = [301, 302, 303, 307, 308]))]
    pub redirect_response_code: Option<i32>,

    pub ambassador_id: Option<Vec<String>>,
}

/// A regular expression and what replaces each of its matches in the path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RegexRewrite {
    pub pattern: Option<String>,
    pub substitution: Option<String>,
}

/// A header value to add.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AddedHeader {
    pub value: Option<String>,
    pub append: Option<bool>,
}

impl super::schema::Spec for MappingSpec {
    const REQUIRED: &'static [&'static str] = &["prefix", "service"];

    super::schema::made_once!(MappingSpec);
}
