//! The numbered codes: one table, from which `docs/reference/codes.md` and a page for each code are generated.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something the object asks for is not served.
    Error,
    /// Everything that the object asks for and that can be reached is served; somebody should look.
    Warning,
    /// Nothing is wrong; it is said so that nobody is surprised.
    Note,
}

/// The condition that an error makes false. A warning about `Programmed` tells why no request reaches an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// The object means something, and may.
    Accepted,
    /// What it refers to exists, and may be referred to.
    ResolvedRefs,
    /// It is in the graph and reachable.
    Programmed,
}

/// What a code means.
#[derive(Debug)]
pub struct CodeInfo {
    pub code: Code,
    pub number: u16,
    pub severity: Severity,
    pub condition: Condition,
    /// The `reason` of the condition, CamelCase.
    pub reason: &'static str,
    pub cause: &'static str,
    pub example: &'static str,
    pub remedy: &'static str,
}

macro_rules! codes {
    ($($name:ident = $number:literal, $severity:ident, $condition:ident, $cause:literal, $example:literal, $remedy:literal;)*) => {
        /// A numbered code, written `PST1003`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $cause] $name,)*
        }

        /// Every code, in the order of the numbers.
        pub static CODES: &[CodeInfo] = &[
            $(CodeInfo {
                code: Code::$name,
                number: $number,
                severity: Severity::$severity,
                condition: Condition::$condition,
                reason: stringify!($name),
                cause: $cause,
                example: $example,
                remedy: $remedy,
            },)*
        ];
    };
}

