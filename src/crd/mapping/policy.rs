//! Parts of a Mapping about policies; those that Postern does not implement have their schema here, so that they are refused by name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Answers to requests from web pages of other origins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Cors {
    /// Origins that may, as browsers write them: `https://example.com`, or `*` for all. Default: none.
    pub origins: Option<Vec<String>>,
    /// Methods that may be used. Default: none.
    #[schemars(inner(length(max = 64)))]
    pub methods: Option<Vec<String>>,
    /// Request headers that may be used. Default: none.
    #[schemars(inner(length(max = 256)))]
    pub headers: Option<Vec<String>>,
    /// Response headers that a page may read. Default: none.
    #[schemars(inner(length(max = 256)))]
    pub exposed_headers: Option<Vec<String>>,
    /// Whether cookies and the like are sent along. Default: false.
    pub credentials: Option<bool>,
    /// How long a browser may keep the answer. Default: none. Unit: seconds.
    #[schemars(length(max = 64))]
    pub max_age: Option<String>,
}

/// When a request is sent again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryPolicy {
    /// What counts as a failure. Required.
    pub retry_on: Option<RetryOn>,
    /// How often a request is sent again: at most 10 times, and all requests together no more than about a fifth of what goes to
    /// the upstream. A body above 64 KiB is sent once. Default: 1.
    #[schemars(range(min = 0))]
    pub num_retries: Option<i32>,
    /// How long one attempt may take, as `250ms`. Default: the timeout of the Mapping.
    #[schemars(length(max = 64))]
    pub per_try_timeout: Option<String>,
}

/// What counts as a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    /// A status from 500 to 599, or no response.
    #[serde(rename = "5xx")]
    ServerError,
    /// 502, 503 or 504, or no response.
    GatewayError,
    /// No connection.
    ConnectFailure,
    /// 409.
    #[serde(rename = "retriable-4xx")]
    Retriable4xx,
    /// The upstream says that it has not touched the request.
    RefusedStream,
    /// No code is named anywhere, so never.
    RetriableStatusCodes,
}

/// A rate limit descriptor, under a name that nobody reads.
pub type LabelGroup = BTreeMap<String, Vec<LabelSpecifier>>;

/// One entry of a rate limit descriptor; one of its fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSpecifier {
    /// The name of this installation. Default: none.
    pub source_cluster: Option<LabelKey>,
    /// The name of the upstream. Default: none.
    pub destination_cluster: Option<LabelKey>,
    /// The address of the client. Default: none.
    pub remote_address: Option<LabelKey>,
    /// The value of a request header. Default: none.
    pub request_headers: Option<LabelHeader>,
    /// A constant. Default: none.
    pub generic_key: Option<LabelConstant>,
}

/// The key of a rate limit descriptor entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelKey {
    /// The key. Default: the name of the field that it is in.
    #[schemars(length(max = 253))]
    pub key: Option<String>,
}

/// A rate limit descriptor entry with the value of a request header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelHeader {
    /// The key. Required.
    #[schemars(length(max = 253))]
    pub key: Option<String>,
    /// The header. Required.
    #[schemars(length(max = 256))]
    pub header_name: Option<String>,
    /// Whether only this entry is left out when the header is absent. Default: false.
    pub omit_if_not_present: Option<bool>,
}

/// A rate limit descriptor entry with a constant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelConstant {
    /// The key. Default: `generic_key`.
    #[schemars(length(max = 253))]
    pub key: Option<String>,
    /// The value. Required.
    pub value: Option<String>,
}

/// Another body for error responses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ErrorResponseOverride {
    /// The status that it is for. Required.
    #[schemars(range(min = 400, max = 599))]
    pub on_status_code: Option<i32>,
    /// The body. Required.
    pub body: Option<Value>,
}
