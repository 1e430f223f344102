//! Variables of the environment, which Emissary-ingress puts into its resources, and Postern never does (design D8).

use serde_json::Value;

use crate::crd::schema::{Problem, ProblemKind};

/// As many are told as a person reads.
const MAX: usize = 16;

/// Tells each string of a spec that Emissary-ingress would change, by its field. The string itself is not shown: it may be a
/// secret.
pub(super) fn tell(spec: Option<&Value>, problems: &mut Vec<Problem>) {
    let mut fields = Vec::new();
    if let Some(spec) = spec {
        find(spec, "spec", &mut fields);
    }
    problems.extend(fields.into_iter().map(|field| Problem {
        field,
        kind: ProblemKind::Literal,
        message: "a `$` with a name after it is taken as it is written: Postern puts no variables there"
            .to_owned(),
        next: String::new(),
    }));
}

fn find(value: &Value, path: &str, fields: &mut Vec<String>) {
    if fields.len() >= MAX {
        return;
    }
    match value {
        Value::String(text) if has_variable(text) => fields.push(path.to_owned()),
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                find(value, &format!("{path}[{index}]"), fields);
            }
        }
        Value::Object(map) => {
            for (name, value) in map {
                find(value, &format!("{path}.{name}"), fields);
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether there is a `$NAME` or `${NAME}`. At the end of a regular expression, or before a digit, `$` is something else.
fn has_variable(text: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.split('$').skip(1).any(|rest| {
        let braced = rest
            .strip_prefix('{')
            .and_then(|rest| rest.split_once('}'))
            .is_some_and(|(name, _)| name.starts_with(is_start));
        braced || rest.starts_with(is_start)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_are_told_apart_from_other_dollars() {
        let cases = [
            ("$HOME", true),
            ("a-${POD_NAME}-b", true),
            ("https://$_x", true),
            ("a$$B", true),
            ("/end$", false),
            ("(a$|b)", false),
            ("$1", false),
            ("${}", false),
            ("${1}", false),
            ("${open", false),
            ("5 $", false),
            ("", false),
        ];
        for (text, expected) in cases {
            assert_eq!(has_variable(text), expected, "{text}");
        }
    }

    #[test]
    fn each_field_is_told_once_without_its_value() {
        let many: Vec<_> = (0..100).map(|_| "$SECRET").collect();
        let spec =
            json!({"host": "$SECRET and $SECRET", "headers": {"x-a": "${SECRET}"}, "list": many});
        let mut problems = Vec::new();
        tell(Some(&spec), &mut problems);
        assert_eq!(problems.len(), MAX);
        let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).take(3).collect();
        assert_eq!(fields, ["spec.headers.x-a", "spec.host", "spec.list[0]"]);
        assert!(problems.iter().all(|p| !p.message.contains("SECRET")));
        assert!(problems.iter().all(Problem::is_harmless));
    }
}
