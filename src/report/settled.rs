//! The fields by which objects settle how requests are handled: what `why` names beside each policy.

use std::{collections::BTreeSet, sync::Arc};

macro_rules! fields {
    ($($name:ident = $path:literal,)*) => {
        /// A field that settles something about requests.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Field {
            $(#[doc = concat!("`", $path, "`")] $name,)*
        }

        /// Every field with its path in camelCase, in the order of the variants.
        pub const FIELDS: &[(Field, &str)] = &[$((Field::$name, $path),)*];
    };
}

fields! {
    // Of a Mapping.
    Weight = "spec.weight",
    Service = "spec.service",
    Tls = "spec.tls",
    Grpc = "spec.grpc",
    Rewrite = "spec.rewrite",
    RegexRewrite = "spec.regexRewrite",
    HostRewrite = "spec.hostRewrite",
    AutoHostRewrite = "spec.autoHostRewrite",
    Timeout = "spec.timeoutMs",
    IdleTimeout = "spec.idleTimeoutMs",
    ConnectTimeout = "spec.connectTimeoutMs",
    MaxRequestBody = "spec.maxRequestBodyBytes",
    AllowUpgrade = "spec.allowUpgrade",
    UseWebsocket = "spec.useWebsocket",
    AddRequestHeaders = "spec.addRequestHeaders",
    RemoveRequestHeaders = "spec.removeRequestHeaders",
    AddLinkerdHeaders = "spec.addLinkerdHeaders",
    AddResponseHeaders = "spec.addResponseHeaders",
    RemoveResponseHeaders = "spec.removeResponseHeaders",
    AllowEscapedSlashes = "spec.allowEscapedSlashes",
    Cors = "spec.cors",
    RetryPolicy = "spec.retryPolicy",
    Priority = "spec.priority",
    LoadBalancer = "spec.loadBalancer",
    CircuitBreakers = "spec.circuitBreakers",
    HealthChecks = "spec.healthChecks",
    OutlierDetection = "spec.outlierDetection",
    Keepalive = "spec.keepalive",
    ConnectionIdle = "spec.clusterIdleTimeoutMs",
    ConnectionLifetime = "spec.clusterMaxConnectionLifetimeMs",
    HostRedirect = "spec.hostRedirect",
    PathRedirect = "spec.pathRedirect",
    PrefixRedirect = "spec.prefixRedirect",
    RegexRedirect = "spec.regexRedirect",
    RedirectResponseCode = "spec.redirectResponseCode",
    Resolver = "spec.resolver",
    Shadow = "spec.shadow",
    // Of a Host.
    InsecureAction = "spec.requestPolicy.insecure.action",
    TlsSecret = "spec.tlsSecret",
    HostContext = "spec.tlsContext",
    // Of a TLSContext.
    Sni = "spec.sni",
    CaSecret = "spec.caSecret",
    ClientSecret = "spec.secret",
    InsecureSkipVerify = "spec.insecureSkipVerify",
    MinTlsVersion = "spec.minTlsVersion",
    MaxTlsVersion = "spec.maxTlsVersion",
    CipherSuites = "spec.cipherSuites",
    EcdhCurves = "spec.ecdhCurves",
    CrlSecret = "spec.crlSecret",
    // Of the GatewaySettings.
    DefaultHost = "spec.defaultHost",
    Underscores = "spec.headers.underscores",
    MergeSlashes = "spec.paths.mergeSlashes",
    EscapedSlashes = "spec.paths.allowEscapedSlashes",
    InsecureRedirect = "spec.insecureRedirect",
    Verification = "spec.upstreamTls.verification",
    EnvoyHeaders = "spec.envoyHeaders",
    Preset = "spec.preset",
    Compression = "spec.compression",
    GrpcWeb = "spec.grpcWeb",
    // Of Emissary's Module.
    ModuleTimeout = "spec.config.clusterRequestTimeoutMs",
    ModuleUnderscores = "spec.config.headersWithUnderscoresAction",
    ModuleMergeSlashes = "spec.config.mergeSlashes",
    ModuleEscapedSlashes = "spec.config.rejectRequestsWithEscapedSlashes",
    ModuleCircuitBreakers = "spec.config.circuitBreakers",
    ModuleCors = "spec.config.cors",
    ModuleIdleTimeout = "spec.config.clusterIdleTimeoutMs",
    ModuleKeepalive = "spec.config.keepalive",
    ModuleLifetime = "spec.config.clusterMaxConnectionLifetimeMs",
    ModuleLoadBalancer = "spec.config.loadBalancer",
    ModuleResolver = "spec.config.resolver",
    ModuleRetryPolicy = "spec.config.retryPolicy",
    ModuleDiagnostics = "spec.config.diagnostics",
    ModuleLivenessProbe = "spec.config.livenessProbe",
    ModuleReadinessProbe = "spec.config.readinessProbe",
    ModuleForwardedCert = "spec.config.forwardClientCertDetails",
    ModuleCertDetails = "spec.config.setCurrentClientCertDetails",
    ModuleIpAllow = "spec.config.ipAllow",
    ModuleIpDeny = "spec.config.ipDeny",
    AccessAllow = "spec.access.allow",
    AccessDeny = "spec.access.deny",
    ModuleBuffer = "spec.config.buffer",
    ModuleLinkerd = "spec.config.addLinkerdHeaders",
    ModuleMaxHead = "spec.config.maxRequestHeadersKb",
    ModuleGzip = "spec.config.gzip",
    ModuleGrpcWeb = "spec.config.enableGrpcWeb",
    ModuleHttp10 = "spec.config.enableHttp10",
    ModuleProperCase = "spec.config.properCase",
    ModuleRequestId = "spec.config.preserveExternalRequestId",
    ModuleStripPort = "spec.config.stripMatchingHostPort",
    ModuleServerName = "spec.config.serverName",
    ModuleSuppressEnvoyHeaders = "spec.config.suppressEnvoyHeaders",
}

