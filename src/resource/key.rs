//! Names of objects, and where they were found.

use std::{cell::RefCell, fmt, ops::Deref, sync::Arc};

/// The API groups that Postern reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// `postern.dev`
    Postern,
    /// `getambassador.io`
    Emissary,
    /// The core group.
    Core,
    /// `discovery.k8s.io`
    Discovery,
    /// `networking.k8s.io`
    Networking,
    /// `gateway.networking.k8s.io`
    Gateway,
}

impl Group {
    pub const ALL: [Self; 6] = [
        Self::Postern,
        Self::Emissary,
        Self::Core,
        Self::Discovery,
        Self::Networking,
        Self::Gateway,
    ];

    /// The name as in `apiVersion`; empty for the core group.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postern => "postern.dev",
            Self::Emissary => "getambassador.io",
            Self::Core => "",
            Self::Discovery => "discovery.k8s.io",
            Self::Networking => "networking.k8s.io",
            Self::Gateway => "gateway.networking.k8s.io",
        }
    }
}

/// The kinds that Postern reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Mapping,
    Host,
    Listener,
    GatewaySettings,
    TlsContext,
    TcpMapping,
    AuthService,
    RateLimitService,
    LogService,
    TracingService,
    Module,
    KubernetesServiceResolver,
    KubernetesEndpointResolver,
    ConsulResolver,
    DevPortal,
    RouteClaim,
    Namespace,
    Service,
    EndpointSlice,
    Secret,
    Ingress,
    ReferenceGrant,
}

/// Kinds of `postern.dev` that are not implemented. They have no CRD, so that only a folder holds any, and no cluster is asked
/// for them; but one that protects must not be passed over.
pub const WITHOUT_CRD: &[(Group, Kind, &str)] = &[
    (Group::Postern, Kind::AuthService, "AuthService"),
    (Group::Postern, Kind::RateLimitService, "RateLimitService"),
    (Group::Postern, Kind::TlsContext, "TLSContext"),
    (Group::Postern, Kind::LogService, "LogService"),
    (Group::Postern, Kind::TracingService, "TracingService"),
    (Group::Postern, Kind::Module, "Module"),
];

/// Which kinds are read from a cluster, with the plural name of the resource.
pub const KINDS: &[(Group, Kind, &str, &str)] = &[
    (Group::Postern, Kind::Mapping, "Mapping", "mappings"),
    (
        Group::Postern,
        Kind::TcpMapping,
        "TCPMapping",
        "tcpmappings",
    ),
    (Group::Postern, Kind::Host, "Host", "hosts"),
    (Group::Postern, Kind::Listener, "Listener", "listeners"),
    (
        Group::Postern,
        Kind::GatewaySettings,
        "GatewaySettings",
        "gatewaysettings",
    ),
    (
        Group::Postern,
        Kind::RouteClaim,
        "RouteClaim",
        "routeclaims",
    ),
    (Group::Emissary, Kind::Mapping, "Mapping", "mappings"),
    (Group::Emissary, Kind::Host, "Host", "hosts"),
    (Group::Emissary, Kind::Listener, "Listener", "listeners"),
    (
        Group::Emissary,
        Kind::TlsContext,
        "TLSContext",
        "tlscontexts",
    ),
    (
        Group::Emissary,
        Kind::TcpMapping,
        "TCPMapping",
        "tcpmappings",
    ),
    (
        Group::Emissary,
        Kind::AuthService,
        "AuthService",
        "authservices",
    ),
    (
        Group::Emissary,
        Kind::RateLimitService,
        "RateLimitService",
        "ratelimitservices",
    ),
    (
        Group::Emissary,
        Kind::LogService,
        "LogService",
        "logservices",
    ),
    (
        Group::Emissary,
        Kind::TracingService,
        "TracingService",
        "tracingservices",
    ),
    (Group::Emissary, Kind::Module, "Module", "modules"),
    (
        Group::Emissary,
        Kind::KubernetesServiceResolver,
        "KubernetesServiceResolver",
        "kubernetesserviceresolvers",
    ),
    (
        Group::Emissary,
        Kind::KubernetesEndpointResolver,
        "KubernetesEndpointResolver",
        "kubernetesendpointresolvers",
    ),
    (
        Group::Emissary,
        Kind::ConsulResolver,
        "ConsulResolver",
        "consulresolvers",
    ),
    (Group::Emissary, Kind::DevPortal, "DevPortal", "devportals"),
    (Group::Core, Kind::Namespace, "Namespace", "namespaces"),
    (Group::Core, Kind::Service, "Service", "services"),
    (Group::Core, Kind::Secret, "Secret", "secrets"),
    (
        Group::Discovery,
        Kind::EndpointSlice,
        "EndpointSlice",
        "endpointslices",
    ),
    (Group::Networking, Kind::Ingress, "Ingress", "ingresses"),
    (
        Group::Gateway,
        Kind::ReferenceGrant,
        "ReferenceGrant",
        "referencegrants",
    ),
];

