//! A spec of `getambassador.io` in the spelling of `postern.dev`, and what becomes of each of its fields.

use serde_json::{Map, Value};

use super::{
    check::{is_leftover, is_off},
    tree::{Field, Fields, Node, Shape, Support},
};

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is served.
    Served,
    /// It asks for nothing beyond what happens anyway, and is left out.
    Off,
    /// It changes nothing, and is left out.
    NoEffect,
    /// It refuses its object, and stays so that the object stays refused.
    Refused,
    /// There is no such field, or it is there twice: it stays, so that the object stays refused.
    Unknown,
}

/// A field that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// As it is written: `add_request_headers.x-a.value`.
    pub written: String,
    /// As the kind has it, with `*` for the entries of maps and nothing for those of lists: `addRequestHeaders.value`.
    pub camel: String,
    pub fate: Fate,
}

/// Writes a spec in camelCase. Values that the schema refuses stay as they are, and with them what they refuse.
pub fn respell(tree: &Node, spec: Value) -> (Value, Vec<Used>) {
    let mut used = Vec::new();
    let spec = value(tree, spec, "", "", &mut used);
    (spec, used)
}

fn value(node: &Node, found: Value, written: &str, camel: &str, used: &mut Vec<Used>) -> Value {
    match (&node.shape, found) {
        (Shape::Object(fields), Value::Object(map)) => {
            Value::Object(object(fields, map, written, camel, used))
        }
        (Shape::Map { values, .. }, Value::Object(map)) => {
            let entries = map.into_iter().map(|(name, found)| {
                let written = join(written, &name);
                let found = value(values, found, &written, camel, used);
                (name, found)
            });
            Value::Object(entries.collect())
        }
        (Shape::List { items, .. }, Value::Array(list)) => {
            let entries = list.into_iter().enumerate();
            entries
                .map(|(index, found)| {
                    let written = format!("{written}[{index}]");
                    value(items, found, &written, camel, used)
                })
                .collect()
        }
        (_, found) => found,
    }
}

fn object(
    fields: &Fields,
    map: Map<String, Value>,
    written: &str,
    camel: &str,
    used: &mut Vec<Used>,
) -> Map<String, Value> {
    let names: Vec<_> = map.keys().cloned().collect();
    let mut out = Map::new();
    for (name, found) in map {
        if found.is_null() {
            continue;
        }
        let field = fields.camel(&name).or_else(|| fields.snake(&name));
        let written = join(written, &name);
        let (fate, camel) = match field {
            None if is_leftover(&name) => continue,
            None => (Fate::Unknown, name.clone()),
            Some(field) => (fate(field, &found, &names), join(camel, &field.name)),
        };
        used.push(Used {
            written: written.clone(),
            camel: camel.clone(),
            fate,
        });
        match (fate, field) {
            (Fate::Served, Some(field)) => {
                let found = value(&field.node, found, &written, &camel, used);
                out.insert(field.name.clone(), found);
            }
            // What is in it is refused with it.
            (Fate::Refused, Some(field)) => {
                let found = value(&field.node, found, &written, &camel, &mut Vec::new());
                out.insert(field.name.clone(), found);
            }
            (Fate::Unknown, _) => drop(out.insert(name, found)),
            (Fate::Off | Fate::NoEffect, _) | (_, None) => {}
        }
    }
    out
}

fn fate(field: &Field, found: &Value, names: &[String]) -> Fate {
    let is_there = |name: &String| names.contains(name);
    let is_twice = field.name != field.snake && is_there(&field.name) && is_there(&field.snake);
    match field.support {
        _ if is_twice => Fate::Unknown,
        Support::Full => Fate::Served,
        Support::NoEffect | Support::NotImplemented if is_off(field, found) => Fate::Off,
        Support::NoEffect => Fate::NoEffect,
        Support::NotImplemented => Fate::Refused,
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crd::{
        HostSpec, ListenerSpec, MappingSpec,
        schema::{Spec, Spelling, read},
    };

    #[test]
    fn both_spellings_become_one() {
        for (snake, camel) in [
            (
                json!({"prefix": "/a/", "timeout_ms": 9, "headers": {"x_a": "b"}}),
                json!({"prefix": "/a/", "timeoutMs": 9, "headers": {"x_a": "b"}}),
            ),
            (
                json!({"add_request_headers": {"x_y": {"value": "v", "append": false}}}),
                json!({"addRequestHeaders": {"x_y": {"value": "v", "append": false}}}),
            ),
            (
                json!({"circuit_breakers": [{"max_requests": 3}], "weight": null}),
                json!({"circuitBreakers": [{"maxRequests": 3}]}),
            ),
            (
                json!({"docs": {"path": "/"}, "dns_type": "strict_dns", "V2Explicit": 1}),
                json!({"V2Explicit": 1}),
            ),
            (json!({"v2ExplicitTLS": {}}), json!({})),
            (
                json!({"labels": {"a": [{"g": [{"generic_key": {"value": "v"}}]}]}}),
                json!({"labels": {"a": [{"g": [{"genericKey": {"value": "v"}}]}]}}),
            ),
            (
                json!({"host_rewrite": "a", "hostRewrite": "b"}),
                json!({"host_rewrite": "a", "hostRewrite": "b"}),
            ),
            (
                json!({"prefix": 7, "cors": "x"}),
                json!({"prefix": 7, "cors": "x"}),
            ),
            (json!("nonsense"), json!("nonsense")),
        ] {
            assert_eq!(
                respell(MappingSpec::tree(), snake.clone()).0,
                camel,
                "{snake}"
            );
        }
    }

    #[test]
    fn what_is_refused_stays_refused() {
        for spec in [
            json!({"prefix": "/a/", "service": "a", "labels": {"a": [{"g": []}]}}),
            json!({"prefix": "/a/", "service": "a", "unknown_thing": 1}),
            json!({"prefix": 7, "service": "a"}),
            json!({"service": "a"}),
            json!({"prefix": "/a/", "service": "a", "host_rewrite": "a", "hostRewrite": "b"}),
        ] {
            let (_, before) = read::<MappingSpec>(spec.clone(), Spelling::Snake);
            let (respelled, _) = respell(MappingSpec::tree(), spec.clone());
            let (_, after) = read::<MappingSpec>(respelled, Spelling::Camel);
            let refused = |problems: &[crate::crd::schema::Problem]| {
                problems.iter().any(|problem| !problem.is_harmless())
            };
            assert!(refused(&before) && refused(&after), "{spec}: {after:?}");
        }
    }

    #[test]
    fn every_field_is_told_with_what_becomes_of_it() {
        let spec = json!({
            "hostname": "a", "tls": {"sni": "a", "cert_chain_file": "/a", "cert_required": true}, "previewUrl": {"x": 1},
            "acmeProvider": {"authority": "none"},
        });
        let (_, used) = respell(HostSpec::tree(), spec);
        let told: Vec<_> = used.iter().map(|u| (u.written.as_str(), u.fate)).collect();
        assert_eq!(
            told,
            [
                ("acmeProvider", Fate::Served),
                ("acmeProvider.authority", Fate::Off),
                ("hostname", Fate::Served),
                ("previewUrl", Fate::NoEffect),
                ("tls", Fate::Served),
                ("tls.cert_chain_file", Fate::Refused),
                ("tls.cert_required", Fate::Served),
                ("tls.sni", Fate::NoEffect),
            ]
        );
        let (_, used) = respell(ListenerSpec::tree(), json!({"l7_depth": 1, "l7Depth": 1}));
        assert!(
            used.iter().all(|used| used.fate == Fate::Unknown),
            "{used:?}"
        );
    }
}
