//! Rules about several fields that `postern.dev` has and Emissary-ingress has not: there one of the fields counts, here the
//! other is left out.

use serde_json::Value;

use crate::crd::{
    HostSpec, ListenerSpec, MappingSpec,
    schema::{Spec, Spelling, read},
};

/// Kind, field of the rule, and the fields that do not count when it is broken, the first to go first.
const YIELDS: &[(&str, &str, &[&str])] = &[
    ("Mapping", "prefixExact", &["prefixExact"]),
    ("Mapping", "hostRewrite", &["autoHostRewrite"]),
    ("Mapping", "pathRedirect", &["pathRedirect"]),
    ("Mapping", "prefixRedirect", &["prefixRedirect"]),
    ("Mapping", "regexRedirect", &["regexRedirect"]),
    ("Mapping", "redirectResponseCode", &["redirectResponseCode"]),
    (
        "Mapping",
        "hostRedirect",
        &["regexRedirect", "prefixRedirect"],
    ),
    ("Listener", "protocol", &["protocol"]),
];

/// Takes out of a spec in camelCase the fields that do not count, and says which.
pub(super) fn obey(kind: &str, spec: &mut Value) -> Vec<&'static str> {
    match kind {
        "Mapping" => {
            // An empty one asks for nothing, and would win.
            let is_empty = spec.get("hostRewrite") == Some(&Value::from(""));
            let mut gone = Vec::new();
            if is_empty && spec.get("autoHostRewrite") == Some(&Value::Bool(true)) {
                gone.extend(remove(spec, "hostRewrite"));
            }
            gone.extend(obey_all::<MappingSpec>(kind, spec));
            gone
        }
        "Host" => obey_all::<HostSpec>(kind, spec),
        "Listener" => obey_all::<ListenerSpec>(kind, spec),
        _ => Vec::new(),
    }
}

fn obey_all<S: Spec>(kind: &str, spec: &mut Value) -> Vec<&'static str> {
    let mut gone = Vec::new();
    for rule in S::RULES {
        let Some(holds) = rule.holds else { continue };
        let rows = YIELDS
            .iter()
            .filter(|row| (row.0, row.1) == (kind, rule.field));
        for field in rows.flat_map(|row| row.2) {
            let (typed, _) = read::<S>(spec.clone(), Spelling::Camel);
            if !holds(&typed) {
                gone.extend(remove(spec, field));
            }
        }
    }
    gone
}

fn remove(spec: &mut Value, field: &'static str) -> Option<&'static str> {
    spec.as_object_mut()?.remove(field).map(|_| field)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_of_two_fields_counts() {
        for (kind, spec, expected) in [
            ("Mapping", json!({"prefix": "/a", "service": "s"}), vec![]),
            (
                "Mapping",
                json!({"prefixExact": true, "prefixRegex": true}),
                vec!["prefixExact"],
            ),
            (
                "Mapping",
                json!({"hostRewrite": "a", "autoHostRewrite": true}),
                vec!["autoHostRewrite"],
            ),
            (
                "Mapping",
                json!({"hostRewrite": "", "autoHostRewrite": true}),
                vec!["hostRewrite"],
            ),
            (
                "Mapping",
                json!({"pathRedirect": "/a", "redirectResponseCode": 302}),
                vec!["pathRedirect", "redirectResponseCode"],
            ),
            (
                "Mapping",
                json!({"hostRedirect": true, "pathRedirect": "/a", "prefixRedirect": "/b", "regexRedirect": {"pattern": "c"}}),
                vec!["regexRedirect", "prefixRedirect"],
            ),
            (
                "Listener",
                json!({"protocol": "HTTP", "protocolStack": ["HTTP", "TCP"]}),
                vec!["protocol"],
            ),
            ("Listener", json!({"port": 8080}), vec![]),
        ] {
            let mut left = spec.clone();
            assert_eq!(obey(kind, &mut left), expected, "{spec}");
        }
    }

    #[test]
    fn every_rule_of_a_mapping_has_a_field_that_yields() {
        for rule in MappingSpec::RULES
            .iter()
            .filter(|rule| rule.holds.is_some())
        {
            let has_row = YIELDS
                .iter()
                .any(|row| (row.0, row.1) == ("Mapping", rule.field));
            assert!(has_row, "{}", rule.field);
        }
    }
}
