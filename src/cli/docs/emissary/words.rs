//! What the definitions cannot say: in which way a field differs, and what there is instead of one that is refused.

/// Kind, field in camelCase, and how it differs.
pub(super) const DIFFERS: &[(&str, &str, &str)] = &[
    (
        "Mapping",
        "hostname",
        "A port in the Host header is ignored unless the hostname names one; equal matches of two namespaces are a conflict.",
    ),
    (
        "Mapping",
        "prefix",
        "A prefix, an exact path and an expression with one text are different matches.",
    ),
    (
        "Mapping",
        "prefixRegex",
        "Without `rewrite` and `regex_rewrite` the path is left alone.",
    ),
    (
        "Mapping",
        "rewrite",
        "There is exactly one slash at the joint.",
    ),
    (
        "Mapping",
        "healthChecks",
        "Asked once for all workers; any failure counts for `unhealthy_threshold`, and an endpoint is used until its first answer. Refused without endpoints.",
    ),
    (
        "Mapping",
        "outlierDetection",
        "It drops the Mapping there. Left out for twice as long each time. Refused without endpoints.",
    ),
    (
        "Mapping",
        "weight",
        "Shares of the sum; above 100 the Mapping is refused, and 0 gets nothing.",
    ),
    (
        "Mapping",
        "service",
        "A Service of another namespace needs a ReferenceGrant or `references.services: Allow`; loopback, link-local and own addresses are refused.",
    ),
    (
        "Mapping",
        "resolver",
        "`kubernetes-service` and `kubernetes-endpoint` by their own names; an unknown one refuses the Mapping.",
    ),
    (
        "Mapping",
        "tls",
        "An unknown TLSContext refuses the Mapping, and the certificate is verified.",
    ),
    (
        "Mapping",
        "timeoutMs",
        "Without it the 3 seconds are those until the response begins.",
    ),
    ("Mapping", "idleTimeoutMs", "0 is the longest there is."),
    (
        "Mapping",
        "precedence",
        "It never reaches into what others have claimed.",
    ),
    (
        "Mapping",
        "hostRegex",
        "The expression is matched without the port.",
    ),
    (
        "Mapping",
        "addRequestHeaders",
        "Variables are those of the reference of Mapping; another refuses the Mapping.",
    ),
    (
        "Mapping",
        "addLinkerdHeaders",
        "It takes the place of what the client says.",
    ),
    (
        "Mapping",
        "addResponseHeaders",
        "Variables are those of the reference of Mapping; another refuses the Mapping.",
    ),
    (
        "TCPMapping",
        "port",
        "It needs a Listener with the port, unless its namespace may write one, as with the preset.",
    ),
    (
        "TCPMapping",
        "weight",
        "Shares of the sum, as of a Mapping; there it is applied wrongly.",
    ),
    (
        "TCPMapping",
        "idleTimeoutMs",
        "It works; there it has no effect, and a connection may be silent for an hour.",
    ),
    (
        "TCPMapping",
        "circuitBreakers",
        "`max_connections` counts; a connection that is too many is closed.",
    ),
    (
        "Host",
        "hostname",
        "The first Host takes no names from anybody; see `defaultHost`.",
    ),
    (
        "Host",
        "tlsSecret",
        "A bad Secret concerns TLS for these names only.",
    ),
    (
        "Host",
        "tlsSecret.namespace",
        "A Secret of another namespace needs a ReferenceGrant.",
    ),
    (
        "Host",
        "requestPolicy.insecure.action",
        "`Redirect` redirects every path; see `insecureRedirect`.",
    ),
    (
        "Listener",
        "protocol",
        "`HTTP`, `HTTPS`, `TCP` and `TLS`; another refuses the Listener. A TCPMapping with a `host` needs `TLS` or `HTTPS`.",
    ),
    (
        "Listener",
        "protocolStack",
        "Of TLS, HTTP and TCP; another refuses the Listener.",
    ),
    (
        "Listener",
        "securityModel",
        "`SECURE` never serves cleartext.",
    ),
    (
        "Listener",
        "l7Depth",
        "`X-Forwarded-*` counts when it comes from `trustedProxies`, private networks unless told.",
    ),
    (
        "Listener",
        "hostBinding.namespace.from",
        "`SELECTOR` refuses the Listener.",
    ),
    ("TLSContext", "sni", "It is the name that is verified, too."),
    (
        "KubernetesServiceResolver",
        "ambassadorId",
        "The object is named in its findings and not needed: Services are routed to by default.",
    ),
    (
        "KubernetesEndpointResolver",
        "ambassadorId",
        "The object is named in its findings and not needed for its built-in names.",
    ),
    (
        "ConsulResolver",
        "ambassadorId",
        "The object is named in its findings, and Mappings that name it are refused.",
    ),
    (
        "TCPMapping",
        "host",
        "It needs TLS on the Listener; a Host or TLSContext of another namespace counts only if that settles things for everybody. `client_tls: Passthrough` leaves TLS to the upstream.",
    ),
    (
        "Host",
        "tlsContext",
        "One of its own namespace or of one that settles things for everybody; an unknown one refuses the Host.",
    ),
    (
        "Host",
        "tls.alpnProtocols",
        "Of `h2` and `http/1.1`; without it both are offered.",
    ),
    (
        "Host",
        "tls.caSecret",
        "Without `tlsSecret` the Host is refused; a client is asked again where another Host asks otherwise (421).",
    ),
    (
        "Host",
        "tls.certRequired",
        "Without `ca_secret` the Host is refused.",
    ),
    (
        "Host",
        "tls.crlSecret",
        "A list that is out of date refuses those whom it covers; a new one counts for connections that are open, too.",
    ),
    (
        "Host",
        "tls.cipherSuites",
        "By names of OpenSSL and IANA; what is not safe is left out and named, and refuses the Host where nothing else is left.",
    ),
    (
        "Host",
        "tls.ecdhCurves",
        "`X25519`, `P-256`, `P-384` and two hybrids; another is left out and named, and refuses the Host where nothing else is left.",
    ),
    (
        "Host",
        "tls.maxTlsVersion",
        "Below `v1.2` it refuses the Host.",
    ),
    (
        "Host",
        "tls.minTlsVersion",
        "Nothing before TLS 1.2 is spoken.",
    ),
    ("Host", "tls.secret", "It must be that of `tlsSecret`."),
    (
        "TLSContext",
        "alpnProtocols",
        "Of `h2` and `http/1.1`, for clients; without it both are offered. Upstreams are offered what the Mapping speaks.",
    ),
    (
        "TLSContext",
        "caSecret",
        "Of upstreams, the name is verified, too; for them `ca.crt` comes before `tls.crt`.",
    ),
    (
        "TLSContext",
        "certRequired",
        "Without `ca_secret` it refuses the Host that names the TLSContext.",
    ),
    (
        "TLSContext",
        "cipherSuites",
        "By names of OpenSSL and IANA; what is not safe is left out and named, and refuses the TLSContext where nothing else is left.",
    ),
    (
        "TLSContext",
        "crlSecret",
        "A list that is out of date refuses those whom it covers; a new one counts for connections that are open, too.",
    ),
    (
        "TLSContext",
        "ecdhCurves",
        "`X25519`, `P-256`, `P-384` and two hybrids; another is left out and named, and refuses the TLSContext where nothing else is left.",
    ),
    (
        "TLSContext",
        "maxTlsVersion",
        "Below `v1.2` it refuses the TLSContext.",
    ),
    (
        "TLSContext",
        "minTlsVersion",
        "Nothing before TLS 1.2 is spoken.",
    ),
    (
        "TLSContext",
        "hosts",
        "TCPMappings of its own namespace, or of all where its namespace settles things for everybody.",
    ),
    (
        "TLSContext",
        "secret",
        "A Secret of another namespace needs a ReferenceGrant.",
    ),
];

