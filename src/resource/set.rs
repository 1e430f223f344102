//! The set of objects, and what every object has.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    EndpointSlice, Grant, Kind, ObjectKey, Origin, Position, Positions, SecretData, Service,
    Strings,
};
use crate::crd::{
    self,
    schema::{Problem, Written},
};

/// The annotation of a Service or an Ingress that holds objects of Emissary-ingress.
pub const CONFIG_ANNOTATION: &str = "getambassador.io/config";

/// All annotations that anybody reads.
pub const READ_ANNOTATIONS: &[&str] = &[CONFIG_ANNOTATION];

/// What every object has besides its spec, as far as anybody reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// What is reported on the object has the same one.
    pub revision: Arc<Revision>,
    pub labels: Strings,
    /// Those in [`READ_ANNOTATIONS`]: the others can be larger than the spec.
    pub annotations: Strings,
}

/// Which object it is, of all that have had its name, and how often that has changed. In a folder most have the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    pub uid: Arc<str>,
    pub generation: i64,
    /// Only of a Secret, and of kinds that Postern reports on.
    pub resource_version: Arc<str>,
    /// Seconds since 1970; none in a folder, unless the manifest says it.
    pub created: Option<i64>,
}

/// One object: its name, where it was found, and what it says.
#[derive(Clone, Debug)]
pub struct Object<T> {
    pub key: ObjectKey,
    pub origin: Origin,
    pub meta: Meta,
    /// What could be read: a field with a problem is absent.
    pub spec: T,
    pub problems: Box<[Problem]>,
    /// Where each field was found, by its path (`spec.prefix`); empty when the origin has no lines.
    pub positions: Positions,
}

/// A Mapping. There are many, and most say little.
pub type Mapping = Object<Written<crd::MappingSpec>>;

/// Objects of one kind, in the order of their keys. An object that did not change keeps its `Arc`.
pub type Objects<T> = BTreeMap<ObjectKey, Arc<Object<T>>>;

/// Everything the compiler reads.
#[derive(Clone, Debug, Default)]
pub struct ResourceSet {
    pub mappings: Objects<Written<crd::MappingSpec>>,
    pub tcp_mappings: Objects<crd::TcpMappingSpec>,
    pub hosts: Objects<crd::HostSpec>,
    pub listeners: Objects<crd::ListenerSpec>,
    pub settings: Objects<crd::GatewaySettingsSpec>,
    pub claims: Objects<crd::RouteClaimSpec>,
    pub tls_contexts: Objects<crd::TlsContextSpec>,
    /// Kinds that are read and not implemented, with their spec as it is.
    pub others: Objects<serde_json::Value>,
    pub namespaces: Objects<()>,
    pub services: Objects<Service>,
    pub endpoint_slices: Objects<EndpointSlice>,
    pub secrets: Objects<SecretData>,
    /// Of Secrets in `secrets`, the last content that was good for something, where the present one is not: see
    /// [`ResourceSet::insert_secret`].
    pub former_secrets: Objects<SecretData>,
    pub grants: Objects<Grant>,
    /// Those with an annotation that is read.
    pub ingresses: Objects<()>,
    /// Secrets that a source looked for and did not find. One that is neither here nor in `secrets` was not looked for yet.
    pub absent_secrets: BTreeSet<ObjectKey>,
    /// Kinds that would be read if they could: objects of them may exist all the same.
    pub unavailable: BTreeMap<Kind, Unavailable>,
    /// What is wrong with files as such, by path: what could not be read into an object.
    pub files: BTreeMap<Arc<str>, Vec<FileProblem>>,
}

/// Why no object of a kind can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// The API server does not serve the kind: its CRD is not installed.
    NotInstalled,
    /// The permissions of this installation do not reach so far.
    Forbidden,
    /// Those of whoever asks do not; what the installation may read is not known.
    Unasked,
}

/// What is wrong with a file, or with a document in it that did not become an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblem {
    pub at: Position,
    pub kind: FileProblemKind,
    /// One sentence without the final period.
    pub message: String,
}

