//! The GatewaySettings: what the platform team decides for one installation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{Spec, made_once};

/// Settings of one installation, read from Postern's own namespace only. A field that cannot be read takes its strictest
/// value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewaySettingsSpec {
    /// Settings that a running installation of another gateway counts on, wherever this object says nothing else. Default: `none`.
    pub preset: Option<Preset>,
    /// Whether names without a Host are served. Default: `Always`.
    pub default_host: Option<DefaultHost>,
    /// Who may route which hostname and path.
    pub ownership: Option<Ownership>,
    /// What objects may refer to.
    pub references: Option<References>,
    /// Namespaces, beside Postern's own, whose Listeners and other objects for the whole installation are read. With `preset:
    /// emissary`, and as long as there is no RouteClaim, all are. Default: none.
    #[schemars(inner(length(max = 63)))]
    pub instance_namespaces: Option<Vec<String>>,
    /// How Services become addresses for Mappings that do not say `resolver`. Default: `kubernetes-service`.
    pub resolver: Option<ServiceResolver>,
    /// Dealing with objects of Emissary-ingress.
    pub emissary: Option<EmissarySettings>,
    /// Headers of requests.
    pub headers: Option<HeaderPolicy>,
    /// Paths of requests.
    pub paths: Option<PathPolicy>,
    /// Which requests without TLS the Hosts with `Redirect` redirect. Default: `EveryPath`.
    pub insecure_redirect: Option<InsecureRedirect>,
    /// TLS to upstreams.
    pub upstream_tls: Option<UpstreamTlsPolicy>,
    /// Whether `x-envoy-original-path`, `x-envoy-expected-rq-timeout-ms` and `x-envoy-upstream-service-time` are written, and
    /// responses come from the server `envoy`. Default: false.
    pub envoy_headers: Option<bool>,
    /// From which addresses requests are taken; those of others are answered with 403. What cannot be read closes everything:
    /// 503. Default: from all.
    pub access: Option<AccessPolicy>,
    /// Compression of responses. Default: none.
    pub compression: Option<CompressionPolicy>,
    /// Whether web pages may speak gRPC-Web to Mappings with `grpc: true`. Default: false.
    pub grpc_web: Option<bool>,
    /// The installations that these settings are for, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

/// From which addresses requests are taken: one list of the two.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessPolicy {
    /// These, and no others. Default: all.
    #[schemars(length(max = 1000))]
    pub allow: Option<Vec<AddressEntry>>,
    /// All but these. Default: none.
    #[schemars(length(max = 1000))]
    pub deny: Option<Vec<AddressEntry>>,
}

/// Addresses, as one of the two sees them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AddressEntry {
    /// An address or a network (`10.0.0.0/8`) from which the connection comes. Default: none.
    #[schemars(length(max = 64))]
    pub peer: Option<String>,
    /// An address or a network of the client, as trusted proxies name it. Default: none.
    #[schemars(length(max = 64))]
    pub remote: Option<String>,
}

/// Whether names without a Host are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DefaultHost {
    /// A Host for `*` is there as long as nobody has made one.
    Always,
    /// A Host for `*` is there as long as there is no other Host at all.
    Auto,
    /// Names without a Host are answered with 404.
    Never,
}

/// Who may route which hostname and path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Ownership {
    /// What holds where no claim says anything. Default: `FirstCome`.
    pub unclaimed: Option<Unclaimed>,
}

/// Who may route what nobody has claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Unclaimed {
    /// A hostname and path belong to the namespace whose object for them is the oldest.
    FirstCome,
    /// Nobody.
    Deny,
    /// Everybody; equal matches of different namespaces share the requests.
    Shared,
}

/// What objects may refer to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct References {
    /// Services of other namespaces. Default: `RequireGrant`.
    pub services: Option<ReferencePolicy>,
    /// Names outside of the cluster. Default: all of them.
    pub external: Option<ExternalReferences>,
}

/// Whether Services of other namespaces may be referred to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReferencePolicy {
    /// Always.
    Allow,
    /// Where a ReferenceGrant in the other namespace says so.
    RequireGrant,
}