/// Kind, field in camelCase, and why it makes no difference.
pub(super) const NO_EFFECT: &[(&str, &str, &str)] = &[
    (
        "Mapping",
        "bypassErrorResponseOverrides",
        "Nor has it there.",
    ),
    ("Mapping", "docs", "There is no developer portal."),
    (
        "Mapping",
        "enableIpv6",
        "What the Service or the DNS answer has is dialled.",
    ),
    ("Mapping", "envoyOverride", "Nor has it there."),
    ("Mapping", "modules", "Nor has it there."),
    ("Mapping", "respectDnsTtl", "The TTL is always kept to."),
    ("Mapping", "statsName", "Metrics are named by the object."),
    (
        "TCPMapping",
        "enableIpv6",
        "What the Service or the DNS answer has is dialled.",
    ),
    ("TCPMapping", "statsName", "Nor has it there."),
    (
        "Host",
        "acmeProvider.authority",
        "Certificates come from `tlsSecret`.",
    ),
    (
        "Host",
        "acmeProvider.email",
        "Certificates come from `tlsSecret`.",
    ),
    (
        "Host",
        "acmeProvider.privateKeySecret",
        "Certificates come from `tlsSecret`.",
    ),
    (
        "Host",
        "acmeProvider.registration",
        "Certificates come from `tlsSecret`.",
    ),
    ("Host", "previewUrl", "Nor has it there."),
    (
        "Host",
        "requestPolicy.insecure.additionalPort",
        "Nor has it there: a Listener opens a port.",
    ),
    ("Host", "tls.ambassadorId", "The Host has ids of its own."),
    ("Host", "tls.hosts", "The Host has a hostname."),
    ("Host", "tls.insecureSkipVerify", "It is for upstreams."),
    ("Host", "tls.sni", "It is for upstreams."),
    (
        "Listener",
        "statsPrefix",
        "Metrics are named by the Listener.",
    ),
    (
        "Host",
        "tls.redirectCleartextFrom",
        "A Host redirects, see `requestPolicy.insecure.action`.",
    ),
    (
        "TLSContext",
        "redirectCleartextFrom",
        "A Host redirects, see `requestPolicy.insecure.action`.",
    ),
];