codes! {
    InvalidSyntax = 1001, Error, Accepted,
        "A file is not valid YAML or JSON, or a document in it is not a Kubernetes object.",
        "prefix: [",
        "Mend what the message names at the line and column given. Until then a gateway that watches the file goes on with the last good objects of it.";
    UnknownKind = 1002, Error, Accepted,
        "A document of `postern.dev` or `getambassador.io`, or of a group that looks like a misspelling of them, is of a kind or a version that Postern does not read, so nothing in it has any effect. Kinds of other groups are passed over without a word.",
        "kind: Mappings",
        "Correct `kind` and `apiVersion` to what is suggested, or remove the document.";
    UnknownField = 1003, Error, Accepted,
        "The kind has no such field. The whole object is refused rather than served without what it asks for: its requests are answered with 503. `kubectl apply` says the same when the API server validates strictly.",
        "prefx: /api/",
        "Use the name that is suggested, or look the field up in the reference of the kind.";
    WrongType = 1004, Error, Accepted,
        "A field holds a value of another type than its schema says: text instead of a number, one value instead of a list. Requests that match the object are answered with 503.",
        "timeoutMs: soon",
        "Write a value of the type that the message names.";
    InvalidValue = 1005, Error, Accepted,
        "A value has the right type and is outside of what the field allows.",
        "redirectResponseCode: 200",
        "Write one of the values that the message names.";
    MissingField = 1006, Error, Accepted,
        "A required field is absent. A Mapping needs at least `prefix` and `service`.",
        "a Mapping without `service`",
        "Add the field.";
    NotImplemented = 1007, Error, Accepted,
        "The field exists in Emissary-ingress and Postern does not implement it (yet). The object is refused, because serving it without what it asks for could expose what the field protects.",
        "bypassAuth: true",
        "Remove the field, or keep this object on Emissary-ingress.";
    NoEffect = 1008, Warning, Accepted,
        "The field is accepted, because Emissary-ingress has it or because nobody is harmed by its absence, and has no effect.",
        "docs: {path: /openapi.json}",
        "Remove the field, or leave it: nothing depends on it.";
    DuplicateObject = 1009, Error, Accepted,
        "Two documents have the same kind, namespace and name. The first one, in the order of file names and lines, is used.",
        "two files with Mapping apps/quote",
        "Rename or delete one of them.";
    WrongNamespace = 1011, Error, Accepted,
        "An object that settles something for the whole installation is in a namespace that may not.",
        "a Listener in namespace apps",
        "Move the object to Postern's own namespace, or have that namespace named in `instanceNamespaces` of the GatewaySettings.";
    DuplicateSettings = 1012, Error, Accepted,
        "There is more than one GatewaySettings for this installation. The oldest one is used, and nothing of the others.",
        "GatewaySettings postern/a and postern/b",
        "Delete all but one.";
    IgnoredField = 1013, Warning, Accepted,
        "A field of one of Kubernetes' own kinds in a folder holds what the API server would refuse. The object is read as if the field were absent.",
        "a Service with clusterIP: quote",
        "Write a value that the API server would accept.";
    LiteralVariable = 1014, Warning, Accepted,
        "A value holds `$` and a name, for which Emissary-ingress would put a variable from the environment of its pod. Postern takes the value as it is written.",
        "host_redirect to $DOMAIN",
        "Write the value itself, or leave it if it is meant as it is written.";
    PresetDecides = 1015, Note, Accepted,
        "The preset of the GatewaySettings decides something in a way that protects less than it would be without.",
        "preset: emissary",
        "Write the setting that the message names, once the installation does not need it any more.";
    ModuleNotInForce = 1016, Warning, Accepted,
        "The Module, or a key of it, is not in force: another Module is, or the GatewaySettings decide it.",
        "Modules named ambassador in two namespaces",
        "Delete what is not in force.";
    SameNameInBothGroups = 1017, Warning, Accepted,
        "There is an object of the same kind, namespace and name in `postern.dev` and in `getambassador.io`. Both count: Mappings with the same match share its requests.",
        "Mapping apps/quote in both groups",
        "Delete one of the two once the other serves as it should.";
    PresetGivesWay = 1018, Warning, Accepted,
        "The preset would read Listeners, Modules, AuthServices and other objects for the whole installation from every namespace. There are RouteClaims, and such an object would count for claimed hostnames too, so only those of the platform's namespaces are in force. What protects all Mappings goes on to do so where nothing is claimed.",
        "preset: emissary, without `instanceNamespaces`, beside a RouteClaim",
        "Name the namespaces of the platform that hold such objects in `instanceNamespaces`; `[]` if there are none.";
    InvalidHostname = 2001, Error, Accepted,
        "A hostname is not a DNS name, nor one with a single `*` as its first or last character.",
        "hostname: a.*.com",
        "Write a name such as `example.com` or `*.example.com`, or `*` for every name.";
    InvalidPath = 2002, Error, Accepted,
        "A path does not begin with `/`, or no request can have it, because a canonical path never looks like that.",
        "prefix: api/",
        "Write the path as it is after normalisation.";
    InvalidRegex = 2003, Error, Accepted,
        "A regular expression cannot be parsed, or is too large.",
        "prefix: /a(b",
        "Mend the expression; the message quotes what is wrong with it.";
    InvalidMethod = 2004, Error, Accepted,
        "A method is not one word of letters, so no request can have it.",
        "method: GET POST",
        "Write one method, or use `methodRegex`.";
    InvalidHeader = 2005, Error, Accepted,
        "A header name or value cannot be sent, or may not be set by a route.",
        "addRequestHeaders: {\"x y\": {value: a}}",
        "Use a header name of RFC 9110, section 5.1 and a value without control characters.";
    NoMatchingHost = 2006, Warning, Programmed,
        "No Host serves the hostname of this Mapping, so no request reaches it. Once there are Hosts, a Mapping without a `hostname` is served only by those whose `mappingSelector` finds it.",
        "a Mapping without `hostname` where no Host selects its labels",
        "Give the Mapping a `hostname` that a Host covers, or the labels that a Host's `mappingSelector` asks for.";
    Conflict = 2007, Error, Accepted,
        "The hostname and path belong to a namespace whose object for them is older. This object gets no request.",
        "Mapping b/quote with the hostname and prefix of Mapping a/quote",
        "Choose another hostname or path, or agree with the owners of the other object.";
    InvalidWeight = 2008, Error, Accepted,
        "A weight is below 0 or above 100, or brings the sum of the Mappings with the same match over 100. The object takes no share of the traffic; the others go on.",
        "weight: 120",
        "Write weights whose sum is 100, or leave one out: it takes the rest.";
    GroupMismatch = 2009, Error, Accepted,
        "Mappings with the same match cannot be served together: one redirects and another forwards, or more than one redirects.",
        "hostRedirect: true on one of two Mappings with the same prefix",
        "Give them different matches, or delete one.";
    InvalidRewrite = 2010, Error, Accepted,
        "A rewrite or a redirect cannot be carried out as written.",
        "rewrite: api/",
        "Write a path that begins with `/`, or an empty string to keep the path.";
    Unclaimed = 2011, Error, Accepted,
        "No claim gives the hostname and path to the namespace, and the GatewaySettings refuse everything outside of claims.",
        "ownership: {unclaimed: Deny}",
        "Have the platform team create a claim, or set `ownership.unclaimed` to another value.";
    ClaimedByOthers = 2012, Error, Accepted,
        "A RouteClaim gives the hostname and path to other namespaces. This object gets no request.",
        "a Mapping with the prefix /cart in namespace web, where a claim gives /cart to namespace cart",
        "Have the namespace added to the claim, or choose another hostname or path.";
    PartlyClaimed = 2013, Warning, Accepted,
        "A part of what the object asks for belongs to others. It serves the rest.",
        "a Mapping with the prefix / beside a claim of another namespace on /cart",
        "Leave it so, or choose a narrower hostname or path.";
    ClaimConflict = 2014, Error, Accepted,
        "Everything that the claim asks for is claimed by older ones. It claims nothing.",
        "two RouteClaims with the hostname example.com and the path /",
        "Claim something else, or have the namespaces added to the older claim.";
    ClaimOverlap = 2015, Note, Accepted,
        "The claim is a part of a wider one, from which it takes the requests that it covers.",
        "a RouteClaim on example.com/cart beside one on *.example.com",
        "Nothing needs to be done.";
    NobodyClaims = 2016, Warning, Accepted,
        "The claim names no namespace, or none has the labels that it asks for: nobody can route there.",
        "namespaces: {selector: {matchLabels: {team: cart}}} before any namespace has that label",
        "Name a namespace, or give one the labels.";
    PartlyConflict = 2017, Warning, Accepted,
        "A part of what the object asks for, outside of its claims, belongs to a namespace whose object for it is older. It serves the rest.",
        "a Mapping with the prefix / of a namespace with a claim on /cart, where an older one of another namespace has the prefix /",
        "Ask for what is claimed alone, or leave it so.";
    LosesRequests = 2018, Warning, Accepted,
        "Nobody has claimed the hostname and path, and objects of other namespaces with a longer path, a regular expression or a greater precedence take requests that match this one.",
        "a Mapping with the prefix / beside one of another namespace with the prefix /cart/",
        "Leave it if that is meant; otherwise have the hostname and path claimed with a RouteClaim.";
    TlsGoesElsewhere = 2019, Warning, Accepted,
        "TCPMappings have the TLS of the hostname on a port that serves HTTP, too. Handshakes for the name go to them, so that no request over TLS reaches this object, and the certificate of a Host is not shown where they pass TLS through.",
        "a Mapping with the hostname shop.example.com beside a TCPMapping with that host and `clientTls: Passthrough`",
        "Give one of them another hostname or port, or leave it so.";
    InvalidService = 3001, Error, ResolvedRefs,
        "The `service` cannot be read, so there is nowhere to send requests to: they are answered with 503.",
        "service: a:443:443",
        "Write `[http://|https://]name[.namespace][:port]`.";
    ServiceNotFound = 3002, Error, ResolvedRefs,
        "The Service does not exist in the namespace of the object, or in the one that is named after the dot. Requests that match are answered with 503, and go to nobody else; as soon as the Service is there they are served.",
        "service: qoute",
        "Create the Service, or correct its name or namespace.";
    PortNotFound = 3003, Error, ResolvedRefs,
        "The Service exists and has no port with this number or name. It is the port of the Service that counts, not the `targetPort` of its pods. Without a port, 80 is meant, or 443 with https.",
        "service: quote:8081",
        "Use one of the port numbers or names that the message lists.";
    ReferenceNotGranted = 3004, Error, ResolvedRefs,
        "The object refers to a Service or a Secret of another namespace, which has not granted it. Requests that match are answered with 503; for a Host, TLS for its name is refused. When a grant is withdrawn, the same happens within a second.",
        "service: quote.other",
        "Have a ReferenceGrant created in that namespace, or move the object there.";
    ExternalNotAllowed = 3005, Error, ResolvedRefs,
        "The name is outside of the cluster, and the GatewaySettings do not allow it.",
        "service: https://example.org",
        "Have the name added to `references.external` of the GatewaySettings.";
    AddressRefused = 3006, Error, ResolvedRefs,
        "The address is one that Postern never dials from a cluster: loopback, link-local, unspecified or multicast.",
        "service: localhost:8878",
        "Name a Service.";
    NoAddress = 3007, Error, ResolvedRefs,
        "The Service has no address to dial: no ClusterIP, and no ready endpoint.",
        "a headless Service without ready pods",
        "Look at the pods of the Service. In a folder, name a `--backend` for it or use `--echo`.";
    TlsContextNotFound = 3009, Error, ResolvedRefs,
        "The TLSContext that the Mapping or Host names does not exist, or has an error of its own. The upstream is not dialled without it, and the Host answers 503: it may protect.",
        "tls: upstram",
        "Create the TLSContext, or correct the name.";
    UpstreamNotVerified = 3010, Warning, ResolvedRefs,
        "A TLSContext has the certificates of upstreams not verified: whoever can stand between reads and changes everything.",
        "insecureSkipVerify: true",
        "Name the authority of the upstream's certificate in `caSecret`, and remove `insecureSkipVerify`.";
    EndpointsNeeded = 3021, Error, ResolvedRefs,
        "A way of choosing or judging endpoints is asked for, and there are none: a Service is dialled by its ClusterIP, or the upstream is an address or a name outside.",
        "loadBalancer: {policy: maglev, sourceIp: true} without a resolver",
        "Add `resolver: endpoint`, or remove the policy.";
    ResolverNotFound = 3022, Error, ResolvedRefs,
        "The resolver does not exist, or is one of Consul, which Postern does not implement.",
        "resolver: endpiont",
        "Write `endpoint` or `kubernetes-service`, or create the resolver.";
    SecretNotFound = 4001, Error, ResolvedRefs,
        "The Secret that a Host names does not exist. TLS for the hostname is refused, because no other certificate would be right; requests without TLS are treated as the Host says.",
        "tlsSecret: {name: example-com}",
        "Create the Secret, or correct its name or namespace.";
    InvalidCertificate = 4002, Error, ResolvedRefs,
        "The Secret does not hold a certificate and the key that belongs to it. TLS for the hostname is refused.",
        "a Secret whose tls.crt is not PEM",
        "Put the PEM of the chain in `tls.crt` and of the key in `tls.key`.";
    NoServerCertificate = 4003, Error, ResolvedRefs,
        "TLS is to end at this TCPMapping, and no Host with a certificate serves its `host` on the port, nor has a TLSContext with a certificate the name in its `hosts`. TLS for the name is refused.",
        "a TCPMapping with host: db.example.com where no Host has a certificate for it",
        "Have a Host with a `tlsSecret` created for the name, or write `clientTls: Passthrough` where the upstream speaks TLS itself.";
    FormerCertificate = 4004, Warning, ResolvedRefs,
        "The Secret does not hold a certificate and the key that belongs to it any more. What it held before is in use, as long as the Secret is there and is referred to, in every replica that has seen it; one that starts later refuses TLS for the hostname (PST4002).",
        "a Secret with a tls.key that does not belong to the new tls.crt",
        "Put the PEM of the chain in `tls.crt` and of the key that belongs to it in `tls.key`.";
    HostConflict = 5001, Error, Accepted,
        "Another Host has the same hostname and is older. Its certificate and its policies are used, and nothing of this one.",
        "Host b/site and Host a/site with hostname example.com",
        "Delete one, or give it another hostname.";
    PortConflict = 5002, Error, Accepted,
        "Another Listener has the same port and is older. It is the one that is bound.",
        "two Listeners with port 8443",
        "Delete one, or give it another port.";
    InvalidProtocol = 5003, Error, Accepted,
        "The protocol stack of a Listener is not one that Postern serves.",
        "protocolStack: [TLS, UDP]",
        "Use `protocol: HTTP`, `HTTPS`, `TCP` or `TLS`.";
    NoMatchingListener = 5004, Warning, Programmed,
        "No Listener binds this Host, so no request reaches it: the `hostBinding` of every Listener asks for another namespace or other labels. Or no Listener has the port of this TCPMapping, which only namespaces that may write a Listener open without one.",
        "a Host without the labels of `hostBinding.selector`",
        "Change the Host's labels or namespace, or the Listener's `hostBinding`; have a Listener created for the port of a TCPMapping.";
    NotForTcp = 5005, Error, Accepted,
        "The Listener of the port does not take the connections of this TCPMapping: it serves HTTP, which has every connection that asks for no name, or it has no TLS, and the TCPMapping has a `host`.",
        "a TCPMapping with port 8080 and no host, where a Listener serves HTTP on 8080",
        "Use the port of a Listener with `protocol: TCP`, or with `protocol: TLS` or `HTTPS` for a `host`.";
    ReservedPort = 5006, Error, Accepted,
        "Postern itself listens on the port: health and metrics are served on 8877 and diagnostics on 8878, unless the process was told other addresses. No Listener and no TCPMapping can have it.",
        "a Listener with port 8877",
        "Choose another port: that of the Service is mapped to it by `targetPort`. Or start Postern with another `--admin-address` or `--diagnostics-address`.";
    PolicyNotHonoured = 6001, Error, Accepted,
        "An object that protects the whole installation cannot be honoured, so every Mapping answers 503.",
        "an AuthService, while Postern does not implement it",
        "Delete the object, or name its kind in `emissary.ignore` of the GatewaySettings if traffic may go without it.";
    KindNotImplemented = 6002, Warning, Accepted,
        "Postern reads this kind and does not implement it. Traffic is served without it.",
        "a LogService",
        "Delete the object, or leave it.";
    ClaimsNotRead = 6003, Warning, Accepted,
        "The installation reads some namespaces only, or is in the place of an Emissary Deployment, and may not read RouteClaims, so that no claim holds in it.",
        "an installation with Roles and --watch-namespaces, without a ClusterRole for RouteClaims",
        "Bind the ClusterRole that reads RouteClaims and Namespaces, or leave it so: hostnames and paths then belong to who came first.";
    NamespacesNotRead = 6004, Warning, Accepted,
        "The claim is for namespaces with certain labels, and the installation may not read Namespaces: it cannot tell whom the claim is for, and lets nobody in by labels.",
        "a RouteClaim with `namespaces.selector` in an installation with Roles and --watch-namespaces, without a ClusterRole for Namespaces",
        "Bind the ClusterRole that reads Namespaces, or name the namespaces in `namespaces.names`.";
}

impl CodeInfo {
    /// A command that shows more of what the code is about, with capitals where something is to be filled in.
    pub fn ask(&self) -> &'static str {
        match self.number {
            1011 | 1012 | 5002..=5006 => "kubectl postern status -n postern",
            1000..=1999 | 2001..=2005 | 2008..=2010 => "kubectl postern lint -f DIR",
            2007 | 2011..=2013 | 2017 => "kubectl postern conflicts -n NAMESPACE",
            2014..=2016 => "kubectl postern who HOST/PATH",
            3001..=3999 => "kubectl postern endpoints HOST/PATH",
            4000..=4999 | 5001 => "kubectl postern certs HOST",
            6000..=6999 => "kubectl postern check",
            _ => "kubectl postern why URL",
        }
    }
}

impl Code {
    pub fn info(self) -> &'static CodeInfo {
        CODES
            .get(self as usize)
            .expect("the table must have a row for every code")
    }

    pub fn number(self) -> u16 {
        self.info().number
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PST{:04}", self.number())
    }
}
