//! The metadata of an object.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

use super::field;
use crate::{
    crd::schema::Problem,
    resource::{Meta, Revision, set::READ_ANNOTATIONS},
};

/// The namespace, or the default one where none is written.
pub(super) fn namespace<'a>(
    metadata: Option<&'a Value>,
    default: &'a str,
    problems: &mut Vec<Problem>,
) -> &'a str {
    let text = metadata
        .and_then(Value::as_object)
        .and_then(|metadata| field::text(metadata, "namespace", "metadata", problems));
    text.filter(|namespace| !namespace.is_empty())
        .unwrap_or(default)
}

/// What every object has besides its spec; its version only where somebody waits for it.
pub(super) fn read(
    metadata: Option<&Value>,
    has_version: bool,
    problems: &mut Vec<Problem>,
) -> Meta {
    let Some(Value::Object(metadata)) = metadata else {
        return Meta::default();
    };
    let mut text =
        |name: &str| field::text(metadata, name, "metadata", problems).unwrap_or_default();
    let mut shared = |name: &str| match text(name) {
        "" => Arc::default(),
        text => Arc::from(text),
    };
    let (uid, version) = (shared("uid"), shared("resourceVersion"));
    let created = text("creationTimestamp").to_owned();
    let mut annotations = strings(metadata, "annotations", problems);
    annotations.retain(|name, _| READ_ANNOTATIONS.contains(&name.as_str()));
    let revision = Revision {
        uid,
        generation: generation(metadata, problems),
        resource_version: if has_version { version } else { Arc::default() },
        created: seconds(&created, problems),
    };
    Meta {
        revision: Arc::new(revision),
        labels: strings(metadata, "labels", problems).into(),
        annotations: annotations.into(),
    }
}

fn generation(metadata: &Map<String, Value>, problems: &mut Vec<Problem>) -> i64 {
    let Some(value) = metadata.get("generation").filter(|value| !value.is_null()) else {
        return 0;
    };
    value.as_i64().unwrap_or_else(|| {
        problems.push(field::wrong_type("metadata.generation", "a whole number"));
        0
    })
}

fn seconds(text: &str, problems: &mut Vec<Problem>) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    let time = text.parse::<jiff::Timestamp>();
    if time.is_err() {
        problems.push(field::invalid(
            "metadata.creationTimestamp",
            "the value must be a time as in RFC 3339",
        ));
    }
    Some(time.ok()?.as_second())
}

fn strings(
    metadata: &Map<String, Value>,
    name: &str,
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, String> {
    let Some(map) = field::object(metadata, name, "metadata", problems) else {
        return BTreeMap::new();
    };
    let path = format!("metadata.{name}");
    map.keys()
        .filter_map(|key| {
            let value = field::text(map, key, &path, problems)?;
            Some((key.clone(), value.to_owned()))
        })
        .collect()
}

/// Whether Kubernetes accepts this as the name of an object: a DNS subdomain.
pub(super) fn is_name(name: &str) -> bool {
    let is_edge = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 253
        && name.split('.').all(|label| {
            let label = label.as_bytes();
            label.first().is_some_and(|c| is_edge(*c))
                && label.last().is_some_and(|c| is_edge(*c))
                && label.iter().all(|c| is_edge(*c) || *c == b'-')
        })
}
