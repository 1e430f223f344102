//! The conversion itself: manifests to manifests, and what becomes of each field.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{module, naming::Naming, rules};
use crate::{
    cli::docs::emissary::said,
    config::compat::Verdict,
    crd::{
        EMISSARY_GROUP, VERSION,
        manifest::emissary::KINDS,
        schema::{Fate, ProblemKind, respell, tree::Support},
    },
    resource::{
        Group, Origin, Positions,
        decode::{self, Decoded},
        key::KINDS as SERVED,
    },
    source::{annotation, dir::Manifest},
};

/// Where the settings are from.
const MADE: &str = "made by the conversion";

/// What the conversion is for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Of manifests that name none.
    pub default_namespace: String,
    /// Postern's own.
    pub namespace: String,
    pub installation: String,
    /// Whether the settings begin with Emissary's preset, where there are none.
    pub preset: bool,
    /// What protects and traffic may go without.
    pub ignore: Vec<String>,
}

/// What became of manifests.
#[derive(Debug, Default)]
pub struct Conversion {
    /// One for each object of Emissary-ingress, and the settings.
    pub objects: Vec<Converted>,
    /// What else there was, without annotations that are objects of their own now.
    pub rest: Vec<Value>,
    /// Whose annotation is to be removed: `service apps/quote`.
    pub carriers: Vec<String>,
    /// What could not be read.
    pub problems: Vec<String>,
}

/// What became of one object.
#[derive(Debug)]
pub struct Converted {
    /// `Mapping apps/quote`, as it was.
    pub was: String,
    pub at: String,
    /// None where it is not needed any more, or never counted.
    pub manifest: Option<Value>,
    /// What there is to say about it as a whole: sentences.
    pub notes: Vec<String>,
    pub fields: Vec<FieldVerdict>,
}

/// What becomes of a field.
#[derive(Debug)]
pub struct FieldVerdict {
    /// As it was written.
    pub field: String,
    pub verdict: Verdict,
    /// How, why, or what instead.
    pub text: String,
    /// Where it went, if not to the field of its name.
    pub becomes: Option<String>,
}

/// Converts what is of Emissary-ingress, and leaves the rest alone.
pub fn convert(manifests: Vec<Manifest>, asked: &Asked) -> Conversion {
    let mut conversion = Conversion::default();
    let found = conversion.sort_out(manifests, asked);
    let mut naming = Naming::default();
    for manifest in &conversion.rest {
        naming.take(manifest);
    }
    let (mut settings, is_new) = conversion.settings(asked);
    let before = settings.clone();
    let module = conversion.in_force(&found, &settings, asked);
    for (index, Manifest { value, at }) in found.into_iter().enumerate() {
        let was = name_of(&value);
        let mut converted = match module {
            Some(module) if module == index => convert_module(value, &mut settings["spec"]),
            Some(_) if is_module(&value) && is_ours(&value, asked) => Converted {
                notes: vec!["Another Module counts, so that this one is left out.".to_owned()],
                ..Converted::of(None)
            },
            _ => convert_object(value),
        };
        converted.was = was;
        converted.at = at;
        if let Some(name) = converted.manifest.as_mut().and_then(|m| naming.give(m)) {
            converted.notes.push(format!("It is called `{name}` now."));
        }
        conversion.objects.push(converted);
    }
    for converted in &mut conversion.objects {
        if let Some(manifest) = &mut converted.manifest {
            naming.mend(manifest);
        }
    }
    let says_something = settings["spec"] != json!({});
    if (is_new && says_something) || settings != before {
        conversion.objects.push(Converted {
            was: name_of(&settings),
            at: MADE.to_owned(),
            manifest: Some(settings),
            notes: vec!["The settings that the converted objects count on.".to_owned()],
            fields: Vec::new(),
        });
    } else if !is_new {
        conversion.rest.push(settings);
    }
    conversion
}

// === impl Conversion ===

impl Conversion {
    /// Whether there was nothing of Emissary-ingress.
    pub fn is_empty(&self) -> bool {
        self.objects.iter().all(|object| object.at == MADE) && self.problems.is_empty()
    }

    /// Takes apart what is to be converted from what is not: real objects first, then those in annotations that count.
    fn sort_out(&mut self, manifests: Vec<Manifest>, asked: &Asked) -> Vec<Manifest> {
        let mut found = Vec::new();
        let mut carried = Vec::new();
        for Manifest { mut value, at } in manifests {
            annotation::as_of_today(&mut value);
            let group = value.get("apiVersion").and_then(Value::as_str);
            if group.is_some_and(|group| group.starts_with(EMISSARY_GROUP)) {
                fill_namespace(&mut value, &asked.default_namespace);
                found.push(Manifest { value, at });
                continue;
            }
            self.take_annotation(&mut value, &at, asked, &mut carried);
            self.rest.push(value);
        }
        // As it counts: an object of its own, then the first carrier.
        carried.sort_by(|a, b| a.0.cmp(&b.0));
        let mut names: BTreeSet<_> = found.iter().map(|found| name_of(&found.value)).collect();
        for (_, manifest) in carried {
            let name = name_of(&manifest.value);
            if names.insert(name.clone()) {
                found.push(manifest);
            } else {
                self.problems.push(format!(
                    "{name} of {} does not count: there is another of that name",
                    manifest.at
                ));
            }
        }
        found
    }