/// Every kind of every group that is read from somewhere, with its name.
pub fn all() -> impl Iterator<Item = (Group, Kind, &'static str)> {
    let served = KINDS
        .iter()
        .map(|&(group, kind, name, _)| (group, kind, name));
    served.chain(WITHOUT_CRD.iter().copied())
}

impl Kind {
    /// The kind as written in a manifest.
    pub fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// The names of the kinds by their place in [`Kind`].
const NAMES: [&str; Kind::ReferenceGrant as usize + 1] = {
    let mut names = [""; Kind::ReferenceGrant as usize + 1];
    let mut row = 0;
    while row < KINDS.len() {
        names[KINDS[row].1 as usize] = KINDS[row].2;
        row += 1;
    }
    row = 0;
    while row < WITHOUT_CRD.len() {
        names[WITHOUT_CRD[row].1 as usize] = WITHOUT_CRD[row].2;
        row += 1;
    }
    names
};

/// Names an object: two objects with the same key are the same object.
///
/// One pointer, because everything that is known about an object is kept by its key. The order is that of the fields:
/// group, kind, namespace, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(Arc<KeyParts>);

/// What an [`ObjectKey`] is made of.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyParts {
    pub group: Group,
    pub kind: Kind,
    /// Empty for what has no namespace.
    pub namespace: Arc<str>,
    pub name: Box<str>,
}

impl ObjectKey {
    pub fn new(group: Group, kind: Kind, namespace: &str, name: &str) -> Self {
        Self(Arc::new(KeyParts {
            group,
            kind,
            namespace: shared(namespace),
            name: name.into(),
        }))
    }
}

/// The text, as one with the last object that said the same: objects come namespace by namespace.
fn shared(namespace: &str) -> Arc<str> {
    thread_local! {
        static LAST: RefCell<Arc<str>> = RefCell::default();
    }
    LAST.with_borrow_mut(|last| {
        if **last != *namespace {
            *last = namespace.into();
        }
        Arc::clone(last)
    })
}

impl Deref for ObjectKey {
    type Target = KeyParts;

    fn deref(&self) -> &KeyParts {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    /// `Mapping apps/quote`, and `Mapping.getambassador.io apps/quote` for Emissary's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if self.group == Group::Emissary {
            write!(f, ".{}", self.group.name())?;
        }
        if self.namespace.is_empty() {
            write!(f, " {}", self.name)
        } else {
            write!(f, " {}/{}", self.namespace, self.name)
        }
    }
}

/// Where an object was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In the API server.
    Cluster,
    /// In a file, where its document begins.
    File { path: Arc<str>, at: Position },
    /// In the `getambassador.io/config` annotation of another object, and where in its text.
    Annotation { of: ObjectKey, at: Position },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("cluster"),
            Self::File { path, at } => write!(f, "{path}:{at}"),
            Self::Annotation { of, at } => write!(f, "annotation of {of}, line {}", at.line),
        }
    }
}

/// A line and a column, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: u32,
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_a_group_is_in_one_table_once() {
        let rows: Vec<_> = all().collect();
        for (index, row) in rows.iter().enumerate() {
            let twin = rows[index + 1..]
                .iter()
                .find(|other| (other.0, other.1) == (row.0, row.1));
            assert_eq!(twin, None, "{row:?}");
        }
    }

    #[test]
    fn the_role_lets_read_what_is_watched_and_nothing_else() {
        const ROLE: &str = include_str!("../../helm/rbac.yaml");
        assert!(!ROLE.contains('*'), "no role is for everything");
        for &(group, .., plural) in KINDS {
            let name = match group {
                Group::Core => "apiGroups: [\"\"]".to_owned(),
                _ => format!("apiGroups: [{}]", group.name()),
            };
            let listed = ROLE.split("- apiGroups").any(|rule| {
                let rule = format!("- apiGroups{rule}");
                let words = rule.split(|c: char| !c.is_ascii_alphanumeric());
                rule.contains(&name) && rule.contains("watch") && { words }
                    .any(|word| word == plural)
            });
            assert!(listed, "{plural} of {:?} must be in the role", group.name());
        }
    }
}
