//! From the JSON of a manifest to a typed object.

mod field;
mod kubernetes;
mod meta;
mod variable;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{AnyObject, Group, Kind, Meta, Object, ObjectKey, Origin, Positions, key};
use crate::crd::schema::{self, Problem, ProblemKind, Spec, Spelling};

/// What a JSON document became.
#[derive(Debug)]
pub enum Decoded {
    /// An object; what is wrong with it is in its `problems`.
    Object(AnyObject),
    /// An object of a kind that Postern does not read: `apiVersion` and `kind`.
    UnknownKind(String, String),
    /// Not a Kubernetes object, and why.
    Invalid(String),
}

/// The versions that are read of each group, the newest first. Emissary's older ones are recognised, so that they are not passed over.
const VERSIONS: &[(Group, &[&str])] = &[
    (Group::Postern, &[crate::crd::VERSION]),
    (Group::Emissary, &[EMISSARY_VERSION, "v2", "v1", "v0"]),
    (Group::Core, &["v1"]),
    (Group::Discovery, &["v1"]),
    (Group::Networking, &["v1"]),
    (Group::Gateway, &["v1", "v1beta1"]),
];
/// The version of Emissary-ingress that is understood.
const EMISSARY_VERSION: &str = "v3alpha1";

/// Reads a document. It never fails as a whole when kind and name can be read: bad fields become problems of the object.
///
/// A Secret without `data` is one that holds nothing. What a metadata watch sends is of the kind PartialObjectMetadata
/// and therefore unknown here, so its lack of data is never taken for an empty Secret.
pub fn object(
    document: &Value,
    origin: Origin,
    default_namespace: &str,
    positions: Positions,
) -> Decoded {
    let Value::Object(document) = document else {
        return Decoded::Invalid("the document is not an object".to_owned());
    };
    let (Some(api), Some(kind_name)) = (text(document, "apiVersion"), text(document, "kind"))
    else {
        return Decoded::Invalid(
            "the document is not a Kubernetes object: it needs `apiVersion` and `kind`".to_owned(),
        );
    };
    let (group_name, version) = api.split_once('/').unwrap_or(("", api));
    let row = key::all().find(|row| row.0.name() == group_name && row.2 == kind_name);
    let Some((group, kind, _)) = row.filter(|row| is_read(row.0, version)) else {
        return Decoded::UnknownKind(api.to_owned(), kind_name.to_owned());
    };
    let metadata = document.get("metadata");
    let name = match name(metadata, kind_name) {
        Ok(name) => name,
        Err(why) => return Decoded::Invalid(why),
    };
    let mut problems = Vec::new();
    let namespace = match kind {
        Kind::Namespace | Kind::RouteClaim => "",
        _ => meta::namespace(metadata, default_namespace, &mut problems),
    };
    let key = ObjectKey::new(group, kind, namespace, name);
    if matches!(group, Group::Postern | Group::Emissary) {
        envelope(document, version, &key, &origin, &mut problems);
    }
    if group == Group::Emissary {
        variable::tell(document.get("spec"), &mut problems);
    }
    // A status waits for the version of its object.
    let has_status = matches!(group, Group::Postern | Group::Emissary);
    let has_version = kind == Kind::Secret || has_status;
    let meta = meta::read(metadata, has_version, &mut problems);
    let found = Found {
        key,
        origin,
        meta,
        problems,
        positions,
    };
    Decoded::Object(found.read(document))
}

fn name<'a>(metadata: Option<&'a Value>, kind_name: &str) -> Result<&'a str, String> {
    match metadata.and_then(|metadata| metadata.get("name")) {
        Some(Value::String(name)) if !name.is_empty() => Ok(name),
        None | Some(Value::Null | Value::String(_)) => {
            Err(format!("the {kind_name} has no `metadata.name`"))
        }
        // In YAML 1.1 `y` and `on` are booleans.
        Some(_) => Err(format!(
            "the `metadata.name` of the {kind_name} is not a string: put it in quotes"
        )),
    }
}

/// The version of a group that new objects should have.
pub fn newest(group: Group) -> &'static str {
    let versions = VERSIONS.iter().find(|(of, _)| *of == group);
    versions
        .and_then(|(_, versions)| versions.first())
        .expect("every group must have a version")
}

/// Whether objects of this version are read, or recognised at least.
pub fn is_read(group: Group, version: &str) -> bool {
    VERSIONS
        .iter()
        .any(|(of, versions)| *of == group && versions.contains(&version))
}

