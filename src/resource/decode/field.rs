//! Reading single fields of Kubernetes' own kinds: what is absent is absent, what is wrong is a problem.

use serde_json::{Map, Value};

use crate::crd::schema::{Problem, ProblemKind};

pub(super) fn unknown(name: &str) -> Problem {
    let name: String = name.chars().take(64).collect();
    Problem {
        message: format!("there is no field `{name}` beside `metadata` and `spec`"),
        field: name,
        kind: ProblemKind::UnknownField,
        next: "Move the field to where it belongs, or remove it".to_owned(),
    }
}

pub(super) fn wrong_type(field: impl Into<String>, wanted: &str) -> Problem {
    Problem {
        field: field.into(),
        kind: ProblemKind::WrongType,
        message: format!("the value must be {wanted}"),
        next: String::new(),
    }
}

pub(super) fn invalid(field: impl Into<String>, message: &str) -> Problem {
    Problem {
        field: field.into(),
        kind: ProblemKind::InvalidValue,
        message: message.to_owned(),
        next: String::new(),
    }
}

/// The string at a name; nothing, and a problem, if it is something else.
pub(super) fn text<'a>(
    fields: &'a Map<String, Value>,
    name: &str,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<&'a str> {
    match fields.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(_) => {
            problems.push(wrong_type(format!("{path}.{name}"), "a string"));
            None
        }
    }
}

/// The object at a name; an empty one, and a problem, if it is something else.
pub(super) fn object<'a>(
    fields: &'a Map<String, Value>,
    name: &str,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<&'a Map<String, Value>> {
    match fields.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::Object(object)) => Some(object),
        Some(_) => {
            problems.push(wrong_type(join(path, name), "an object"));
            None
        }
    }
}

/// The entries of the list at a name that are objects, each with its path.
pub(super) fn objects<'a>(
    fields: &'a Map<String, Value>,
    name: &str,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Vec<(String, &'a Map<String, Value>)> {
    let path = join(path, name);
    let list = match fields.get(name) {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(list)) => list,
        Some(_) => {
            problems.push(wrong_type(path, "a list"));
            return Vec::new();
        }
    };
    let mut found = Vec::with_capacity(list.len());
    for (index, entry) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        match entry {
            Value::Object(object) => found.push((path, object)),
            _ => problems.push(wrong_type(path, "an object")),
        }
    }
    found
}

/// The port number at a name.
pub(super) fn port(
    fields: &Map<String, Value>,
    name: &str,
    path: &str,
    problems: &mut Vec<Problem>,
) -> Option<u16> {
    let value = fields.get(name).filter(|value| !value.is_null())?;
    let port = value
        .as_u64()
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port > 0);
    if port.is_none() {
        problems.push(invalid(
            format!("{path}.{name}"),
            "the port must be a number from 1 to 65535",
        ));
    }
    port
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
