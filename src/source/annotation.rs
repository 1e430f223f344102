//! Emissary's `getambassador.io/config` annotation: objects written inside of a Service or an Ingress.
//!
//! They are put into the shape of a manifest of today's version and decoded like one. What they leave out they have from
//! their carrier.

mod version;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::resource::{
    AnyObject, Kind, Meta, ObjectKey, Origin, Position,
    decode::{self, Decoded},
};

use super::yaml::{self, Document};
use version::Version;

/// The annotation's name.
pub use crate::resource::CONFIG_ANNOTATION as NAME;

/// More documents than anybody writes into an annotation: what follows is not read, and said so.
const MAX_DOCUMENTS: usize = 512;
/// Kinds that protect what others serve: one that cannot be read must not be as if it were not there.
const PROTECTING: [&str; 2] = ["AuthService", "RateLimitService"];

/// What an annotation holds.
#[derive(Debug, Default)]
pub struct Carried {
    /// Each object with its manifest.
    pub objects: Vec<(Value, AnyObject)>,
    /// What could not be read: one sentence each, without the final period.
    pub problems: Vec<String>,
}

/// What the version of a real object begins with.
const EMISSARY_PREFIX: &str = "getambassador.io/";

/// A document in the shape of a manifest.
struct Manifest {
    value: Value,
    positions: BTreeMap<String, Position>,
}

/// Whether a kind of Kubernetes can carry any.
pub fn is_carrier(kind: Kind) -> bool {
    matches!(kind, Kind::Service | Kind::Ingress)
}

/// The objects in the annotation of an object. Only a Service and an Ingress carry any.
pub fn objects(of: &AnyObject) -> Carried {
    let mut carried = Carried::default();
    let Some(text) = of.meta().annotations.get(NAME) else {
        return carried;
    };
    let (of, meta) = (of.key(), of.meta());
    if !is_carrier(of.kind) {
        return carried;
    }
    let reading = yaml::read(text.as_bytes());
    let is_broken = !reading.errors.is_empty();
    for error in reading.errors {
        carried.problem(error.at, &error.message);
    }
    for (index, document) in reading.documents.into_iter().enumerate() {
        let at = document.at;
        if index == MAX_DOCUMENTS {
            carried.problem(at, &format!("only {MAX_DOCUMENTS} objects are read"));
            break;
        }
        match manifest(document, of, meta) {
            Ok(manifest) => carried.decode(manifest, of, at),
            Err(why) => carried.problem(at, &why),
        }
    }
    if is_broken {
        carried.stand_in(text, of, meta);
    }
    carried
}

// === impl Carried ===

impl Carried {
    fn problem(&mut self, at: Position, why: &str) {
        self.problems
            .push(format!("annotation {NAME}, line {}: {why}", at.line));
    }

    fn decode(&mut self, manifest: Manifest, of: &ObjectKey, at: Position) {
        let origin = Origin::Annotation { of: of.clone(), at };
        let positions = manifest.positions.into();
        match decode::object(&manifest.value, origin, &of.namespace, positions) {
            Decoded::Object(object) => self.objects.push((manifest.value, object)),
            Decoded::UnknownKind(version, kind) => self.problem(
                at,
                &format!("{kind} of {version} is not a kind that can be written there"),
            ),
            Decoded::Invalid(why) => self.problem(at, &why),
        }
    }

    /// Puts an empty object in the place of one that protects and cannot be read any more: it refuses what it was to protect.
    fn stand_in(&mut self, text: &str, of: &ObjectKey, meta: &Meta) {
        for kind in PROTECTING {
            let has = { self.objects.iter() }.any(|(_, object)| object.key().kind.name() == kind);
            let Some(line) = line_of(text, kind).filter(|_| !has) else {
                continue;
            };
            let at = Position { line, column: 1 };
            let name = Map::from_iter([("name".to_owned(), Value::from(&*of.name))]);
            let Ok(metadata) = metadata(name, of, meta) else {
                continue;
            };
            let manifest = Manifest {
                value: json!({
                    "apiVersion": version::NOW,
                    "kind": kind,
                    "metadata": metadata,
                    "spec": {},
                }),
                positions: BTreeMap::new(),
            };
            self.decode(manifest, of, at);
        }
    }
}