/// Kind, field in camelCase, and what there is instead.
pub(super) const INSTEAD: &[(&str, &str, &str)] = &[
    (
        "Mapping",
        "clusterTag",
        "Pools are told apart by all that a connection depends on: remove it.",
    ),
    (
        "Mapping",
        "dnsType",
        "`strict_dns` asks for nothing: all addresses of an answer are used.",
    ),
    (
        "Mapping",
        "enableIpv4",
        "`true` asks for nothing: what the Service or the DNS answer has is dialled.",
    ),
    (
        "Mapping",
        "authContextExtensions",
        "Asking for authentication fails closed until AuthService is there.",
    ),
    (
        "Mapping",
        "bypassAuth",
        "`emissary.ignore` of the GatewaySettings lets traffic go without an AuthService.",
    ),
    (
        "Mapping",
        "errorResponseOverrides",
        "Removed there, too, and it drops the Mapping.",
    ),
    (
        "Mapping",
        "labels",
        "Asking for rate limits fails closed until RateLimitService is there.",
    ),
    ("Mapping", "shadow", "Keep the object on Emissary-ingress."),
    (
        "TCPMapping",
        "address",
        "`0.0.0.0` and `::` ask for nothing: Listeners are on every address, unless `--bind` says otherwise.",
    ),
    (
        "TCPMapping",
        "clusterTag",
        "Connections are opened one for each of a client: remove it.",
    ),
    (
        "TCPMapping",
        "enableIpv4",
        "`true` asks for nothing: what the Service or the DNS answer has is dialled.",
    ),
    (
        "Host",
        "tls.certChainFile",
        "Put the certificate into the Secret of `tlsSecret`.",
    ),
    (
        "Host",
        "tls.privateKeyFile",
        "Put the key into the Secret of `tlsSecret`.",
    ),
    (
        "TLSContext",
        "cacertChainFile",
        "Put the authorities into the Secret of `ca_secret`.",
    ),
    (
        "TLSContext",
        "certChainFile",
        "Put the certificate into the Secret of `secret`.",
    ),
    (
        "TLSContext",
        "privateKeyFile",
        "Put the key into the Secret of `secret`.",
    ),
    (
        "ConsulResolver",
        "address",
        "Give what Consul knows a Service with EndpointSlices.",
    ),
    (
        "ConsulResolver",
        "datacenter",
        "Give what Consul knows a Service with EndpointSlices.",
    ),
    (
        "Host",
        "tls.cacertChainFile",
        "Put the authorities into the Secret of `ca_secret`.",
    ),
];

