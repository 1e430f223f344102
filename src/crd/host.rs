//! The Host: what the platform team writes for each name, or a team for its own.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    rule::Rule,
    schema::{Spec, made_once},
    tls_context::TlsContextSpec,
};

/// A hostname, its certificate, and what happens to cleartext requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostSpec {
    /// The names that this Host is for: `example.com`, `*.example.com` for everything below it, or `*` for every name that
    /// no other Host has. Default: `*`.
    #[schemars(length(max = 262))]
    pub hostname: Option<String>,
    /// The Secret with the certificate (`tls.crt`) and its key (`tls.key`). Without it there is no TLS for these names. With an
    /// authority beside them (`root-cert.pem`, as Istio writes it), clients are asked for a certificate of that.
    /// Default: none.
    pub tls_secret: Option<SecretReference>,
    /// What happens to requests without TLS. Default: they are redirected.
    pub request_policy: Option<RequestPolicy>,
    /// The labels that Mappings must have to be served here. With a `hostname`, Mappings must fit both. Default: every Mapping
    /// whose hostname fits.
    pub mapping_selector: Option<LabelSelector>,
    /// The older name of `mappingSelector`, used when that is absent. Default: none.
    pub selector: Option<LabelSelector>,
    /// A TLSContext with further TLS settings, of this namespace or of one that settles things for everybody,
    /// and not `tls` beside it. Default: the TLSContext NAME`-context` of this namespace, if there is one.
    pub tls_context: Option<NameReference>,
    /// Further TLS settings: versions, cipher suites, protocols, and what is asked of the certificates of clients. Default: none.
    pub tls: Option<TlsContextSpec>,
    /// Where certificates come from. Postern takes them from `tlsSecret` only. Default: none.
    pub acme_provider: Option<AcmeProvider>,
    /// Settings of a preview service. Default: none.
    pub preview_url: Option<Value>,
    /// The installations that serve this object, by their id. Default: `[default]`.
    #[schemars(length(max = 16), inner(length(max = 63)))]
    pub ambassador_id: Option<Vec<String>>,
}

/// Names a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretReference {
    /// Its name. Required.
    #[schemars(length(max = 253))]
    pub name: Option<String>,
    /// Its namespace; another than the Host's needs a ReferenceGrant there. Default: the Host's.
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
}

/// Names an object of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NameReference {
    /// Its name. Required.
    #[schemars(length(max = 253))]
    pub name: Option<String>,
}

/// What happens to requests by how they arrive.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RequestPolicy {
    /// Requests without TLS. Default: they are redirected.
    pub insecure: Option<InsecurePolicy>,
}

/// What happens to requests without TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct InsecurePolicy {
    /// The answer to them. Default: `Redirect`.
    pub action: Option<InsecureAction>,
    /// A further port for cleartext requests. A Listener opens a port; Emissary-ingress ignores this field, too. Default: none.
    #[schemars(range(min = -1, max = 65535))]
    pub additional_port: Option<i32>,
}

/// The answer to requests without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum InsecureAction {
    /// A redirect to the same URL with https.
    Redirect,
    /// They are served like the others.
    Route,
    /// They are refused.
    Reject,
}

/// Labels that an object must have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels with their values; all must be there. Default: none, which every object fits.
    #[schemars(extend("maxProperties" = 32))]
    pub match_labels: Option<BTreeMap<String, String>>,
}

/// Where certificates come from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AcmeProvider {
    /// The server that issues them; `none` for no such server. Default: none.
    pub authority: Option<String>,
    /// Who is written to. Default: none.
    pub email: Option<String>,
    /// The Secret with the key of the account. Default: none.
    pub private_key_secret: Option<SecretReference>,
    /// The registration of the account. Default: none.
    #[schemars(length(max = 8192))]
    pub registration: Option<String>,
}

impl Spec for HostSpec {
    const REQUIRED: &'static [&'static str] = &["tlsSecret.name", "tlsContext.name"];
    const NOT_IMPLEMENTED: &'static [&'static str] = &[
        "tls.cacertChainFile",
        "tls.certChainFile",
        "tls.privateKeyFile",
    ];
    const NO_EFFECT: &'static [&'static str] = &[
        "acmeProvider.authority",
        "acmeProvider.email",
        "acmeProvider.privateKeySecret",
        "acmeProvider.registration",
        "previewUrl",
        "requestPolicy.insecure.additionalPort",
        "tls.ambassadorId",
        "tls.hosts",
        "tls.insecureSkipVerify",
        "tls.redirectCleartextFrom",
        "tls.sni",
    ];
    const OFF: &'static [(&'static str, &'static str)] = &[
        ("acmeProvider.authority", "none"),
        ("requestPolicy.insecure.additionalPort", "-1"),
    ];
    const RULES: &'static [Rule<Self>] = super::rule::HOST;

    made_once!(HostSpec);
}
