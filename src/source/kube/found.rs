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
    /// Of the manifest: equal digests are equal contents.
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
    pub(super) fn new(resource: &Resource, mut manifest: Value) -> Self {
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
            Decoded::Object(object) => Self::object(object, digest(manifest)),
            Decoded::Invalid(why) => Self::Unreadable { key, why },
            Decoded::UnknownKind(version, kind) => Self::Unreadable {
                key,
                why: format!("Postern reads no kind `{kind}` of `{version}`"),
            },
        }
    }

    fn object(object: AnyObject, digest: [u8; 32]) -> Self {
        let found = annotation::objects(&object);
        let carried = found.objects.into_iter().map(|(manifest, object)| Carried {
            object,
            digest: sha256(&manifest),
        });
        Self::Object {
            object,
            digest,
            carried: carried.collect(),
            problems: found.problems,
        }
    }

    fn nameless() -> Self {
        Self::Unreadable {
            key: None,
            why: "an object in the list has no name".to_owned(),
        }
    }
}

/// The Secret of an answer to a request for one. What is wrong with it is not told: it might tell what is in it.
pub(super) fn secret(resource: &Resource, mut manifest: Value) -> Option<AnyObject> {
    if !prepare(resource, &mut manifest) {
        return None;
    }
    match decode::object(&manifest, Origin::Cluster, "", Positions::default()) {
        Decoded::Object(object) => Some(object),
        Decoded::Invalid(_) | Decoded::UnknownKind(..) => None,
    }
}

/// Of a manifest without what changes whenever somebody says what became of the object: Postern itself does.
fn digest(mut manifest: Value) -> [u8; 32] {
    if let Value::Object(fields) = &mut manifest {
        fields.remove("status");
        if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
            metadata.remove("resourceVersion");
        }
    }
    sha256(&manifest)
}

fn sha256(manifest: &Value) -> [u8; 32] {
    Sha256::digest(manifest.to_string().as_bytes()).into()
}

/// The resource version of an object or a list.
pub(super) fn version(manifest: &Value) -> Option<&str> {
    let version = manifest.get("metadata")?.get("resourceVersion")?.as_str()?;
    (!version.is_empty()).then_some(version)
}

/// Says what it is, which items of a list do not, and drops what nobody reads and is often larger than the rest.
fn prepare(resource: &Resource, manifest: &mut Value) -> bool {
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
