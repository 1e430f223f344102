//! Names of converted objects: those that Kubernetes accepts, each for one object only.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Longer names are cut.
const MAX_NAME: usize = 240;

/// A kind, a namespace and a name.
type Key = (String, String, String);

/// The names that are taken, and those that had to change.
#[derive(Debug, Default)]
pub(super) struct Naming {
    taken: BTreeSet<Key>,
    renamed: BTreeMap<Key, String>,
}

/// Fields that name another object, each with the kinds that it may name.
const REFERENCES: &[(&str, &str, &[&str])] = &[
    ("Mapping", "/spec/tls", &["TLSContext"]),
    ("TCPMapping", "/spec/tls", &["TLSContext"]),
    ("Host", "/spec/tlsContext/name", &["TLSContext"]),
    ("Mapping", "/spec/resolver", RESOLVERS),
    ("TCPMapping", "/spec/resolver", RESOLVERS),
];
const RESOLVERS: &[&str] = &[
    "KubernetesServiceResolver",
    "KubernetesEndpointResolver",
    "ConsulResolver",
];

impl Naming {
    /// Takes the name of an object that stays as it is.
    pub(super) fn take(&mut self, manifest: &Value) {
        let [kind, namespace, name] = key(manifest);
        self.taken.insert((kind, namespace, name));
    }

    /// Gives an object a name of its own, and says which it is if it had to change.
    pub(super) fn give(&mut self, manifest: &mut Value) -> Option<String> {
        let [kind, namespace, old] = key(manifest);
        let mut name = accepted(&old);
        let mut at = |name: &str| {
            let key = (kind.clone(), namespace.clone(), name.to_owned());
            self.taken.insert(key)
        };
        if !at(&name) {
            let free = (1..).map(|number| match number {
                1 => format!("{name}-emissary"),
                _ => format!("{name}-emissary-{number}"),
            });
            name = free.into_iter().find(|name| at(name))?;
        }
        if name == old {
            return None;
        }
        manifest["metadata"]["name"] = Value::from(name.as_str());
        self.renamed.insert((kind, namespace, old), name.clone());
        Some(name)
    }

    /// Has an object name others as they are called now: those of its namespace before those of any other.
    pub(super) fn mend(&self, manifest: &mut Value) {
        let [kind, namespace, _] = key(manifest);
        for (_, pointer, kinds) in REFERENCES.iter().filter(|row| row.0 == kind) {
            let Some(Value::String(said)) = manifest.pointer_mut(pointer) else {
                continue;
            };
            let is_named = |key: &Key| kinds.contains(&key.0.as_str()) && key.2 == *said;
            let own = self
                .renamed
                .iter()
                .find(|(key, _)| is_named(key) && key.1 == namespace);
            let found = own.or_else(|| self.renamed.iter().find(|(key, _)| is_named(key)));
            if let Some((_, now)) = found {
                said.clone_from(now);
            }
        }
    }
}

fn key(manifest: &Value) -> [String; 3] {
    ["/kind", "/metadata/namespace", "/metadata/name"].map(|pointer| {
        let text = manifest.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    })
}

/// The nearest name that Kubernetes accepts.
fn accepted(name: &str) -> String {
    let plain: String = name
        .to_ascii_lowercase()
        .chars()
        .take(MAX_NAME)
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect();
    let labels = plain.split('.').map(|label| label.trim_matches('-'));
    let labels: Vec<_> = labels.filter(|label| !label.is_empty()).collect();
    if labels.is_empty() {
        return "unnamed".to_owned();
    }
    labels.join(".")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(kind: &str, name: &str) -> Value {
        json!({"kind": kind, "metadata": {"name": name, "namespace": "apps"}, "spec": {}})
    }

    #[test]
    fn names_become_those_that_kubernetes_accepts() {
        for (name, expected) in [
            ("quote", "quote"),
            ("a.b-c", "a.b-c"),
            ("Quote_Mapping", "quote-mapping"),
            ("-a-.-.b_", "a.b"),
            ("ünder", "nder"),
            ("___", "unnamed"),
        ] {
            assert_eq!(accepted(name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_is_given_once_and_references_follow() {
        let mut naming = Naming::default();
        naming.take(&named("Mapping", "quote"));
        let mut twin = named("Mapping", "quote");
        assert_eq!(naming.give(&mut twin).as_deref(), Some("quote-emissary"));
        let mut third = named("Mapping", "Quote");
        assert_eq!(naming.give(&mut third).as_deref(), Some("quote-emissary-2"));
        let mut other_kind = named("Host", "quote");
        assert_eq!(naming.give(&mut other_kind), None);

        let mut context = named("TLSContext", "my_context");
        assert_eq!(naming.give(&mut context).as_deref(), Some("my-context"));
        let mut mapping = named("Mapping", "m");
        mapping["spec"] = json!({"tls": "my_context", "resolver": "my_context"});
        naming.mend(&mut mapping);
        assert_eq!(
            mapping["spec"],
            json!({"tls": "my-context", "resolver": "my_context"})
        );
    }
}
