//! Emissary's `getambassador.io/config` annotation: objects written inside of a Service.
//!
//! They are put into the shape of a manifest and decoded like one. What they leave out they have from their carrier.

use serde_json::{Map, Value, json};

use crate::resource::{
    AnyObject, Kind, Meta, ObjectKey, Origin, Positions,
    decode::{self, Decoded},
};

use super::yaml;

/// The annotation's name.
pub use crate::resource::CONFIG_ANNOTATION as NAME;

/// What an annotation holds.
#[derive(Debug, Default)]
pub struct Carried {
    /// Each object with its manifest.
    pub objects: Vec<(Value, AnyObject)>,
    /// What could not be read: one sentence each, without the final period.
    pub problems: Vec<String>,
}

/// The objects in the annotation of an object. Only a Service carries any.
pub fn objects(of: &AnyObject) -> Carried {
    let mut carried = Carried::default();
    let Some(text) = of.meta().annotations.get(NAME) else {
        return carried;
    };
    let (of, meta) = (of.key(), of.meta());
    if of.kind != Kind::Service {
        return carried;
    }
    let reading = yaml::read(text.as_bytes());
    for error in reading.errors {
        let message = format!("annotation {NAME}, line {}: {}", error.at, error.message);
        carried.problems.push(message);
    }
    for document in reading.documents {
        match manifest(document.value, of, meta) {
            Ok(manifest) => decode(manifest, of, &mut carried),
            Err(why) => carried.problems.push(format!("annotation {NAME}: {why}")),
        }
    }
    carried
}

fn decode(manifest: Value, of: &ObjectKey, carried: &mut Carried) {
    let origin = Origin::Annotation { of: of.clone() };
    let decoded = decode::object(&manifest, origin, &of.namespace, Positions::default());
    match decoded {
        Decoded::Object(object) => carried.objects.push((manifest, object)),
        Decoded::UnknownKind(version, kind) => carried.problems.push(format!(
            "annotation {NAME}: {kind} of {version} is not a kind that can be written there"
        )),
        Decoded::Invalid(why) => carried.problems.push(format!("annotation {NAME}: {why}")),
    }
}

/// A manifest from either form: with `metadata` and `spec`, or flat.
fn manifest(document: Value, of: &ObjectKey, carrier: &Meta) -> Result<Value, String> {
    let Value::Object(mut fields) = document else {
        return Err("a document is not an object".to_owned());
    };
    let version = fields.remove("apiVersion").unwrap_or_default();
    let version = version.as_str().unwrap_or_default();
    if !version.starts_with("getambassador.io/") && !version.starts_with("ambassador/") {
        return Err(format!("apiVersion `{version}` cannot be written there"));
    }
    let kind = fields.remove("kind").unwrap_or_default();
    let (mut metadata, mut spec) = if let Some(Value::Object(spec)) = fields.remove("spec") {
        (object(fields.remove("metadata")), spec)
    } else {
        flat(fields)
    };
    for name in ["ambassador_id", "ambassadorId"] {
        if let Some(id) = spec.get_mut(name)
            && id.is_string()
        {
            *id = json!([id.take()]);
        }
    }
    // Whoever may write a Service in one namespace may not write objects in another.
    let namespace = metadata
        .entry("namespace")
        .or_insert_with(|| Value::from(&*of.namespace));
    if *namespace != *of.namespace {
        return Err(format!(
            "an object in it must be of the Service's own namespace, {}",
            of.namespace
        ));
    }
    metadata
        .entry("labels")
        .or_insert_with(|| json!(*carrier.labels));
    // Among carried objects the carrier's age decides: these have no life of their own.
    metadata.insert("generation".to_owned(), Value::from(carrier.generation));
    match carrier.created.map(jiff::Timestamp::from_second) {
        Some(Ok(created)) => metadata.insert(
            "creationTimestamp".to_owned(),
            Value::from(created.to_string()),
        ),
        _ => metadata.remove("creationTimestamp"),
    };
    Ok(json!({
        "apiVersion": "getambassador.io/v3alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }))
}

/// Tells what belongs to the metadata from the rest.
fn flat(fields: Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    let mut metadata = Map::new();
    let mut spec = Map::new();
    for (name, value) in fields {
        match name.as_str() {
            "name" | "namespace" => {
                metadata.insert(name, value);
            }
            "metadata_labels" => {
                metadata.insert("labels".to_owned(), value);
            }
            "generation" | "status" => {}
            _ => {
                spec.insert(name, value);
            }
        }
    }
    (metadata, spec)
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}
