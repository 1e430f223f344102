//! Which installation an object belongs to: `ambassadorId`.

use serde_json::Value;

use super::Options;
use crate::crd::schema::Problem;

/// What objects without an id belong to.
const DEFAULT: &str = "default";
/// An id that every installation serves.
const AUTOMATIC: &str = "_automatic_";

/// Whether an object belongs to this installation. One whose ids cannot be read belongs to every one: somebody must say so.
pub(super) fn includes(ids: Option<&[String]>, problems: &[Problem], options: &Options) -> bool {
    match ids {
        Some(ids) => ids
            .iter()
            .any(|id| **id == *options.installation || id == AUTOMATIC),
        None => {
            *options.installation == *DEFAULT
                || problems
                    .iter()
                    .any(|problem| problem.field.starts_with("spec.ambassador"))
        }
    }
}

/// To whom a spec that was not decoded belongs.
pub(super) enum Belongs {
    ToUs,
    ToOthers,
    /// Its ids cannot be read, and this is the field: it belongs to every installation, as above.
    Unreadable(String),
}

/// The same for a spec that was not decoded.
pub(super) fn belongs(spec: &Value, options: &Options) -> Belongs {
    let said = ["ambassador_id", "ambassadorId"]
        .into_iter()
        .find_map(|name| Some((name, spec.get(name).filter(|said| !said.is_null())?)));
    let ids = match said {
        None => None,
        // As old objects have it.
        Some((_, Value::String(id))) => Some(vec![id.clone()]),
        Some((name, Value::Array(said))) => {
            let mut ids = Vec::with_capacity(said.len());
            for (index, id) in said.iter().enumerate() {
                let Some(id) = id.as_str() else {
                    return Belongs::Unreadable(format!("spec.{name}[{index}]"));
                };
                ids.push(id.to_owned());
            }
            Some(ids)
        }
        Some((name, _)) => return Belongs::Unreadable(format!("spec.{name}")),
    };
    if includes(ids.as_deref(), &[], options) {
        Belongs::ToUs
    } else {
        Belongs::ToOthers
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::compile::tests::options;

    #[test]
    fn an_object_whose_ids_cannot_be_read_belongs_to_every_installation() {
        let mut other = options();
        other.installation = "other".into();
        let cases = [
            (json!({}), "ours", "theirs"),
            (json!(null), "ours", "theirs"),
            (json!({"ambassador_id": null}), "ours", "theirs"),
            (json!({"ambassador_id": "other"}), "theirs", "ours"),
            (json!({"ambassadorId": ["x", "default"]}), "ours", "theirs"),
            (json!({"ambassador_id": ["_automatic_"]}), "ours", "ours"),
            (
                json!({"ambassador_id": 5}),
                "spec.ambassador_id",
                "spec.ambassador_id",
            ),
            (
                json!({"ambassadorId": ["x", 5]}),
                "spec.ambassadorId[1]",
                "spec.ambassadorId[1]",
            ),
        ];
        let told = |spec: &Value, options: &Options| match belongs(spec, options) {
            Belongs::ToUs => "ours".to_owned(),
            Belongs::ToOthers => "theirs".to_owned(),
            Belongs::Unreadable(field) => field,
        };
        for (spec, by_default, by_other) in cases {
            assert_eq!(told(&spec, &options()), by_default, "{spec}");
            assert_eq!(told(&spec, &other), by_other, "{spec}");
        }
    }
}