/// Which names outside of the cluster may be dialled.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ExternalReferences {
    /// All names or none. With `suffixes`, only those. Default: `Allow`.
    pub policy: Option<ExternalPolicy>,
    /// Domains that may be dialled with everything below them: `example.org`. Default: none.
    #[schemars(inner(length(max = 253)))]
    pub suffixes: Option<Vec<String>>,
}

/// Whether names outside of the cluster may be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ExternalPolicy {
    /// All of them.
    Allow,
    /// Only those with one of the `suffixes`.
    Deny,
}

/// How a Service becomes addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceResolver {
    /// Its ClusterIP, behind which the cluster or a mesh chooses a pod.
    KubernetesService,
    /// The addresses of its ready endpoints, among which Postern chooses.
    Endpoint,
}

/// Dealing with objects of Emissary-ingress.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct EmissarySettings {
    /// Kinds (`AuthService`) and settings of the Module (`lua_scripts`) that protect and are not implemented, and that traffic
    /// may go without. Default: none, and Mappings answer 503 while there is one.
    #[schemars(inner(length(max = 253)))]
    pub ignore: Option<Vec<String>>,
}

/// Headers of requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HeaderPolicy {
    /// What becomes of a request with `_` in the name of a header. Default: `Reject`.
    pub underscores: Option<Underscores>,
}

/// What becomes of a request with `_` in the name of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Underscores {
    /// It is let through. Servers that read `_` as `-` can then be deceived.
    Allow,
    /// It is answered with 400.
    Reject,
}

/// Paths of requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PathPolicy {
    /// Whether `//` becomes `/`. Default: true.
    pub merge_slashes: Option<bool>,
    /// Whether `%2F` is let through for every Mapping. Default: false.
    pub allow_escaped_slashes: Option<bool>,
}

/// Settings that a running installation of another gateway counts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// No such settings, whatever the environment of the process asks for.
    None,
    /// Those of Emissary-ingress, as far as they protect less.
    Emissary,
}

/// Which requests without TLS are redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InsecureRedirect {
    /// All of them, but those below `/.well-known/acme-challenge/`.
    EveryPath,
    /// Those that some Mapping matches. Others are answered with 404.
    MatchedPaths,
}

/// TLS to upstreams.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct UpstreamTlsPolicy {
    /// Whose certificates are verified. Default: `Always`.
    pub verification: Option<Verification>,
}

/// Whose certificates are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verification {
    /// Those of every upstream, unless a TLSContext says otherwise.
    Always,
    /// Those of upstreams whose TLSContext names the authority in `caSecret`. Whoever can stand between reads and changes all
    /// the rest.
    WithAuthority,
}

/// Compression of responses. A response is compressed for clients that take it, unless it is encoded already or says
/// `no-transform`. Streams of gRPC and of events (`text/event-stream`) never are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CompressionPolicy {
    /// Which codings there are, the most wanted first: the client decides, and where it has no preference, this order.
    /// Default: `[Zstd, Brotli, Gzip]`.
    #[schemars(length(max = 3))]
    pub codings: Option<Vec<Coding>>,
    /// How much work is put into it. Default: `Balanced`.
    pub effort: Option<Effort>,
    /// Bytes. Shorter responses stay as they are; those that do not say their length are compressed. Default: 1024.
    #[schemars(range(min = 0))]
    pub min_length_bytes: Option<u64>,
    /// Media types that are compressed, without parameters. Default: those of text, scripts, JSON, XML and SVG.
    #[schemars(length(max = 64), inner(length(max = 127)))]
    pub content_types: Option<Vec<String>>,
}

/// A way to compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Coding {
    /// `gzip`, which every client knows.
    Gzip,
    /// `br`: smaller, and more work.
    Brotli,
    /// `zstd`: smaller, and less work; browsers of 2024 and later know it.
    Zstd,
}

/// How much work is put into compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Effort {
    /// As little as possible.
    Fast,
    /// What pays in most cases.
    Balanced,
    /// Several times as much, for the last tenth.
    Small,
}

impl Spec for GatewaySettingsSpec {
    const REQUIRED: &'static [&'static str] = &[];

    made_once!(GatewaySettingsSpec);
}

impl ServiceResolver {
    /// As a Mapping names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::KubernetesService => "kubernetes-service",
            Self::Endpoint => "endpoint",
        }
    }
}
