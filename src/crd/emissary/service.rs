//! The services that Emissary-ingress asks about requests, or tells of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crd::{
    mapping::CircuitBreaker,
    schema::{Spec, made_once},
};

/// A service that is asked whether a request may pass.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthServiceSpec {
    /// The service. Required.
    #[schemars(length(max = 512))]
    pub auth_service: Option<String>,
    /// How it is asked: `http` or `grpc`. Default: `http`.
    #[schemars(length(max = 64))]
    pub proto: Option<String>,
    /// The version of the protocol. Default: `v3`.
    #[schemars(length(max = 64))]
    pub protocol_version: Option<String>,
    /// What comes before the path. Default: none.
    pub path_prefix: Option<String>,
    /// The name of a TLSContext for TLS to the service. Default: none.
    #[schemars(length(max = 253))]
    pub tls: Option<String>,
    /// How long to wait for it. Default: 5000. Unit: milliseconds.
    pub timeout_ms: Option<i64>,
    /// Request headers that it sees beside the usual ones. Default: none.
    #[schemars(inner(length(max = 256)))]
    pub allowed_request_headers: Option<Vec<String>>,
    /// Headers of its answer that are passed on beside the usual ones. Default: none.
    #[schemars(inner(length(max = 256)))]
    pub allowed_authorization_headers: Option<Vec<String>>,
    /// Headers that it gets. Default: none.
    pub add_auth_headers: Option<BTreeMap<String, String>>,
    /// Whether linkerd's `l5d-dst-override` is set. Default: false.
    pub add_linkerd_headers: Option<bool>,
    /// How much of the body it gets. Default: nothing.
    pub include_body: Option<Value>,
    /// Whether it gets a part of the body. Default: false.
    pub allow_request_body: Option<bool>,
    /// Whether requests pass when it cannot be asked. Default: false.
    pub failure_mode_allow: Option<bool>,
    /// The answer when it cannot be asked. Default: 403.
    pub status_on_error: Option<Value>,
    /// Limits on what is under way to it at the same time. Default: none.
    #[schemars(length(max = 8))]
    pub circuit_breakers: Option<Vec<CircuitBreaker>>,
    /// Its name in metrics. Default: made from `authService`.
    #[schemars(length(max = 253))]
    pub stats_name: Option<String>,
    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

/// A service that is asked whether there were too many requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimitServiceSpec {
    /// The service. Required.
    #[schemars(length(max = 512))]
    pub service: Option<String>,
    /// The domain whose labels it is told. Default: `ambassador`.
    #[schemars(length(max = 253))]
    pub domain: Option<String>,
    /// How long to wait for it. Default: 20. Unit: milliseconds.
    pub timeout_ms: Option<i64>,
    /// The version of the protocol. Default: `v3`.
    #[schemars(length(max = 64))]
    pub protocol_version: Option<String>,
    /// Whether requests are refused when it cannot be asked. Default: false.
    pub failure_mode_deny: Option<bool>,
    /// The name of a TLSContext for TLS to the service. Default: none.
    #[schemars(length(max = 253))]
    pub tls: Option<String>,
    /// Answers to gRPC. Default: none.
    pub grpc: Option<Value>,
    /// Its name in metrics. Default: made from `service`.
    #[schemars(length(max = 253))]
    pub stats_name: Option<String>,
    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

/// A service that is told of each request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LogServiceSpec {
    /// The service. Required.
    #[schemars(length(max = 512))]
    pub service: Option<String>,
    /// What it is told of: `http` or `tcp`. Default: `tcp`.
    #[schemars(length(max = 64))]
    pub driver: Option<String>,
    /// What it is told beside the usual. Default: nothing.
    pub driver_config: Option<Value>,
    /// How long records are collected. Default: 1. Unit: seconds.
    pub flush_interval_time: Option<i32>,
    /// How much of records is collected. Default: 16384. Unit: bytes.
    pub flush_interval_byte_size: Option<i32>,
    /// Whether it speaks gRPC. Default: false.
    pub grpc: Option<bool>,
    /// The version of the protocol. Default: `v3`.
    #[schemars(length(max = 64))]
    pub protocol_version: Option<String>,
    /// Its name in metrics. Default: made from `service`.
    #[schemars(length(max = 253))]
    pub stats_name: Option<String>,
    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

/// A service that collects traces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TracingServiceSpec {
    /// The service. Required.
    #[schemars(length(max = 512))]
    pub service: Option<String>,
    /// How it is told: `zipkin`, `datadog` or `opentelemetry`. Required.
    #[schemars(length(max = 64))]
    pub driver: Option<String>,
    /// Settings of the driver. Default: none.
    pub config: Option<Value>,
    /// Which requests are traced. Default: all.
    pub sampling: Option<Value>,
    /// Tags that every span has. Default: none.
    pub custom_tags: Option<Vec<Value>>,
    /// Headers whose values are tags. Default: none.
    #[schemars(inner(length(max = 256)))]
    pub tag_headers: Option<Vec<String>>,
    /// Its name in metrics. Default: made from `service`.
    #[schemars(length(max = 253))]
    pub stats_name: Option<String>,
    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

impl Spec for AuthServiceSpec {
    const REQUIRED: &'static [&'static str] = &["authService"];

    made_once!(AuthServiceSpec);
}

impl Spec for RateLimitServiceSpec {
    const REQUIRED: &'static [&'static str] = &["service"];

    made_once!(RateLimitServiceSpec);
}

impl Spec for LogServiceSpec {
    const REQUIRED: &'static [&'static str] = &[];

    made_once!(LogServiceSpec);
}

impl Spec for TracingServiceSpec {
    const REQUIRED: &'static [&'static str] = &["service", "driver"];

    made_once!(TracingServiceSpec);
}