/// The line that says that an object is of a kind.
fn line_of(text: &str, kind: &str) -> Option<u32> {
    let said = |line: &str| {
        let value = line
            .split_once("kind")?
            .1
            .trim_start_matches(['"', '\'', ' ']);
        let value = value.strip_prefix(':')?;
        Some(value.trim_start_matches(['"', '\'', ' ']).starts_with(kind))
    };
    let index = text.lines().position(|line| said(line).unwrap_or(false))?;
    u32::try_from(index + 1).ok()
}

/// Writes an object of an older version of `getambassador.io`, with `metadata` and `spec`, as one of today's. Others stay as
/// they are.
pub fn as_of_today(manifest: &mut Value) {
    let text = |name: &str| {
        let text = manifest.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let (version, kind) = (text("apiVersion"), text("kind"));
    if version == version::NOW || !version.starts_with(EMISSARY_PREFIX) {
        return;
    }
    let Ok(version) = version.parse::<Version>() else {
        return;
    };
    let name = manifest.pointer("/metadata/name").and_then(Value::as_str);
    let name = name.unwrap_or_default().to_owned();
    let Some(Value::Object(spec)) = manifest.get_mut("spec") else {
        return;
    };
    ids_as_list(spec);
    let kind = version.convert(&kind, &name, spec);
    manifest["apiVersion"] = Value::from(version::NOW);
    manifest["kind"] = Value::from(kind);
}

/// One id of an installation could be written by itself.
fn ids_as_list(spec: &mut Map<String, Value>) {
    for name in ["ambassador_id", "ambassadorId"] {
        if let Some(id) = spec.get_mut(name)
            && id.is_string()
        {
            *id = json!([id.take()]);
        }
    }
}

/// A manifest from either form: with `metadata` and `spec`, or flat.
fn manifest(document: Document, of: &ObjectKey, carrier: &Meta) -> Result<Manifest, String> {
    let Value::Object(mut fields) = document.value else {
        return Err("a document is not an object".to_owned());
    };
    let mut text = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let version: Version = text("apiVersion").parse()?;
    let kind = text("kind");
    let (own, mut spec, mut manifest, positions) = match fields.remove("spec") {
        Some(Value::Object(spec)) => {
            let own = object(fields.remove("metadata"));
            (own, spec, fields, document.positions)
        }
        Some(_) => return Err("`spec` is not an object".to_owned()),
        None => {
            let (own, spec) = flat(fields);
            (own, spec, Map::new(), below_spec(document.positions))
        }
    };
    ids_as_list(&mut spec);
    let name = own.get("name").and_then(Value::as_str).unwrap_or_default();
    let kind = version.convert(&kind, name, &mut spec);
    let metadata = metadata(own, of, carrier)?;
    manifest.extend([
        ("apiVersion".to_owned(), Value::from(version::NOW)),
        ("kind".to_owned(), Value::from(kind)),
        ("metadata".to_owned(), Value::Object(metadata)),
        ("spec".to_owned(), Value::Object(spec)),
    ]);
    Ok(Manifest {
        value: Value::Object(manifest),
        positions,
    })
}

/// The metadata of a carried object: what it does not say itself is its carrier's.
fn metadata(
    mut metadata: Map<String, Value>,
    of: &ObjectKey,
    carrier: &Meta,
) -> Result<Map<String, Value>, String> {
    // Whoever may write a Service in one namespace may not write objects in another.
    let namespace = metadata
        .entry("namespace")
        .or_insert_with(|| Value::from(&*of.namespace));
    if *namespace != *of.namespace {
        return Err(format!(
            "an object in it must be of the {}'s own namespace, {}",
            of.kind.name(),
            of.namespace
        ));
    }
    metadata
        .entry("labels")
        .or_insert_with(|| json!(*carrier.labels));
    // Among carried objects the carrier's age decides: these have no life of their own.
    metadata.insert(
        "generation".to_owned(),
        Value::from(carrier.revision.generation),
    );
    match carrier.revision.created.map(jiff::Timestamp::from_second) {
        Some(Ok(created)) => metadata.insert(
            "creationTimestamp".to_owned(),
            Value::from(created.to_string()),
        ),
        _ => metadata.remove("creationTimestamp"),
    };
    Ok(metadata)
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

/// The positions of a flat document by the paths that its fields have in a manifest.
fn below_spec(positions: BTreeMap<String, Position>) -> BTreeMap<String, Position> {
    let path = |path: String| match path.as_str() {
        "apiVersion" | "kind" => path,
        "name" | "namespace" => format!("metadata.{path}"),
        _ => format!("spec.{path}"),
    };
    positions
        .into_iter()
        .map(|(found, at)| (path(found), at))
        .collect()
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