/// The kinds of [`FileProblem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileProblemKind {
    /// Not YAML, or not JSON.
    Syntax,
    /// Not a Kubernetes object: it does not say what it is, or has no name.
    Document,
    /// Not UTF-8 text.
    Encoding,
    /// More than is read.
    Size,
    /// The file cannot be opened or listed.
    Unreadable,
    /// A kind or a version that Postern does not read.
    UnknownKind,
    /// Another document has the same kind, namespace and name.
    Duplicate,
    /// Something in an annotation that cannot be read.
    Annotation,
    /// A field of an object of Kubernetes' own kinds, which is read as if it were absent.
    Field,
}

impl FileProblemKind {
    /// Whether there may be objects that cannot be seen for it: those that were there before stay.
    pub fn hides_objects(self) -> bool {
        match self {
            Self::Syntax
            | Self::Document
            | Self::Encoding
            | Self::Size
            | Self::Unreadable
            | Self::Annotation => true,
            Self::UnknownKind | Self::Duplicate | Self::Field => false,
        }
    }
}

/// An object of any kind that Postern reads.
#[derive(Clone, Debug)]
pub enum AnyObject {
    Mapping(Arc<Mapping>),
    TcpMapping(Arc<Object<crd::TcpMappingSpec>>),
    Host(Arc<Object<crd::HostSpec>>),
    Listener(Arc<Object<crd::ListenerSpec>>),
    GatewaySettings(Arc<Object<crd::GatewaySettingsSpec>>),
    RouteClaim(Arc<Object<crd::RouteClaimSpec>>),
    TlsContext(Arc<Object<crd::TlsContextSpec>>),
    Other(Arc<Object<serde_json::Value>>),
    Namespace(Arc<Object<()>>),
    Service(Arc<Object<Service>>),
    EndpointSlice(Arc<Object<EndpointSlice>>),
    Secret(Arc<Object<SecretData>>),
    Grant(Arc<Object<Grant>>),
    Ingress(Arc<Object<()>>),
}

macro_rules! each_kind {
    ($object:expr, $bound:ident => $body:expr) => {
        match $object {
            AnyObject::Mapping($bound) => $body,
            AnyObject::TcpMapping($bound) => $body,
            AnyObject::Host($bound) => $body,
            AnyObject::Listener($bound) => $body,
            AnyObject::GatewaySettings($bound) => $body,
            AnyObject::RouteClaim($bound) => $body,
            AnyObject::TlsContext($bound) => $body,
            AnyObject::Other($bound) => $body,
            AnyObject::Namespace($bound) => $body,
            AnyObject::Service($bound) => $body,
            AnyObject::EndpointSlice($bound) => $body,
            AnyObject::Secret($bound) => $body,
            AnyObject::Grant($bound) => $body,
            AnyObject::Ingress($bound) => $body,
        }
    };
}

impl Meta {
    /// The revision, to be changed before anybody else has it; otherwise this makes a copy.
    pub fn revision_mut(&mut self) -> &mut Revision {
        Arc::make_mut(&mut self.revision)
    }
}

impl Revision {
    /// Whether both say the same: a label that nobody selects by makes a new version, and nothing else new.
    pub fn is_generation_of(&self, other: &Self) -> bool {
        let Self {
            uid,
            generation,
            resource_version: _,
            created,
        } = self;
        *uid == other.uid && *generation == other.generation && *created == other.created
    }
}

impl AnyObject {
    pub fn key(&self) -> &ObjectKey {
        each_kind!(self, object => &object.key)
    }

    pub fn meta(&self) -> &Meta {
        each_kind!(self, object => &object.meta)
    }

    pub fn origin(&self) -> &Origin {
        each_kind!(self, object => &object.origin)
    }

    pub fn positions(&self) -> &Positions {
        each_kind!(self, object => &object.positions)
    }

    pub fn problems(&self) -> &[Problem] {
        each_kind!(self, object => &object.problems)
    }

    /// The metadata, to be changed before anybody else has the object; otherwise this makes a copy.
    pub fn meta_mut(&mut self) -> &mut Meta {
        each_kind!(self, object => &mut Arc::make_mut(object).meta)
    }
}