/// What an object settles for requests, and by which fields. Most objects settle nothing, and have no more than a pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled(Option<Arc<Said>>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    fields: u128,
    /// Those of `fields` that the object writes in `snake_case`.
    snake: u128,
    context: Option<Arc<str>>,
    secret: Option<Arc<str>>,
    owners: Option<BTreeSet<Arc<str>>>,
}

impl Field {
    /// In camelCase.
    pub fn path(self) -> &'static str {
        FIELDS[self as usize].1
    }

    fn bit(self) -> u128 {
        1 << (self as u128)
    }
}

impl Settled {
    /// What a claim settles: whose it is what it claims.
    pub fn of_owners(owners: BTreeSet<Arc<str>>) -> Self {
        Self(Some(Arc::new(Said {
            owners: Some(owners),
            ..Said::default()
        })))
    }

    /// Adds a field; `snake` says that the object writes it in `snake_case`.
    pub fn add(&mut self, field: Field, snake: bool) {
        let said = self.said_mut();
        said.fields |= field.bit();
        if snake {
            said.snake |= field.bit();
        }
    }

    /// Adds the TLSContext that the `tls` of a Mapping names.
    pub fn add_context(&mut self, name: &str) {
        self.said_mut().context = Some(name.into());
    }

    /// Adds the Secret that a Host has its certificate from, as `namespace/name`.
    pub fn add_secret(&mut self, name: &str) {
        self.said_mut().secret = Some(name.into());
    }

    fn said_mut(&mut self) -> &mut Said {
        Arc::make_mut(self.0.get_or_insert_default())
    }

    /// The TLSContext that the `tls` of a Mapping names.
    pub fn context(&self) -> Option<&str> {
        self.0.as_ref()?.context.as_deref()
    }

    /// The Secret that a Host has its certificate from, as `namespace/name`.
    pub fn secret(&self) -> Option<&str> {
        self.0.as_ref()?.secret.as_deref()
    }

    /// The namespaces that a claim names, or selects.
    pub fn owners(&self) -> Option<&BTreeSet<Arc<str>>> {
        self.0.as_ref()?.owners.as_ref()
    }

    /// The paths of the fields, as the object writes them.
    pub fn paths(&self) -> impl Iterator<Item = String> {
        let (fields, snake) = match &self.0 {
            Some(said) => (said.fields, said.snake),
            None => (0, 0),
        };
        let all = FIELDS
            .iter()
            .filter(move |(field, _)| fields & field.bit() != 0);
        all.map(move |(field, path)| {
            if snake & field.bit() != 0 {
                snake_case(path)
            } else {
                (*path).to_owned()
            }
        })
    }
}

/// Whether two paths name the same field, in whichever spelling.
pub fn is_same(a: &str, b: &str) -> bool {
    fn letters(path: &str) -> impl Iterator<Item = char> {
        let letters = path.chars().filter(|letter| *letter != '_');
        letters.map(|letter| letter.to_ascii_lowercase())
    }
    letters(a).eq(letters(b))
}

/// The same path as Emissary writes it.
pub fn snake_case(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 4);
    for letter in path.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_in_the_spelling_of_their_object() {
        assert!(FIELDS.len() <= u128::BITS as usize, "each has a bit");
        let mut settled = Settled::default();
        settled.add(Field::Timeout, true);
        settled.add(Field::TlsSecret, false);
        settled.add(Field::ModuleTimeout, true);
        let paths: Vec<_> = settled.paths().collect();
        let written = [
            "spec.timeout_ms",
            "spec.tlsSecret",
            "spec.config.cluster_request_timeout_ms",
        ];
        assert_eq!(paths, written);
        assert_eq!(Settled::default().paths().count(), 0);
        assert_eq!(size_of::<Settled>(), size_of::<usize>(), "there are many");
        assert!(is_same(&paths[0], Field::Timeout.path()));
        assert!(!is_same(&paths[0], Field::IdleTimeout.path()));
    }
}
