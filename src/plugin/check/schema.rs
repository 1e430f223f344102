//! Whether the CustomResourceDefinitions of a cluster are those of this program: what their schemas say, field by field.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// As many fields as a line names.
const SHOWN: usize = 3;

/// How an installed schema differs from ours; fields by their paths.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Drift {
    /// Only ours has them: the API server would drop them.
    pub(super) missing: Vec<String>,
    /// Only the installed one has them.
    pub(super) unknown: Vec<String>,
    /// Both have them, with other rules.
    pub(super) other: Vec<String>,
}

impl Drift {
    /// Between two CustomResourceDefinitions, for the version that ours has.
    pub(super) fn between(ours: &Value, installed: &Value) -> Self {
        let mut drift = Self::default();
        let version = &ours["spec"]["versions"][0]["name"];
        let schema_of = |definition: &Value| {
            let versions = definition["spec"]["versions"].as_array()?;
            let found = versions.iter().find(|found| found["name"] == *version)?;
            Some(found["schema"]["openAPIV3Schema"].clone())
        };
        match (schema_of(ours), schema_of(installed)) {
            (Some(ours), Some(installed)) => drift.compare("", &ours, &installed),
            _ => drift.missing.push(format!("version {version}")),
        }
        drift
    }

    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// In a few words, without what is the same.
    pub(super) fn summary(&self) -> String {
        let told = [
            ("lacks", &self.missing),
            ("has besides", &self.unknown),
            ("has other rules for", &self.other),
        ];
        let told = told.iter().filter(|(_, fields)| !fields.is_empty());
        let told = told.map(|(word, fields)| {
            let shown = fields.iter().take(SHOWN).cloned().collect::<Vec<_>>();
            let more = match fields.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{word} {}{more}", shown.join(", "))
        });
        told.collect::<Vec<_>>().join("; ")
    }

    fn compare(&mut self, path: &str, ours: &Value, installed: &Value) {
        let (Some(ours), Some(installed)) = (ours.as_object(), installed.as_object()) else {
            if ours != installed {
                self.other.push(named(path));
            }
            return;
        };
        if rules(ours) != rules(installed) {
            self.other.push(named(path));
        }
        self.compare_fields(path, fields(ours), fields(installed));
        for (inner, mark) in [("items", "[]"), ("additionalProperties", ".*")] {
            if let (Some(own), Some(theirs)) = (ours.get(inner), installed.get(inner))
                && own.is_object()
            {
                self.compare(&[path, mark].concat(), own, theirs);
            }
        }
    }

    fn compare_fields(&mut self, path: &str, own: Fields<'_>, theirs: Fields<'_>) {
        let names = own.into_iter().chain(theirs).flat_map(Map::keys);
        let names: BTreeSet<_> = names.collect();
        for name in names {
            let at = match path {
                "" => name.clone(),
                path => [path, ".", name].concat(),
            };
            let of = |fields: Fields<'_>| fields.and_then(|fields| fields.get(name)).cloned();
            match (of(own), of(theirs)) {
                (Some(own), Some(theirs)) => self.compare(&at, &own, &theirs),
                (Some(_), None) => self.missing.push(at),
                (None, _) => self.unknown.push(at),
            }
        }
    }
}

type Fields<'s> = Option<&'s Map<String, Value>>;

fn fields(schema: &Map<String, Value>) -> Fields<'_> {
    schema.get("properties").and_then(Value::as_object)
}

/// What a schema says of the value itself. Descriptions bind nobody, and what is inside is compared on its own.
fn rules(schema: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let is_rule = |name: &str| !matches!(name, "description" | "properties" | "items");
    let rules = schema.iter().filter(|(name, value)| {
        is_rule(name) && !(*name == "additionalProperties" && value.is_object())
    });
    rules.collect()
}

fn named(path: &str) -> String {
    match path {
        "" => "the object".to_owned(),
        path => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crd::manifest;

    fn definition(spec: &Value) -> Value {
        json!({"spec": {"versions": [{
            "name": "v1alpha1",
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
        }]}})
    }

    #[test]
    fn a_schema_is_compared_field_by_field_and_descriptions_do_not_count() {
        let ours = definition(
            &json!({"type": "object", "description": "new words", "properties": {
                "prefix": {"type": "string", "maxLength": 10},
                "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
                "new": {"type": "string"},
            }}),
        );
        let installed = definition(
            &json!({"type": "object", "description": "old words", "properties": {
                "prefix": {"type": "string", "maxLength": 5},
                "list": {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "string"}}}},
            }}),
        );
        let drift = Drift::between(&ours, &installed);
        assert_eq!(drift.missing, ["spec.list[].a", "spec.new"]);
        assert_eq!(drift.unknown, ["spec.list[].b"]);
        assert_eq!(drift.other, ["spec.prefix"]);
        assert_eq!(
            drift.summary(),
            "lacks spec.list[].a, spec.new; has besides spec.list[].b; has other rules for spec.prefix"
        );
    }

    #[test]
    fn our_definitions_are_those_of_this_program_and_another_version_is_missing() {
        for (file, ours) in manifest::definitions() {
            assert!(Drift::between(&ours, &ours).is_none(), "{file}");
            let mut other = ours.clone();
            other["spec"]["versions"][0]["name"] = "v0".into();
            let drift = Drift::between(&ours, &other);
            assert_eq!(drift.missing, ["version \"v1alpha1\""], "{file}");
        }
    }
}