    fn take_annotation(
        &mut self,
        value: &mut Value,
        at: &str,
        asked: &Asked,
        carried: &mut Vec<((bool, String, String), Manifest)>,
    ) {
        let pointer = format!(
            "/metadata/annotations/{}",
            annotation::NAME.replace('/', "~1")
        );
        if value.pointer(&pointer).is_none() {
            return;
        }
        let namespace = &asked.default_namespace;
        let decoded = decode::object(value, Origin::Cluster, namespace, Positions::default());
        let Decoded::Object(object) = decoded else {
            return;
        };
        let found = annotation::objects(&object);
        let key = object.key();
        if !annotation::is_carrier(key.kind) {
            return;
        }
        let owner = format!("{} {}/{}", key.kind.name(), key.namespace, key.name);
        for why in found.problems {
            self.problems.push(format!("{owner} ({at}): {why}"));
        }
        for (mut value, object) in found.objects {
            strip_made_up(&mut value);
            let line = match object.origin() {
                Origin::Annotation { at, .. } => at.line,
                Origin::Cluster | Origin::File { .. } => 1,
            };
            let at = format!("{at}, annotation of {owner}, line {line}");
            let order = (
                key.kind == crate::resource::Kind::Ingress,
                key.namespace.to_string(),
                key.name.to_string(),
            );
            carried.push((order, Manifest { value, at }));
        }
        if let Some(Value::Object(annotations)) = value.pointer_mut("/metadata/annotations") {
            annotations.remove(annotation::NAME);
        }
        self.carriers.push(owner);
    }

    /// Which of the Modules counts: that of the own namespace, else the first that may settle anything.
    fn in_force(&self, found: &[Manifest], settings: &Value, asked: &Asked) -> Option<usize> {
        let spec = &settings["spec"];
        // The preset gives way to claims.
        let has_claims = self
            .rest
            .iter()
            .any(|manifest| manifest["kind"] == "RouteClaim");
        let anywhere =
            spec["preset"] == "emissary" && spec.get("instanceNamespaces").is_none() && !has_claims;
        let named = spec["instanceNamespaces"].as_array();
        let may_settle = |namespace: &str| {
            anywhere
                || namespace == asked.namespace
                || named.is_some_and(|named| named.iter().any(|name| name == namespace))
        };
        let modules = found.iter().enumerate().filter(|(_, manifest)| {
            let value = &manifest.value;
            is_module(value) && is_ours(value, asked) && may_settle(namespace_of(value, ""))
        });
        let first = modules.min_by_key(|(_, manifest)| {
            let namespace = namespace_of(&manifest.value, "").to_owned();
            (namespace != asked.namespace, namespace)
        });
        first.map(|(index, _)| index)
    }

    /// The settings in force, taken out of the rest; or new ones.
    fn settings(&mut self, asked: &Asked) -> (Value, bool) {
        let at = { self.rest.iter() }.position(|manifest| {
            manifest["kind"] == "GatewaySettings"
                && *namespace_of(manifest, &asked.default_namespace) == *asked.namespace
                && is_ours(manifest, asked)
        });
        let is_new = at.is_none();
        let mut settings = match at {
            Some(at) => self.rest.remove(at),
            None => json!({
                "apiVersion": format!("{}/{VERSION}", Group::Postern.name()),
                "kind": "GatewaySettings",
                "metadata": {"name": "settings", "namespace": asked.namespace},
                "spec": {},
            }),
        };
        if !settings["spec"].is_object() {
            settings["spec"] = json!({});
        }
        let spec = &mut settings["spec"];
        if is_new && asked.preset {
            spec["preset"] = json!("emissary");
        }
        let ignored = spec.pointer("/emissary/ignore").and_then(Value::as_array);
        let mut ignored = ignored.cloned().unwrap_or_default();
        let more = asked.ignore.iter().map(|name| Value::from(name.as_str()));
        let more: Vec<_> = more.filter(|name| !ignored.contains(name)).collect();
        if !more.is_empty() {
            ignored.extend(more);
            module::set(spec, "emissary.ignore", Value::from(ignored));
        }
        if is_new && *spec != json!({}) && asked.installation != "default" {
            spec["ambassadorId"] = json!([asked.installation]);
        }
        (settings, is_new)
    }
}

fn is_module(manifest: &Value) -> bool {
    manifest["kind"] == "Module" && manifest["metadata"]["name"] == "ambassador"
}

/// Whether an object is for the installation, as far as its ids can be read.
fn is_ours(manifest: &Value, asked: &Asked) -> bool {
    let spec = &manifest["spec"];
    let ids = spec
        .get("ambassador_id")
        .or_else(|| spec.get("ambassadorId"));
    match ids {
        Some(Value::Array(ids)) => ids.iter().any(|id| *id == *asked.installation),
        _ => asked.installation == "default",
    }
}

