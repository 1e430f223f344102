//! From a tree to a structural schema: no references, no nulls, and a bound on all that a rule could look at.

use serde_json::{Map, Value, json};

use crate::crd::schema::{
    Node, Spec,
    tree::{Field, Fields, Names, Shape, Support},
};

/// The schema of a spec with its rules.
pub(super) fn spec<S: Spec>() -> Value {
    let mut schema = named(S::tree(), Names::Camel);
    if !S::RULES.is_empty() {
        let rules = S::RULES.iter().map(|rule| {
            json!({
                "rule": rule.cel,
                "message": rule.message,
                "fieldPath": format!(".{}", rule.field),
            })
        });
        schema["x-kubernetes-validations"] = rules.collect();
    }
    schema
}

/// The schema of a node, with its fields named in one of the spellings.
pub(super) fn named(node: &Node, names: Names) -> Value {
    let mut schema = match &node.shape {
        Shape::Object(fields) => object(fields, names),
        Shape::Map { values, max } => json!({
            "type": "object",
            "maxProperties": max,
            "additionalProperties": named(values, names),
        }),
        Shape::List { items, max } => json!({
            "type": "array",
            "maxItems": max,
            "items": named(items, names),
        }),
        Shape::Text { max } => json!({"type": "string", "maxLength": max}),
        Shape::Choice(words) => {
            let words: Vec<_> = words.iter().map(|(word, _)| word).collect();
            json!({"type": "string", "enum": words})
        }
        Shape::Whole { min, max } => whole(*min, *max),
        Shape::Number(numbers) => json!({"type": "integer", "format": "int32", "enum": numbers}),
        Shape::Flag => json!({"type": "boolean"}),
        Shape::Any => json!({"x-kubernetes-preserve-unknown-fields": true}),
    };
    let description = description(node);
    if !description.is_empty() {
        schema["description"] = json!(description);
    }
    schema
}

fn object(fields: &Fields, names: Names) -> Value {
    let mut properties = Map::new();
    for field in &fields.list {
        let mut schema = named(&field.node, names.within(field));
        let note = note(field);
        if !note.is_empty() {
            let text = schema["description"].as_str().unwrap_or_default();
            schema["description"] = json!(format!("{text} {note}").trim_start());
        }
        properties.insert(names.of(field).to_owned(), schema);
    }
    let mut schema = json!({"type": "object", "properties": properties});
    let required: Vec<_> = fields
        .list
        .iter()
        .filter(|field| field.required)
        .map(|field| names.of(field))
        .collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn whole(min: i64, max: i64) -> Value {
    let is_small = min >= i64::from(i32::MIN) && max <= i64::from(i32::MAX);
    let mut schema = json!({"type": "integer", "format": if is_small { "int32" } else { "int64" }});
    if ![i64::MIN, i64::from(i32::MIN)].contains(&min) {
        schema["minimum"] = json!(min);
    }
    if ![i64::MAX, i64::from(i32::MAX)].contains(&max) {
        schema["maximum"] = json!(max);
    }
    schema
}

/// The doc comment, with what each word of a choice means.
fn description(node: &Node) -> String {
    let mut text = node.description.clone();
    if let Shape::Choice(words) = &node.shape {
        for (word, meaning) in words.iter().filter(|(_, meaning)| !meaning.is_empty()) {
            text.extend([" ", word, ": ", meaning]);
        }
    }
    text.trim_start().replace('\n', " ")
}

fn note(field: &Field) -> &'static str {
    match field.support {
        Support::Full => "",
        Support::NotImplemented => "Not implemented: an object with it is refused.",
        Support::NoEffect => "It has no effect.",
    }
}
