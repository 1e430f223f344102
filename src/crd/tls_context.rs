//! The TLSContext: TLS with upstreams and with clients, and the shape of `Host.tls`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{Spec, made_once};

/// TLS settings that a Mapping names to speak TLS to its upstream, or a Host to speak it with its clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsContextSpec {
    /// Names of TCPMappings (`host`) that the certificate in `secret` is shown for where no Host has one. A Host that names this
    /// TLSContext should have its hostname here, if there is any. Default: none.
    #[schemars(inner(length(max = 262)))]
    pub hosts: Option<Vec<String>>,
    /// The Secret with the certificate and its key: shown to upstreams that ask for one, and to the clients of a TCPMapping that is
    /// in `hosts`. Beside a Host's `tlsSecret` it must be the same. A response in `tls.ocsp-staple` is sent along. Default: none.
    #[schemars(length(max = 317))]
    pub secret: Option<String>,
    /// The Secret with the authorities that are trusted. Of upstreams: `ca.crt`, or else `tls.crt`; by default those of the system.
    /// Of the clients of a Host: `tls.crt`, or else `ca.crt`; then clients are asked for a certificate, and one that they show
    /// must be of these authorities. Default: clients are not asked.
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
    /// Whether clients must show a certificate of the `caSecret`. An entry `cert_required` in that Secret says so, too. Default: false.
    pub cert_required: Option<bool>,
    /// The Secret whose `crl.pem` holds the lists of revoked certificates, one for each authority. What no list covers, or one that
    /// is out of date, is refused. Default: none.
    #[schemars(length(max = 317))]
    pub crl_secret: Option<String>,
    /// Protocols that clients are offered, `h2` and `http/1.1`. Upstreams are offered what the Mapping speaks. Default: `h2,http/1.1`.
    #[schemars(length(max = 253))]
    pub alpn_protocols: Option<String>,
    /// The oldest version of TLS, from `v1.0` to `v1.3`. Nothing before TLS 1.2 is spoken. Default: `v1.2`.
    pub min_tls_version: Option<TlsVersion>,
    /// The newest version of TLS, from `v1.0` to `v1.3`. Default: `v1.3`.
    pub max_tls_version: Option<TlsVersion>,
    /// Cipher suites for TLS 1.2, by OpenSSL's names (`ECDHE-RSA-AES128-GCM-SHA256`) or those of IANA: of ECDHE with AES-GCM or
    /// ChaCha20. Those of TLS 1.3 cannot be chosen among. Default: all of these.
    #[schemars(inner(length(max = 64)))]
    pub cipher_suites: Option<Vec<String>>,
    /// Groups for the key exchange: `X25519`, `P-256`, `P-384`, `X25519MLKEM768`, `SecP256r1MLKEM768`. Default: those that are safe.
    #[schemars(inner(length(max = 64)))]
    pub ecdh_curves: Option<Vec<String>>,
    /// Whether `name.namespace` in `secret`, `caSecret` and `crlSecret` names a Secret of another namespace; without it a dot is a
    /// part of the name. Default: true.
    pub secret_namespacing: Option<bool>,
    /// A port whose cleartext requests are redirected. Hosts redirect, see `requestPolicy`. Default: none.
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
    const NOT_IMPLEMENTED: &'static [&'static str] =
        &["cacertChainFile", "certChainFile", "privateKeyFile"];
    const NO_EFFECT: &'static [&'static str] = &["redirectCleartextFrom"];

    made_once!(TlsContextSpec);
}