/// Everything about an object but its spec.
struct Found {
    key: ObjectKey,
    origin: Origin,
    meta: Meta,
    problems: Vec<Problem>,
    positions: Positions,
}

// === impl Found ===

impl Found {
    fn read(self, document: &Map<String, Value>) -> AnyObject {
        let is_known = key::WITHOUT_CRD
            .iter()
            .all(|row| (row.0, row.1) != (self.key.group, self.key.kind));
        match self.key.kind {
            Kind::Mapping => AnyObject::Mapping(self.read_spec(document, schema::written)),
            Kind::Host => AnyObject::Host(self.spec(document)),
            Kind::Listener => AnyObject::Listener(self.spec(document)),
            Kind::GatewaySettings => AnyObject::GatewaySettings(self.spec(document)),
            Kind::RouteClaim => AnyObject::RouteClaim(self.spec(document)),
            Kind::TlsContext if is_known => AnyObject::TlsContext(self.spec(document)),
            Kind::TcpMapping => AnyObject::TcpMapping(self.spec(document)),
            Kind::TlsContext
            | Kind::AuthService
            | Kind::RateLimitService
            | Kind::LogService
            | Kind::TracingService
            | Kind::Module
            | Kind::KubernetesServiceResolver
            | Kind::KubernetesEndpointResolver
            | Kind::ConsulResolver
            | Kind::DevPortal => {
                AnyObject::Other(self.with(document.get("spec").cloned().unwrap_or_default()))
            }
            Kind::Namespace => AnyObject::Namespace(self.with(())),
            Kind::Service => AnyObject::Service(self.reading(document, kubernetes::service)),
            Kind::EndpointSlice => {
                AnyObject::EndpointSlice(self.reading(document, kubernetes::endpoint_slice))
            }
            Kind::Secret => AnyObject::Secret(self.reading(document, kubernetes::secret)),
            Kind::Ingress => AnyObject::Ingress(self.with(())),
            Kind::ReferenceGrant => AnyObject::Grant(self.reading(document, kubernetes::grant)),
        }
    }

    fn spec<S: Spec>(self, document: &Map<String, Value>) -> Arc<Object<S>> {
        self.read_spec(document, schema::read)
    }

    fn read_spec<T>(
        mut self,
        document: &Map<String, Value>,
        read: impl FnOnce(Value, Spelling) -> (T, Vec<Problem>),
    ) -> Arc<Object<T>> {
        let spelling = match self.key.group {
            Group::Emissary => Spelling::Snake,
            _ => Spelling::Camel,
        };
        let spec = document.get("spec").cloned().unwrap_or_default();
        let (spec, problems) = read(spec, spelling);
        self.problems.extend(problems);
        self.with(spec)
    }

    fn reading<T>(
        mut self,
        document: &Map<String, Value>,
        read: impl Fn(&Map<String, Value>, &mut Vec<Problem>) -> T,
    ) -> Arc<Object<T>> {
        let spec = read(document, &mut self.problems);
        self.with(spec)
    }

    fn with<T>(mut self, spec: T) -> Arc<Object<T>> {
        self.problems.sort();
        Arc::new(Object {
            key: self.key,
            origin: self.origin,
            meta: self.meta,
            spec,
            problems: self.problems.into(),
            positions: self.positions,
        })
    }
}

/// Checks what is around the spec of a kind that Postern itself answers for.
fn envelope(
    document: &Map<String, Value>,
    version: &str,
    key: &ObjectKey,
    origin: &Origin,
    problems: &mut Vec<Problem>,
) {
    if key.group == Group::Emissary && version != EMISSARY_VERSION {
        problems.push(Problem {
            field: "apiVersion".to_owned(),
            kind: ProblemKind::InvalidValue,
            message: format!("version {version} of {} is not read", key.group.name()),
            next: format!(
                "Convert the object to {}/{EMISSARY_VERSION}",
                key.group.name()
            ),
        });
    }
    for name in document.keys() {
        if !["apiVersion", "kind", "metadata", "spec", "status"].contains(&name.as_str()) {
            problems.push(field::unknown(name));
        }
    }
    // Names in annotations are older than the rule.
    if !matches!(origin, Origin::Annotation { .. }) && !meta::is_name(&key.name) {
        problems.push(Problem {
            field: "metadata.name".to_owned(),
            kind: ProblemKind::InvalidValue,
            message: "the name is not one that Kubernetes accepts".to_owned(),
            next: "Write lower-case letters, digits, `-` and `.`, at most 253 of them".to_owned(),
        });
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields
        .get(name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