impl ResourceSet {
    /// Every object, kind by kind.
    pub fn objects(&self) -> impl Iterator<Item = AnyObject> {
        fn all<T>(
            of_kind: &Objects<T>,
            any: fn(Arc<Object<T>>) -> AnyObject,
        ) -> impl Iterator<Item = AnyObject> {
            of_kind.values().cloned().map(any)
        }
        // Each by its name: a new kind must not be forgotten.
        let Self {
            mappings,
            tcp_mappings,
            hosts,
            listeners,
            settings,
            claims,
            tls_contexts,
            others,
            namespaces,
            services,
            endpoint_slices,
            secrets,
            former_secrets: _,
            grants,
            ingresses,
            absent_secrets: _,
            unavailable: _,
            files: _,
        } = self;
        all(mappings, AnyObject::Mapping)
            .chain(all(tcp_mappings, AnyObject::TcpMapping))
            .chain(all(hosts, AnyObject::Host))
            .chain(all(listeners, AnyObject::Listener))
            .chain(all(settings, AnyObject::GatewaySettings))
            .chain(all(claims, AnyObject::RouteClaim))
            .chain(all(tls_contexts, AnyObject::TlsContext))
            .chain(all(others, AnyObject::Other))
            .chain(all(namespaces, AnyObject::Namespace))
            .chain(all(services, AnyObject::Service))
            .chain(all(endpoint_slices, AnyObject::EndpointSlice))
            .chain(all(secrets, AnyObject::Secret))
            .chain(all(grants, AnyObject::Grant))
            .chain(all(ingresses, AnyObject::Ingress))
    }

    /// Puts an object in, in the place of the one with the same key.
    pub fn insert(&mut self, object: AnyObject) {
        let key = object.key().clone();
        match object {
            AnyObject::Mapping(object) => drop(self.mappings.insert(key, object)),
            AnyObject::TcpMapping(object) => drop(self.tcp_mappings.insert(key, object)),
            AnyObject::Host(object) => drop(self.hosts.insert(key, object)),
            AnyObject::Listener(object) => drop(self.listeners.insert(key, object)),
            AnyObject::GatewaySettings(object) => drop(self.settings.insert(key, object)),
            AnyObject::RouteClaim(object) => drop(self.claims.insert(key, object)),
            AnyObject::TlsContext(object) => drop(self.tls_contexts.insert(key, object)),
            AnyObject::Other(object) => drop(self.others.insert(key, object)),
            AnyObject::Namespace(object) => drop(self.namespaces.insert(key, object)),
            AnyObject::Service(object) => drop(self.services.insert(key, object)),
            AnyObject::EndpointSlice(object) => drop(self.endpoint_slices.insert(key, object)),
            AnyObject::Secret(object) => drop(self.secrets.insert(key, object)),
            AnyObject::Grant(object) => drop(self.grants.insert(key, object)),
            AnyObject::Ingress(object) => drop(self.ingresses.insert(key, object)),
        }
    }

    /// Puts a Secret in, and keeps the content that was there before if it was good and the new one is not: as long as the
    /// Secret is there, and until it is good again. Another Secret of the same name has no former content.
    pub fn insert_secret(
        &mut self,
        secret: Arc<Object<SecretData>>,
        is_good: fn(&SecretData) -> bool,
    ) {
        let key = secret.key.clone();
        self.absent_secrets.remove(&key);
        if let Some(before) = self.secrets.get(&key) {
            let (old, new) = (&before.meta.revision.uid, &secret.meta.revision.uid);
            let is_another = !old.is_empty() && !new.is_empty() && old != new;
            if is_another || is_good(&secret.spec) {
                self.former_secrets.remove(&key);
            } else if is_good(&before.spec) {
                self.former_secrets.insert(key.clone(), Arc::clone(before));
            }
        }
        self.secrets.insert(key, secret);
    }

    /// Where a field of an object was found, or the nearest one around it; none when the origin has no lines.
    pub fn position(&self, key: &ObjectKey, field: &str) -> Option<Position> {
        self.positions(key)?.nearest(field)
    }