fn convert_module(mut value: Value, settings: &mut Value) -> Converted {
    clean(&mut value);
    let mut fields = Vec::new();
    let mut is_needed = true;
    if let Some(Value::Object(config)) = value.pointer_mut("/spec/config") {
        fields = module::fold(config, settings);
        is_needed = !config.is_empty();
    }
    let notes = if is_needed {
        vec!["It stays, as Postern reads it, with the keys that have no other place.".to_owned()]
    } else {
        vec!["It is not needed any more.".to_owned()]
    };
    Converted {
        notes,
        fields,
        ..Converted::of(is_needed.then_some(value))
    }
}

fn convert_object(mut value: Value) -> Converted {
    let kind = value["kind"].as_str().unwrap_or_default().to_owned();
    let literals = literals(&value);
    clean(&mut value);
    let row = KINDS.iter().find(|row| row.name == kind);
    let spec = value.get_mut("spec").map(Value::take).unwrap_or_default();
    let (mut respelled, used) = match row {
        Some(row) => respell((row.tree)(), spec.clone()),
        None => (spec.clone(), Vec::new()),
    };
    let mut fields: Vec<_> = used.into_iter().map(|used| verdict(&kind, used)).collect();
    fields.extend(literals);
    let has_counterpart = SERVED
        .iter()
        .any(|row| row.0 == Group::Postern && row.2 == kind);
    let mut converted = Converted::of(None);
    if has_counterpart {
        for field in rules::obey(&kind, &mut respelled) {
            converted.notes.push(format!(
                "`{field}` does not count beside another field, and is left out."
            ));
        }
        value["apiVersion"] = Value::from(format!("{}/{VERSION}", Group::Postern.name()));
        value["spec"] = respelled;
    } else {
        value["spec"] = spec;
        converted
            .notes
            .push("It stays as it is: Postern reads it, and has none of its own.".to_owned());
    }
    converted.fields = fields;
    converted.manifest = Some(value);
    converted
}

fn verdict(kind: &str, used: crate::crd::schema::Used) -> FieldVerdict {
    let (verdict, text) = match used.fate {
        Fate::Served => said(kind, &used.camel, Support::Full),
        Fate::Off => (Verdict::NoEffect, "It asks for nothing, and is left out."),
        Fate::NoEffect => said(kind, &used.camel, Support::NoEffect),
        Fate::Refused => said(kind, &used.camel, Support::NotImplemented),
        Fate::Unknown => (
            Verdict::Refused,
            "There is no such field, or it is there twice.",
        ),
    };
    FieldVerdict {
        field: used.written,
        verdict,
        text: text.to_owned(),
        becomes: None,
    }
}

/// Fields in which Emissary-ingress would put variables of its environment.
fn literals(value: &Value) -> Vec<FieldVerdict> {
    let decoded = decode::object(value, Origin::Cluster, "", Positions::default());
    let Decoded::Object(object) = decoded else {
        return Vec::new();
    };
    let problems = object.problems().iter();
    let literal = problems.filter(|problem| problem.kind == ProblemKind::Literal);
    literal
        .map(|problem| FieldVerdict {
            field: problem.field.trim_start_matches("spec.").to_owned(),
            verdict: Verdict::Differs,
            text: "A variable of the environment is not put in its place.".to_owned(),
            becomes: None,
        })
        .collect()
}

// === impl Converted ===

impl Converted {
    fn of(manifest: Option<Value>) -> Self {
        Self {
            was: String::new(),
            at: String::new(),
            manifest,
            notes: Vec::new(),
            fields: Vec::new(),
        }
    }
}

/// Takes out what the API server writes itself. The age stays: it decides who owns what, in a folder too.
fn clean(value: &mut Value) {
    let Value::Object(fields) = value else { return };
    fields.remove("status");
    let Some(Value::Object(metadata)) = fields.get_mut("metadata") else {
        return;
    };
    for name in [
        "uid",
        "resourceVersion",
        "generation",
        "managedFields",
        "selfLink",
    ] {
        metadata.remove(name);
    }
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
}

/// What an object in an annotation has of its carrier, and nobody would write.
fn strip_made_up(value: &mut Value) {
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        metadata.remove("generation");
        if metadata.get("labels") == Some(&Value::Object(Map::new())) {
            metadata.remove("labels");
        }
    }
}

fn fill_namespace(value: &mut Value, default: &str) {
    if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
        metadata
            .entry("namespace")
            .or_insert_with(|| Value::from(default));
    }
}

fn namespace_of<'v>(value: &'v Value, default: &'v str) -> &'v str {
    let namespace = value.pointer("/metadata/namespace").and_then(Value::as_str);
    namespace.unwrap_or(default)
}

/// `Mapping apps/quote`
pub(super) fn name_of(value: &Value) -> String {
    let text = |pointer: &str| {
        value
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    format!(
        "{} {}/{}",
        text("/kind"),
        text("/metadata/namespace"),
        text("/metadata/name")
    )
}
