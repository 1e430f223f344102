//! The TLSContext of Emissary-ingress: read for TLS to upstreams, and the shape of `Host.tls`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{Spec, made_once};

/// TLS settings that a Mapping names to speak TLS to its upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsContextSpec {
    /// Names that Emissary-ingress shows the certificate for. Postern shows that of a Host's `tlsSecret`. Default: none.
    #[schemars(inner(length(max = 262)))]
    pub hosts: Option<Vec<String>>,
    /// The Secret with the certificate and its key. Default: none.
    #[schemars(length(max = 317))]
    pub secret: Option<String>,
    /// The Secret whose `tls.crt` holds the authorities that are trusted. Default: those of the system.
    #[schemars(length(max = 317))]
    pub ca_secret: Option<String>,
    /// The name that is asked for and verified. Default: that of the upstream.
    #[schemars(length(max = 253))]
    pub sni: Option<String>,
    /// Whether the certificate of the upstream is not verified. Default: false.
    pub insecure_skip_verify: Option<bool>,
    /// A file with the certificate. Default: none.
    pub cert_chain_file: Option<String>,
    /// A file with the key. Default: none.
    pub private_key_file: Option<String>,
    /// A file with the authorities that are trusted. Default: none.
    pub cacert_chain_file: Option<String>,
    /// Whether clients must show a certificate. Default: false.
    pub cert_required: Option<bool>,
    /// The Secret with a list of revoked certificates. Default: none.
    #[schemars(length(max = 317))]
    pub crl_secret: Option<String>,
    /// Protocols that are offered, as `h2,http/1.1`. Postern offers what it speaks. Default: none.
    #[schemars(length(max = 253))]
    pub alpn_protocols: Option<String>,
    /// The oldest version of TLS, from `v1.0` to `v1.3`. Default: `v1.2`.
    pub min_tls_version: Option<TlsVersion>,
    /// The newest version of TLS, from `v1.0` to `v1.3`. Default: `v1.3`.
    pub max_tls_version: Option<TlsVersion>,
    /// Cipher suites for TLS up to 1.2. Default: those that are safe.
    #[schemars(inner(length(max = 64)))]
    pub cipher_suites: Option<Vec<String>>,
    /// Groups for the key exchange. Default: those that are safe.
    #[schemars(inner(length(max = 64)))]
    pub ecdh_curves: Option<Vec<String>>,
    /// Whether `name.namespace` in `secret` names a Secret of another namespace. Default: true.
    pub secret_namespacing: Option<bool>,
    /// A port whose cleartext requests are redirected. Default: none.
    #[schemars(range(min = 1, max = 65535))]
    pub redirect_cleartext_from: Option<i32>,
    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    #[serde(rename = "v1.0")]
    V1_0,
    #[serde(rename = "v1.1")]
    V1_1,
    #[serde(rename = "v1.2")]
    V1_2,
    #[serde(rename = "v1.3")]
    V1_3,
}

impl Spec for TlsContextSpec {
    const REQUIRED: &'static [&'static str] = &[];
    const NOT_IMPLEMENTED: &'static [&'static str] = &[
        "cacertChainFile",
        "certChainFile",
        "certRequired",
        "cipherSuites",
        "crlSecret",
        "ecdhCurves",
        "maxTlsVersion",
        "minTlsVersion",
        "privateKeyFile",
        "redirectCleartextFrom",
        "secretNamespacing",
    ];
    const NO_EFFECT: &'static [&'static str] = &["alpnProtocols", "hosts"];
    const OFF: &'static [(&'static str, &'static str)] = &[
        ("maxTlsVersion", "v1.3"),
        ("minTlsVersion", "v1.0"),
        ("minTlsVersion", "v1.1"),
        ("minTlsVersion", "v1.2"),
        ("secretNamespacing", "true"),
    ];

    made_once!(TlsContextSpec);
}
