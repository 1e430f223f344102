use serde_json::Value;

use super::{definitions, emissary};

/// The schema of every value with its path.
fn walk<'a>(schema: &'a Value, path: &str, see: &mut dyn FnMut(&str, &'a Value)) {
    see(path, schema);
    if let Some(Value::Object(properties)) = schema.get("properties") {
        for (name, schema) in properties {
            walk(schema, &format!("{path}.{name}"), see);
        }
    }
    for (name, step) in [("items", "[]"), ("additionalProperties", ".*")] {
        if let Some(schema) = schema.get(name) {
            walk(schema, &format!("{path}{step}"), see);
        }
    }
}

fn each_schema(mut see: impl FnMut(&str, &Value)) {
    for (file, definition) in definitions().into_iter().chain(emissary::definitions()) {
        let version = &definition["spec"]["versions"][0];
        let properties = &version["schema"]["openAPIV3Schema"]["properties"];
        for part in ["spec", "status"] {
            // Few kinds of Emissary-ingress have a status.
            if let Some(schema) = properties.get(part) {
                walk(schema, &format!("{file} {part}"), &mut see);
            }
        }
    }
}

#[test]
fn every_string_list_and_map_is_bounded() {
    each_schema(|path, schema| {
        let bound = match schema["type"].as_str() {
            Some("string") if schema.get("enum").is_none() => "maxLength",
            Some("array") => "maxItems",
            Some("object") if schema.get("additionalProperties").is_some() => "maxProperties",
            _ => return,
        };
        assert!(schema[bound].is_u64(), "{path} must have {bound}");
    });
}

#[test]
fn every_field_says_what_it_is_for() {
    each_schema(|path, schema| {
        if path.ends_with("[]") || path.ends_with('*') {
            return;
        }
        let text = schema["description"].as_str().unwrap_or_default();
        assert!(text.ends_with('.'), "{path} needs a description: {text:?}");
    });
}

#[test]
fn schemas_are_structural() {
    each_schema(|path, schema| {
        for name in ["$ref", "anyOf", "oneOf", "allOf", "nullable", "default"] {
            assert!(schema.get(name).is_none(), "{path} must not have {name}");
        }
        let is_any = schema.get("x-kubernetes-preserve-unknown-fields").is_some();
        assert!(
            is_any || schema["type"].is_string(),
            "{path} must have a type"
        );
    });
}