    fn positions(&self, key: &ObjectKey) -> Option<&Positions> {
        None.or_else(|| Some(&self.mappings.get(key)?.positions))
            .or_else(|| Some(&self.tcp_mappings.get(key)?.positions))
            .or_else(|| Some(&self.hosts.get(key)?.positions))
            .or_else(|| Some(&self.listeners.get(key)?.positions))
            .or_else(|| Some(&self.settings.get(key)?.positions))
            .or_else(|| Some(&self.claims.get(key)?.positions))
            .or_else(|| Some(&self.tls_contexts.get(key)?.positions))
            .or_else(|| Some(&self.others.get(key)?.positions))
    }

    /// What the object with this key has besides its spec.
    pub fn meta(&self, key: &ObjectKey) -> Option<&Meta> {
        None.or_else(|| Some(&self.mappings.get(key)?.meta))
            .or_else(|| Some(&self.tcp_mappings.get(key)?.meta))
            .or_else(|| Some(&self.hosts.get(key)?.meta))
            .or_else(|| Some(&self.listeners.get(key)?.meta))
            .or_else(|| Some(&self.settings.get(key)?.meta))
            .or_else(|| Some(&self.claims.get(key)?.meta))
            .or_else(|| Some(&self.tls_contexts.get(key)?.meta))
            .or_else(|| Some(&self.others.get(key)?.meta))
            .or_else(|| Some(&self.namespaces.get(key)?.meta))
            .or_else(|| Some(&self.services.get(key)?.meta))
    }

    /// Takes the object with this key out.
    pub fn remove(&mut self, key: &ObjectKey) {
        self.mappings.remove(key);
        self.tcp_mappings.remove(key);
        self.hosts.remove(key);
        self.listeners.remove(key);
        self.settings.remove(key);
        self.claims.remove(key);
        self.tls_contexts.remove(key);
        self.others.remove(key);
        self.namespaces.remove(key);
        self.services.remove(key);
        self.endpoint_slices.remove(key);
        self.secrets.remove(key);
        self.former_secrets.remove(key);
        self.grants.remove(key);
        self.ingresses.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Group, SecretBytes};

    fn key() -> ObjectKey {
        ObjectKey::new(Group::Core, Kind::Secret, "apps", "tls")
    }

    /// Its content is good if it begins with `good`.
    fn secret(uid: &str, content: &str) -> Arc<Object<SecretData>> {
        let bytes = SecretBytes(content.as_bytes().into());
        let mut meta = Meta::default();
        meta.revision_mut().uid = uid.into();
        Arc::new(Object {
            key: key(),
            origin: Origin::Cluster,
            meta,
            spec: SecretData {
                kind: "Opaque".to_owned(),
                data: BTreeMap::from([("it".to_owned(), bytes)]),
            },
            problems: Box::default(),
            positions: Positions::default(),
        })
    }

    #[test]
    fn the_last_good_content_of_a_secret_is_there_until_it_is_good_again_or_gone() {
        let is_good = |secret: &SecretData| secret.data["it"].0.starts_with(b"good");
        let mut set = ResourceSet::default();
        for (uid, content, former) in [
            ("1", "bad", None),
            ("1", "good 1", None),
            ("1", "good 2", None),
            ("1", "bad", Some("good 2")),
            ("1", "worse", Some("good 2")),
            ("", "as a file had it", Some("good 2")),
            ("1", "good 3", None),
            ("1", "bad", Some("good 3")),
            ("2", "bad, of another Secret", None),
            ("2", "good 4", None),
            ("2", "bad", Some("good 4")),
        ] {
            set.insert_secret(secret(uid, content), is_good);
            let found = set.former_secrets.get(&key());
            let found = found.map(|secret| &*secret.spec.data["it"].0);
            assert_eq!(found, former.map(str::as_bytes), "after {content}");
        }
        set.remove(&key());
        assert!(set.former_secrets.is_empty());
        set.insert_secret(secret("2", "bad"), is_good);
        assert!(set.former_secrets.is_empty(), "it was deleted in between");
    }
}
