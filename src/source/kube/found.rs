//! From an object's JSON to what Postern keeps of it.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::resource::Resource;
use crate::{
    resource::{
        AnyObject, Kind, ObjectKey, Origin, Positions,
        decode::{self, Decoded},
    },
    source::annotation,
};

/// What a watch tells of an object.
#[derive(Debug)]
pub(super) enum Found {
    Object {
        object: AnyObject,
        /// Of all that anybody reads: equal digests are equal objects, whatever their resource versions.
        digest: [u8; 32],
        carried: Vec<Carried>,
        /// What is wrong with its annotation.
        problems: Vec<String>,
        /// All that anybody reads, as JSON, where it is asked for.
        document: Option<Arc<str>>,
    },
    /// A Secret, of which only the metadata is known.
    Secret { key: ObjectKey, version: Arc<str> },
    /// Not an object that can be decoded, and why; with its key if that at least can be read.
    Unreadable { key: Option<ObjectKey>, why: String },
}

/// An object from an annotation.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) object: AnyObject,
    /// Of the manifest and of where it stands: equal digests are equal contents.
    pub(super) digest: [u8; 32],
}

/// Something that happened to an object.
#[derive(Debug)]
pub(super) enum Event {
    Put(Found),
    Gone(ObjectKey),
}

// === impl Found ===

impl Found {
    pub(super) fn new(resource: &Resource, manifest: Value) -> Self {
        Self::read(resource, manifest, false)
    }

    /// The same with the document.
    pub(super) fn with_document(resource: &Resource, manifest: Value) -> Self {
        Self::read(resource, manifest, true)
    }

    fn read(resource: &Resource, mut manifest: Value, keep: bool) -> Self {
        let key = resource.key(&manifest);
        if resource.kind == Kind::Secret {
            return match key {
                Some(key) => Self::Secret {
                    version: version(&manifest).unwrap_or_default().into(),
                    key,
                },
                None => Self::nameless(),
            };
        }
        if !prepare(resource, &mut manifest) {
            return Self::nameless();
        }
        match decode::object(&manifest, Origin::Cluster, "", Positions::default()) {
            Decoded::Object(object) => Self::object(object, &lasting(manifest), keep),
            Decoded::Invalid(why) => Self::Unreadable { key, why },
            Decoded::UnknownKind(version, kind) => Self::Unreadable {
                key,
                why: format!("Postern reads no kind `{kind}` of `{version}`"),
            },
        }
    }

    fn object(object: AnyObject, text: &str, keep: bool) -> Self {
        let found = annotation::objects(&object);
        let carried = found.objects.into_iter().map(|(manifest, object)| Carried {
            digest: sha256(&format!(
                "{manifest}{:?}",
                (object.origin(), object.positions())
            )),
            object,
        });
        Self::Object {
            object,
            digest: sha256(text),
            carried: carried.collect(),
            problems: found.problems,
            document: keep.then(|| text.into()),
        }
    }

    fn nameless() -> Self {
        Self::Unreadable {
            key: None,
            why: "an object in the list has no name".to_owned(),
        }
    }
}

/// The Secret of an answer to a request for one, with its document if that is asked for. What is wrong with it is not told: it
/// might tell what is in it.
pub(super) fn secret(
    resource: &Resource,
    mut manifest: Value,
    keep: bool,
) -> Option<(AnyObject, Option<Arc<str>>)> {
    if !prepare(resource, &mut manifest) {
        return None;
    }
    match decode::object(&manifest, Origin::Cluster, "", Positions::default()) {
        Decoded::Object(object) => Some((object, keep.then(|| lasting(manifest).into()))),
        Decoded::Invalid(_) | Decoded::UnknownKind(..) => None,
    }
}

/// A manifest without what changes whenever somebody says what became of the object: Postern itself does.
fn lasting(mut manifest: Value) -> String {
    if let Value::Object(fields) = &mut manifest {
        fields.remove("status");
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            metadata.remove("resourceVersion");
        }
    }
    manifest.to_string()
}

fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// The resource version of an object or a list.
pub(super) fn version(manifest: &Value) -> Option<&str> {
    let version = manifest.get("metadata")?.get("resourceVersion")?.as_str()?;
    (!version.is_empty()).then_some(version)
}

/// Says what it is, which items of a list do not, and drops what nobody reads and is often larger than the rest.
pub(super) fn prepare(resource: &Resource, manifest: &mut Value) -> bool {
    let Value::Object(fields) = manifest else {
        return false;
    };
    fields.insert("apiVersion".to_owned(), resource.api_version().into());
    fields.insert("kind".to_owned(), resource.kind_name.into());
    let Some(Value::Object(metadata)) = fields.get_mut("metadata") else {
        return false;
    };
    metadata.remove("managedFields");
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    true
}