/// Keys of the Module that work in another way.
pub(super) const MODULE: &[(&str, &str)] = &[
    (
        "cluster_request_timeout_ms",
        "Until the response begins; `timeout_ms` of a Mapping bounds all of it.",
    ),
    (
        "diagnostics",
        "Only when this replica takes Emissary's place: `diag/?json=true` on the health port, 404 with `enabled: false` unless `allow_non_local` is true.",
    ),
    (
        "buffer",
        "A worker holds back 64 MiB at most, and answers 503 beyond; calls of gRPC are not held back.",
    ),
    (
        "enable_grpc_web",
        "`false` turns it off, and only Mappings with `grpc: true` have it.",
    ),
    (
        "gzip",
        "An ETag becomes weak, and `enabled: false` turns it off; `memory_level`, `window_bits` and `compression_strategy` change nothing.",
    ),
    (
        "headers_with_underscores_action",
        "`ALLOW` and `REJECT_REQUEST`; without it they are rejected, with the preset let through.",
    ),
    (
        "liveness_probe",
        "`check_alive` on the Listeners when `enabled` is true, or this replica takes Emissary's place.",
    ),
    ("max_request_headers_kb", "32 at most, whatever it says."),
    (
        "merge_slashes",
        "Without it they are merged, with the preset kept.",
    ),
    (
        "readiness_probe",
        "`check_ready` on the Listeners when `enabled` is true, or this replica takes Emissary's place; 503 while draining.",
    ),
    (
        "reject_requests_with_escaped_slashes",
        "Without it they are rejected, with the preset let through.",
    ),
    (
        "server_name",
        "Without it the upstream's own, or `envoy` with `envoyHeaders`.",
    ),
    (
        "suppress_envoy_headers",
        "They are written only with `envoyHeaders`.",
    ),
];

pub(super) const KINDS: &str = "
## Other kinds

| | | |
|---|---|---|
| `AuthService` | refused | Every Mapping answers 503, unless `emissary.ignore` of the GatewaySettings names it. |
| `RateLimitService` | refused | Every Mapping answers 503, unless `emissary.ignore` of the GatewaySettings names it. |
| `LogService` | refused | Traffic is served without it, and the object says so. |
| `TracingService` | refused | Traffic is served without it, and the object says so. |
| `DevPortal` | no effect | Nor has it there. |
";

pub(super) const PATHS: &str = "
## Ports and paths

| | | |
|---|---|---|
| 8080, 8443 | works | Listeners; without any, both are open. |
| 8877 `/ambassador/v0/check_alive`, `check_ready` | works | 200 or 503. |
| 8877 `/metrics` | differs | The families of [the reference](metrics.md), not Envoy's. |
| 8877 `/ambassador/v0/diag/?json=true` | differs | With `--compat emissary`: `system`, `envoy_status`, `errors`, `notices` and `route_info`, each also with `filter=`. No page. |
| the probes on the Listeners | works | With `--compat emissary`, or where the Module asks for them. |
| 8001, 8003, 8004, 8005, 8006, 9696 | no effect | There is no Envoy; nothing is open there. |
";
