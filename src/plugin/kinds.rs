//! Kinds as people write them to kubectl: `Mapping`, `mappings`, `mp`, `mappings.getambassador.io`.

use std::sync::LazyLock;

use serde_json::Value;

use crate::{
    crd::{GROUP, manifest},
    resource::key::KINDS,
};

/// A kind, and the names that kubectl knows it by, in lower case.
struct Row {
    group: String,
    kind: String,
    names: Vec<String>,
}

/// Of the CustomResourceDefinitions; and of what else is read, the plural.
static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let defined = manifest::definitions().into_iter();
    let defined = defined.map(|(_, definition)| Row::of(&definition["spec"]));
    let read = KINDS.iter().map(|&(group, _, kind, plural)| Row {
        group: group.name().to_owned(),
        kind: kind.to_owned(),
        names: vec![plural.to_owned()],
    });
    defined.chain(read).collect()
});

impl Row {
    fn of(spec: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let names = &spec["names"];
        let short = names["shortNames"].as_array().into_iter().flatten();
        let long = [&names["plural"], &names["singular"]];
        Self {
            group: text(&spec["group"]),
            kind: text(&names["kind"]),
            names: long.into_iter().chain(short).map(text).collect(),
        }
    }
}

/// Whether `written` names a kind: by itself, its plural or its short name, perhaps with the group after a dot.
pub(super) fn is_kind(written: &str, group: &str, kind: &str) -> bool {
    let (name, said) = match written.split_once('.') {
        Some((name, group)) => (name, Some(group)),
        None => (written, None),
    };
    if said.is_some_and(|said| !said.eq_ignore_ascii_case(group)) {
        return false;
    }
    let of_kind = ROWS
        .iter()
        .filter(|row| row.group == group && row.kind == kind);
    kind.eq_ignore_ascii_case(name) || { of_kind.flat_map(|row| &row.names) }
        .any(|known| known.eq_ignore_ascii_case(name))
}

/// The kinds that have a CustomResourceDefinition of Postern's own, as people write them before a name.
pub(super) fn singular() -> impl Iterator<Item = &'static str> {
    let own = |row: &&Row| row.group == GROUP && row.names.len() > 1;
    ROWS.iter().filter(own).map(|row| &*row.names[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_by_every_name_that_kubectl_knows_it_by() {
        for (written, group, kind, known) in [
            ("mapping", "postern.dev", "Mapping", true),
            ("Mappings", "postern.dev", "Mapping", true),
            ("mp", "postern.dev", "Mapping", true),
            ("hst", "postern.dev", "Host", true),
            ("lst", "postern.dev", "Listener", true),
            ("gws", "postern.dev", "GatewaySettings", true),
            ("rcl", "postern.dev", "RouteClaim", true),
            ("mappings.postern.dev", "postern.dev", "Mapping", true),
            ("mappings.getambassador.io", "postern.dev", "Mapping", false),
            (
                "mapping.getambassador.io",
                "getambassador.io",
                "Mapping",
                true,
            ),
            ("tlscontexts", "getambassador.io", "TLSContext", true),
            ("mp", "postern.dev", "Host", false),
            ("", "postern.dev", "Host", false),
        ] {
            assert_eq!(is_kind(written, group, kind), known, "{written} {kind}");
        }
    }

    /// A short name that a CustomResourceDefinition gets is known here without being written down again.
    #[test]
    fn every_kind_of_postern_has_a_short_name() {
        let own = ROWS
            .iter()
            .filter(|row| row.group == GROUP && row.names.len() > 1);
        for row in own {
            assert!(row.names.len() > 2, "{}", row.kind);
        }
    }
}
