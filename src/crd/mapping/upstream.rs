//! Parts of a Mapping about its upstream.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AddedHeader;

/// How requests are spread over the endpoints of the upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancer {
    /// The way of choosing. Default: `round_robin`.
    pub policy: Option<LoadBalancerPolicy>,
    /// Requests with the same cookie go to the same endpoint. Default: none.
    pub cookie: Option<LoadBalancerCookie>,
    /// Requests with the same value of this header go to the same endpoint. Default: none.
    #[schemars(length(max = 256))]
    pub header: Option<String>,
    /// Whether requests of the same client address go to the same endpoint. Default: false.
    pub source_ip: Option<bool>,
    /// How long an endpoint that is new, or is used again after it was left out, takes to its full share of the requests, as
    /// `30s`; for `round_robin` and `least_request`. Default: it has that at once.
    #[schemars(length(max = 64))]
    pub slow_start: Option<String>,
}

/// The way of choosing an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoadBalancerPolicy {
    /// One after the other.
    RoundRobin,
    /// Of two taken at random, the one with fewer requests under way.
    LeastRequest,
    /// By `cookie`, `header` or `sourceIp`, on a ring: a change of the endpoints moves few clients.
    RingHash,
    /// The same with a table that spreads more evenly, and moves a few more.
    Maglev,
}

/// The cookie that keeps a client at an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LoadBalancerCookie {
    /// Its name. Required.
    #[schemars(length(max = 256))]
    pub name: Option<String>,
    /// Its path. Default: none.
    pub path: Option<String>,
    /// How long it lives, as `600s`, or `0s` for as long as the browser runs; the cookie is made where it is missing. Default: a
    /// cookie that is not made.
    #[schemars(length(max = 64))]
    pub ttl: Option<String>,
}

/// Limits on what is under way to the upstream at the same time, from all workers of a replica. What is too much is answered
/// with 503.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CircuitBreaker {
    /// The requests that these limits are for. Default: `default`.
    pub priority: Option<Priority>,
    /// Connections of HTTP/1. Default: 1024.
    #[schemars(range(min = 0))]
    pub max_connections: Option<i32>,
    /// Requests that wait for a connection. Default: 1024.
    #[schemars(range(min = 0))]
    pub max_pending_requests: Option<i32>,
    /// Requests. Default: 1024.
    #[schemars(range(min = 0))]
    pub max_requests: Option<i32>,
    /// Requests that are sent again. Default: 3.
    #[schemars(range(min = 0))]
    pub max_retries: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    Default,
    High,
}

/// TCP keepalive towards the upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Keepalive {
    /// Probes without an answer before the connection is dead.
    #[schemars(range(min = 0))]
    pub probes: Option<i32>,
    /// How long a connection is silent before the first probe. Unit: seconds.
    #[schemars(range(min = 0))]
    pub idle_time: Option<i32>,
    /// Time between two probes. Unit: seconds.
    #[schemars(range(min = 0))]
    pub interval: Option<i32>,
}

/// When an endpoint that fails requests is left out for a while. While that leaves fewer than half of the endpoints, all are used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OutlierDetection {
    /// Failures in a row: responses with 5xx, no response, no connection. 0 for no limit. Default: 5.
    #[schemars(range(min = 0))]
    pub consecutive_server_errors: Option<i32>,
    /// The same of 502, 503, 504, no response and no connection alone. 0 for no limit. Default: 0.
    #[schemars(range(min = 0))]
    pub consecutive_gateway_errors: Option<i32>,
    /// The same of connections that cannot be opened alone. 0 for no limit. Default: 5.
    #[schemars(range(min = 0))]
    pub consecutive_connect_failures: Option<i32>,
    /// How long an endpoint is left out for the first time; each further time is twice as long. Default: `30s`.
    #[schemars(length(max = 64))]
    pub base_ejection_time: Option<String>,
    /// The longest that it is left out. Default: `300s`.
    #[schemars(length(max = 64))]
    pub max_ejection_time: Option<String>,
    /// How many of a hundred endpoints are left out at a time; of two or more, one always may be. Default: 10.
    #[schemars(range(min = 0, max = 100))]
    pub max_ejection_percent: Option<i32>,
}

/// Requests that find out whether an endpoint works.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheck {
    /// How long to wait for the answer, as `3s`. Default: `3s`.
    #[schemars(length(max = 64))]
    pub timeout: Option<String>,
    /// Time between two requests, as `5s`; not below `100ms`. Default: `5s`.
    #[schemars(length(max = 64))]
    pub interval: Option<String>,
    /// Failures in a row before an endpoint is left out; the first answer of all decides alone. Default: 2.
    #[schemars(range(min = 0))]
    pub unhealthy_threshold: Option<i32>,
    /// Successes in a row before it is used again. Default: 1.
    #[schemars(range(min = 0))]
    pub healthy_threshold: Option<i32>,
    /// The request. Required.
    pub health_check: Option<HealthCheckRequest>,
}

/// The request of a health check: HTTP or gRPC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthCheckRequest {
    /// An HTTP request. Default: none.
    pub http: Option<HttpHealthCheck>,
    /// A request of the gRPC health checking protocol. Default: none.
    pub grpc: Option<GrpcHealthCheck>,
}

/// A health check by HTTP.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpHealthCheck {
    /// The path that is asked for. Required.
    pub path: Option<String>,
    /// The `Host` of the request. Default: the name of the upstream.
    #[schemars(length(max = 262))]
    pub hostname: Option<String>,
    /// Headers that are added to the request. Default: none.
    pub add_request_headers: Option<BTreeMap<String, AddedHeader>>,
    /// Names of headers that are taken out of the request. Default: none.
    #[schemars(inner(length(max = 256)))]
    pub remove_request_headers: Option<Vec<String>>,
    /// Ranges of status codes that mean success. Default: 200.
    pub expected_statuses: Option<Vec<StatusRange>>,
}

/// Status codes, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusRange {
    /// The lowest. Required.
    #[schemars(range(min = 100, max = 599))]
    pub min: Option<i32>,
    /// The highest. Required.
    #[schemars(range(min = 100, max = 599))]
    pub max: Option<i32>,
}

/// A health check by gRPC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GrpcHealthCheck {
    /// The service that is asked about; `""` for the server as a whole. Required.
    #[schemars(length(max = 253))]
    pub upstream_name: Option<String>,
    /// The `:authority` of the request. Default: the name of the upstream.
    #[schemars(length(max = 262))]
    pub authority: Option<String>,
}
