//! The Mapping: the object that application teams write.

pub mod policy;
pub mod upstream;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    rule::Rule,
    schema::{Spec, made_once},
};
pub use policy::{Cors, ErrorResponseOverride, LabelGroup, RetryPolicy};
pub use upstream::{CircuitBreaker, HealthCheck, Keepalive, LoadBalancer, OutlierDetection};

/// A match (hostname, path, method, headers, query) and what to do with the requests that fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MappingSpec {
    /// The names that requests ask for: `example.com`, `*.example.com` for everything below it, or `*` for every name.
    /// Without it, a Host must select the labels of this Mapping. Default: none.
    #[schemars(length(max = 262))]
    pub hostname: Option<String>,
    /// The older form of `hostname`, for one exact name or, with `hostRegex`, a regular expression. Ignored when
    /// `hostname` is there. Default: none.
    pub host: Option<String>,
    /// Whether `host` is a regular expression (RE2) that the whole name must match. Default: false.
    pub host_regex: Option<bool>,
    /// What the path of a request begins with: `/api/`. With `prefixExact` the whole path, with `prefixRegex` a regular
    /// expression for the whole path. The query does not count. Required.
    pub prefix: Option<String>,
    /// Whether the path must be equal to `prefix`. Default: false.
    pub prefix_exact: Option<bool>,
    /// Whether `prefix` is a regular expression (RE2) that the whole path must match. Default: false.
    pub prefix_regex: Option<bool>,
    /// Whether upper and lower case differ in the path. Regular expressions are not affected. Default: true.
    pub case_sensitive: Option<bool>,
    /// The method of the request: `GET`. Default: every method.
    #[schemars(length(max = 256))]
    pub method: Option<String>,
    /// Whether `method` is a regular expression (RE2) that the whole method must match. Default: false.
    pub method_regex: Option<bool>,
    /// Headers that must all be there with exactly these values. Default: none.
    #[schemars(extend("maxProperties" = 32))]
    pub headers: Option<BTreeMap<String, String>>,
    /// Headers whose values must match regular expressions (RE2), each as a whole; `.*` asks only that the header is there.
    /// Default: none.
    #[schemars(extend("maxProperties" = 32))]
    pub regex_headers: Option<BTreeMap<String, String>>,
    /// Query parameters that must all be there with exactly these values. Default: none.
    #[schemars(extend("maxProperties" = 32))]
    pub query_parameters: Option<BTreeMap<String, String>>,
    /// Query parameters whose values must match regular expressions (RE2), each as a whole; `.*` asks only that the
    /// parameter is there. Default: none.
    #[schemars(extend("maxProperties" = 32))]
    pub regex_query_parameters: Option<BTreeMap<String, String>>,
    /// Mappings with a higher number are asked first, before every other rule of order. Default: 0.
    pub precedence: Option<i32>,

    /// Where requests go: `[http://|https://]name[.namespace][:port]`, the port as a number or a name of the Service. Without
    /// a namespace it is that of the Mapping. With `hostRedirect` the new host instead. Required.
    #[schemars(length(max = 512))]
    pub service: Option<String>,
    /// How a Service becomes addresses: `kubernetes-service` for its ClusterIP, `endpoint` for the addresses of its endpoints,
    /// or the name of a resolver of Emissary-ingress. Default: what the installation says, else `kubernetes-service`.
    #[schemars(length(max = 253))]
    pub resolver: Option<String>,
    /// The share of the requests among Mappings with the same match, from 0 to 100. Those without one share the rest.
    /// Default: the rest. Unit: percent.
    pub weight: Option<i32>,
    /// The name of a TLSContext for TLS to the upstream. Default: none.
    #[schemars(length(max = 253))]
    pub tls: Option<String>,
    /// Whether the upstream speaks HTTP/2, as gRPC needs it. Default: what the `appProtocol` of the Service port says, else false.
    pub grpc: Option<bool>,
    /// How long to wait for a connection to the upstream. Default: 3000. Unit: milliseconds.
    #[schemars(range(min = 1))]
    pub connect_timeout_ms: Option<i64>,
    /// Puts this Mapping's connections to the upstream, and the limits on them, apart from those of others. Default: none.
    #[schemars(length(max = 253))]
    pub cluster_tag: Option<String>,
    /// The name of the upstream in metrics. Default: made from `service`.
    #[schemars(length(max = 253))]
    pub stats_name: Option<String>,
    /// How an external name is resolved. Default: `strict_dns`.
    #[schemars(length(max = 64))]
    pub dns_type: Option<String>,
    /// Whether the TTL of a DNS answer is kept to. Postern always does: Emissary-ingress asks again every 5 seconds unless this is
    /// true, which changes what is asked and not where requests go. Default: true.
    pub respect_dns_ttl: Option<bool>,
    /// Whether IPv4 addresses are dialled. Default: true.
    pub enable_ipv4: Option<bool>,
    /// Whether IPv6 addresses are dialled. Postern dials what the Service or the DNS answer has, IPv6 last where the first address
    /// is IPv4; `false` is the default of Emissary-ingress, and leaves it so. Default: true.
    pub enable_ipv6: Option<bool>,
    /// How requests are spread over the endpoints of the upstream. All but `round_robin` needs `resolver: endpoint`, or a Service
    /// without a ClusterIP. Default: round robin.
    pub load_balancer: Option<Box<LoadBalancer>>,
    /// Limits on what is under way to the upstream at the same time. Default: none.
    #[schemars(length(max = 8))]
    pub circuit_breakers: Option<Vec<CircuitBreaker>>,
    /// TCP keepalive towards the upstream. Default: that of the operating system.
    pub keepalive: Option<Box<Keepalive>>,
    /// Requests that find out whether an endpoint works, with `resolver: endpoint`. One that fails is left out; while fewer than
    /// half of the endpoints are left, all are used. Default: none.
    #[schemars(length(max = 8))]
    pub health_checks: Option<Vec<HealthCheck>>,
    /// How long an unused connection to the upstream is kept; 0 for the longest there is, which is 3600000. Default: 60000.
    /// Unit: milliseconds.
    #[schemars(range(min = 0))]
    pub cluster_idle_timeout_ms: Option<i64>,
    /// How long a connection to the upstream takes new requests; the last fifth is chance. Default: no limit, and 300000 for
    /// HTTP/2 to a ClusterIP. Unit: milliseconds.
    #[schemars(range(min = 0))]
    pub cluster_max_connection_lifetime_ms: Option<i64>,
    /// Whether this Mapping gets copies of the requests of the others with the same match, of so many of a hundred as `weight` says,
    /// else of all. Its answers are thrown away. Default: false.
    pub shadow: Option<bool>,

    /// What takes the place of the matched prefix in the path that the upstream sees; `""` leaves the path alone. A Mapping
    /// with `prefixRegex` leaves it alone unless this is there. Default: `/`.
    pub rewrite: Option<String>,
    /// A regular expression whose every match in the path is replaced. Comes before `rewrite`. Default: none.
    pub regex_rewrite: Option<Box<RegexRewrite>>,
    /// The `Host` that the upstream sees. Default: what the client sent.
    #[schemars(length(max = 262))]
    pub host_rewrite: Option<String>,
    /// Whether the upstream sees its own name as `Host`. Default: false.
    pub auto_host_rewrite: Option<bool>,
    /// Whether `%2F` in a path is let through instead of refused. Default: false.
    pub allow_escaped_slashes: Option<bool>,
    /// Headers that are added to the request. Default: none.
    pub add_request_headers: Option<BTreeMap<String, AddedHeader>>,
    /// Headers that are added to the response. Default: none.
    pub add_response_headers: Option<BTreeMap<String, AddedHeader>>,
    /// Names of headers that are taken out of the request. Default: none.
    #[schemars(inner(length(max = 256)))]
    pub remove_request_headers: Option<Vec<String>>,
    /// Names of headers that are taken out of the response. Default: none.
    #[schemars(inner(length(max = 256)))]
    pub remove_response_headers: Option<Vec<String>>,
    /// Whether the upstream is named to linkerd in `l5d-dst-override`. Default: what Emissary's Module says, else false.
    pub add_linkerd_headers: Option<bool>,
    /// How long a response may take; 0 for no limit. Default: 3000 until the response begins, and no limit for all of it.
    /// Unit: milliseconds.
    #[schemars(range(min = 0))]
    pub timeout_ms: Option<i64>,
    /// How long a stream may be silent; 0 for the longest there is, which is 600000, and 3600000 after an upgrade.
    /// Default: 300000. Unit: milliseconds.
    #[schemars(range(min = 0))]
    pub idle_timeout_ms: Option<i64>,
    /// The largest request body; a larger one is answered with 413. Default: no limit. Unit: bytes.
    #[schemars(range(min = 0))]
    pub max_request_body_bytes: Option<i64>,
    /// Protocols that a client may upgrade to: `websocket`. Default: none.
    #[schemars(length(max = 16), inner(length(max = 64)))]
    pub allow_upgrade: Option<Vec<String>>,
    /// The older form of `allowUpgrade: [websocket]`. Default: false.
    pub use_websocket: Option<bool>,
    /// Answers to requests from web pages of other origins. Default: none.
    pub cors: Option<Box<Cors>>,
    /// When a request is sent again, whatever its method. Default: never, beside what is safe to repeat on a connection that had
    /// just died.
    pub retry_policy: Option<Box<RetryPolicy>>,
    /// The pool of circuit breaker limits that requests count in: `default` or `high`. Default: `default`.
    #[schemars(length(max = 64))]
    pub priority: Option<String>,

    /// Whether to answer with a redirect to the host in `service` instead of forwarding. Default: false.
    pub host_redirect: Option<bool>,
    /// The path of the redirect. Default: the path of the request.
    pub path_redirect: Option<String>,
    /// What takes the place of the matched prefix in the path of the redirect. Default: the prefix stays.
    pub prefix_redirect: Option<String>,
    /// A regular expression whose every match in the path of the redirect is replaced. Default: none.
    pub regex_redirect: Option<Box<RegexRewrite>>,
    /// The status of the redirect. Default: 301.
    #[schemars(extend("enum" = [301, 302, 303, 307, 308]))]
    pub redirect_response_code: Option<i32>,

    /// Whether requests are let through without asking the AuthService. Default: false.
    pub bypass_auth: Option<bool>,
    /// What the AuthService is told beside the request. Default: none.
    pub auth_context_extensions: Option<BTreeMap<String, String>>,
    /// What the RateLimitService is told about a request: for each domain, groups of descriptors. Default: none.
    #[schemars(extend("maxProperties" = 8))]
    pub labels: Option<BTreeMap<String, Vec<LabelGroup>>>,
    /// Other bodies for error responses. Default: none.
    pub error_response_overrides: Option<Vec<ErrorResponseOverride>>,
    /// Whether `errorResponseOverrides` of the installation are not applied. Default: false.
    pub bypass_error_response_overrides: Option<bool>,
    /// When an endpoint that fails requests is left out for a while, with `resolver: endpoint`. Default: never.
    pub outlier_detection: Option<Box<OutlierDetection>>,
    /// Raw Envoy configuration. Default: none.
    pub envoy_override: Option<Box<Value>>,
    /// Where the API is documented, for a developer portal. Default: none.
    pub docs: Option<Box<Value>>,
    /// Modules of this Mapping. Default: none.
    pub modules: Option<Vec<Value>>,

    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

