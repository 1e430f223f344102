//! Which installation an object belongs to: `ambassadorId`.

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

/// The same for a spec that was not decoded.
pub(super) fn includes_json(spec: &serde_json::Value, options: &Options) -> bool {
    let said = spec
        .get("ambassador_id")
        .or_else(|| spec.get("ambassadorId"));
    let ids: Option<Vec<String>> = match said {
        Some(serde_json::Value::String(id)) => Some(vec![id.clone()]),
        Some(serde_json::Value::Array(ids)) => {
            let ids = ids.iter().filter_map(serde_json::Value::as_str);
            Some(ids.map(str::to_owned).collect())
        }
        _ => None,
    };
    includes(ids.as_deref(), &[], options)
}
