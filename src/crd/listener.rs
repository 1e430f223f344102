use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::host::LabelSelector;

/// A port and the protocols spoken on it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ListenerSpec {
    pub port: Option<i32>,
    pub protocol: Option<Protocol>,
    pub protocol_stack: Option<Vec<ProtocolLayer>>,
    pub security_model: Option<SecurityModel>,
    pub host_binding: Option<HostBinding>,
    pub l7_depth: Option<i32>,
    pub trusted_proxies: Option<Vec<String>>,
    pub http2_max_concurrent_streams: Option<i32>,
    pub stats_prefix: Option<String>,
    pub ambassador_id: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    Http,
    Https,
    HttpProxy,
    HttpsProxy,
    Tcp,
    Tls,
    Udp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ProtocolLayer {
    Http,
    Proxy,
    Tls,
    Tcp,
    Udp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum SecurityModel {
    Xfp,
    Secure,
    Insecure,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostBinding {
    pub namespace: Option<NamespaceBinding>,
    pub selector: Option<LabelSelector>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceBinding {
    pub from: Option<NamespaceFrom>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum NamespaceFrom {
    #[serde(rename = "SELF")]
    Own,
    All,
    Selector,
}

impl super::schema::Spec for ListenerSpec {
    const REQUIRED: &'static [&'static str] = &[];

    super::schema::made_once!(ListenerSpec);
}