/// A regular expression and what replaces each of its matches in the path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RegexRewrite {
    /// The regular expression (RE2). Required.
    pub pattern: Option<String>,
    /// What replaces a match; `\1` is the first group. Default: an empty string, which takes the match out.
    pub substitution: Option<String>,
}

/// A header value to add.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AddedHeader {
    /// The value of the header. Required.
    #[schemars(length(max = 4096))]
    pub value: Option<String>,
    /// Whether values that are there already are kept; otherwise they are replaced. Default: true.
    pub append: Option<bool>,
}

impl Spec for MappingSpec {
    const REQUIRED: &'static [&'static str] = &[
        "prefix",
        "service",
        "regexRewrite.pattern",
        "regexRedirect.pattern",
        "addRequestHeaders.*.value",
        "addResponseHeaders.*.value",
        "loadBalancer.cookie.name",
        "retryPolicy.retryOn",
    ];
    const NOT_IMPLEMENTED: &'static [&'static str] = &[
        "authContextExtensions",
        "bypassAuth",
        "clusterTag",
        "dnsType",
        "enableIpv4",
        "errorResponseOverrides",
        "labels",
    ];
    const NO_EFFECT: &'static [&'static str] = &[
        "bypassErrorResponseOverrides",
        "docs",
        "enableIpv6",
        "envoyOverride",
        "modules",
        "respectDnsTtl",
        "statsName",
    ];
    const OFF: &'static [(&'static str, &'static str)] = &[
        ("dnsType", "strict_dns"),
        ("enableIpv4", "true"),
        ("enableIpv6", "true"),
        ("respectDnsTtl", "true"),
    ];
    const RULES: &'static [Rule<Self>] = super::rule::MAPPING;

    made_once!(MappingSpec);
}
