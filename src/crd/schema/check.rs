//! The walk of a spec along its tree.

use std::fmt;

use serde_json::{Map, Value};

use super::{
    Problem, ProblemKind, Spelling,
    nearest::nearest,
    tree::{Field, Fields, Node, Shape, Support},
};

/// More problems than anybody reads; what follows is taken out and not mentioned.
const MAX_PROBLEMS: usize = 64;
/// A value is quoted up to this many characters.
const MAX_QUOTE: usize = 40;

/// What is left of a spec, and what was wrong with it, in no order.
pub(super) fn check(node: &Node, spec: Value, spelling: Spelling) -> (Option<Value>, Vec<Problem>) {
    let mut walk = Walk {
        spelling,
        problems: Vec::new(),
    };
    let spec = if spec.is_null() {
        Value::Object(Map::new())
    } else {
        spec
    };
    let clean = walk.value(node, spec, &Path::Root);
    (clean, walk.problems)
}

struct Walk {
    spelling: Spelling,
    problems: Vec<Problem>,
}

/// Where the walk is. Written out only for a problem.
#[derive(Clone, Copy)]
enum Path<'a> {
    Root,
    Field(&'a Self, &'a str),
    Entry(&'a Self, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("spec"),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Entry(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

// === impl Walk ===

impl Walk {
    /// The value with its bad fields taken out, or nothing if it is bad itself.
    fn value(&mut self, node: &Node, value: Value, path: &Path<'_>) -> Option<Value> {
        match (&node.shape, value) {
            (Shape::Object(fields), Value::Object(map)) => {
                Some(Value::Object(self.fields(fields, map, path)))
            }
            (Shape::Map { values, max }, Value::Object(map)) => {
                self.count(map.len(), *max, path)?;
                self.map(values, map, path)
            }
            (Shape::List { items, max }, Value::Array(list)) => {
                self.count(list.len(), *max, path)?;
                self.list(items, list, path)
            }
            (Shape::Text { max }, Value::String(text)) => {
                self.length(&text, *max, path)?;
                Some(Value::String(text))
            }
            (Shape::Choice(words), Value::String(text)) => {
                if words.iter().any(|(word, _)| *word == text) {
                    return Some(Value::String(text));
                }
                self.not_one_of(node, &quote(&text), path)
            }
            (Shape::Number(numbers), Value::Number(number)) => {
                if number
                    .as_i64()
                    .is_some_and(|number| numbers.contains(&number))
                {
                    return Some(Value::Number(number));
                }
                self.not_one_of(node, &number.to_string(), path)
            }
            (Shape::Whole { min, max }, Value::Number(number)) => match number.as_i64() {
                Some(whole) if (*min..=*max).contains(&whole) => Some(Value::Number(number)),
                None if has_fraction(&number) => {
                    self.wrong_type(node, &Value::Number(number), path)
                }
                _ => self.out_of_range(&number, *min, *max, path),
            },
            (Shape::Flag, Value::Bool(flag)) => Some(Value::Bool(flag)),
            (Shape::Any, value) => Some(value),
            (_, value) => self.wrong_type(node, &value, path),
        }
    }

    fn map(&mut self, values: &Node, map: Map<String, Value>, path: &Path<'_>) -> Option<Value> {
        let mut clean = Map::new();
        let mut good = true;
        for (name, value) in map {
            match self.value(values, value, &Path::Field(path, &name)) {
                Some(value) => drop(clean.insert(name, value)),
                None => good = false,
            }
        }
        good.then_some(Value::Object(clean))
    }

    fn list(&mut self, items: &Node, list: Vec<Value>, path: &Path<'_>) -> Option<Value> {
        let length = list.len();
        let clean: Vec<_> = list
            .into_iter()
            .enumerate()
            .filter_map(|(index, value)| self.value(items, value, &Path::Entry(path, index)))
            .collect();
        (clean.len() == length).then_some(Value::Array(clean))
    }

    fn fields(
        &mut self,
        fields: &Fields,
        map: Map<String, Value>,
        path: &Path<'_>,
    ) -> Map<String, Value> {
        self.missing(fields, &map, path);
        let twice = self.twice(fields, &map, path);
        let mut clean = Map::new();
        for (name, value) in map {
            // Absent, as the API server has it.
            if value.is_null() {
                continue;
            }
            let path = Path::Field(path, &name);
            let Some(field) = self.find(fields, &name) else {
                self.unknown(fields, &name, &path);
                continue;
            };
            if twice.contains(&field.name) || self.refused(field, &value, &path) {
                continue;
            }
            if let Some(value) = self.value(&field.node, value, &path) {
                clean.insert(field.name.clone(), value);
            }
        }
        clean
    }

    fn find<'f>(&self, fields: &'f Fields, name: &str) -> Option<&'f Field> {
        let camel = fields.camel(name);
        match self.spelling {
            Spelling::Camel => camel,
            Spelling::Snake => camel.or_else(|| fields.snake(name)),
        }
    }

    /// Whether a field that is known and not served is taken out, with a problem unless it asks for nothing.
    fn refused(&mut self, field: &Field, value: &Value, path: &Path<'_>) -> bool {
        let (kind, message, next) = match field.support {
            Support::Full => return false,
            _ if is_off(field, value) => return true,
            Support::NotImplemented => (
                ProblemKind::NotImplemented,
                "Postern does not implement this field",
                "Remove the field, or keep this object on Emissary-ingress",
            ),
            Support::NoEffect => (
                ProblemKind::NoEffect,
                "this field has no effect",
                "Remove the field, or leave it",
            ),
        };
        self.problem(path, kind, message.to_owned(), next.to_owned());
        true
    }

    fn missing(&mut self, fields: &Fields, map: &Map<String, Value>, path: &Path<'_>) {
        for field in fields.list.iter().filter(|field| field.required) {
            let is_there = |name: &str| map.get(name).is_some_and(|value| !value.is_null());
            let snake = self.spelling == Spelling::Snake && is_there(&field.snake);
            if snake || is_there(&field.name) {
                continue;
            }
            self.problem(
                &Path::Field(path, &field.name),
                ProblemKind::MissingField,
                format!("the field `{}` is required", field.name),
                format!("Add the field: {}", field.node.wanted()),
            );
        }
    }

    /// Names of the fields that are there in both spellings.
    fn twice(&mut self, fields: &Fields, map: &Map<String, Value>, path: &Path<'_>) -> Vec<String> {
        if self.spelling == Spelling::Camel {
            return Vec::new();
        }
        let mut twice = Vec::new();
        for name in map.keys() {
            let Some(field) = fields.snake(name) else {
                continue;
            };
            if field.name == *name || !map.contains_key(&field.name) {
                continue;
            }
            self.problem(
                &Path::Field(path, name),
                ProblemKind::InvalidValue,
                format!(
                    "the field is there twice: as `{name}` and as `{}`",
                    field.name
                ),
                format!("Remove `{name}` or `{}`", field.name),
            );
            twice.push(field.name.clone());
        }
        twice
    }

    fn unknown(&mut self, fields: &Fields, name: &str, path: &Path<'_>) {
        let is_nothing = self.spelling == Spelling::Snake && is_leftover(name);
        if self.problems.len() >= MAX_PROBLEMS || is_nothing {
            return;
        }
        let names = fields.list.iter().map(|field| field.name.as_str());
        let (message, next) = match nearest(name, names) {
            Some(near) => (
                format!("there is no field {}; did you mean `{near}`?", quote(name)),
                format!("Write `{near}`, or remove the field"),
            ),
            None => (
                format!("there is no field {}", quote(name)),
                "Remove the field".to_owned(),
            ),
        };
        self.problem(path, ProblemKind::UnknownField, message, next);
    }

    fn wrong_type(&mut self, node: &Node, value: &Value, path: &Path<'_>) -> Option<Value> {
        let quotes = match (&node.shape, value) {
            (Shape::Text { .. } | Shape::Choice(_), Value::Bool(_) | Value::Number(_)) => {
                "Put the value in quotes"
            }
            (Shape::Whole { .. } | Shape::Number(_), Value::String(text))
                if text.parse::<i64>().is_ok() =>
            {
                "Write the number without quotes"
            }
            (Shape::Flag, Value::String(text)) if text == "true" || text == "false" => {
                "Write the value without quotes"
            }
            _ => "",
        };
        let message = format!(
            "the value must be {}, and is {}",
            node.wanted(),
            found(value)
        );
        self.problem(path, ProblemKind::WrongType, message, quotes.to_owned());
        None
    }

    fn not_one_of(&mut self, node: &Node, found: &str, path: &Path<'_>) -> Option<Value> {
        let near = match &node.shape {
            Shape::Choice(words) => nearest(
                found.trim_matches('`'),
                words.iter().map(|(word, _)| word.as_str()),
            ),
            _ => None,
        };
        self.problem(
            path,
            ProblemKind::InvalidValue,
            format!("the value must be {}, and is {found}", node.wanted()),
            near.map(|near| format!("Write `{near}`"))
                .unwrap_or_default(),
        );
        None
    }

    fn out_of_range(
        &mut self,
        number: &serde_json::Number,
        min: i64,
        max: i64,
        path: &Path<'_>,
    ) -> Option<Value> {
        self.problem(
            path,
            ProblemKind::InvalidValue,
            format!("the number must be from {min} to {max}, and is {number}"),
            String::new(),
        );
        None
    }

    fn length(&mut self, text: &str, max: u64, path: &Path<'_>) -> Option<()> {
        let length = text.chars().count();
        if u64::try_from(length).is_ok_and(|length| length <= max) {
            return Some(());
        }
        self.problem(
            path,
            ProblemKind::InvalidValue,
            format!("the string has {length} characters; at most {max} are allowed"),
            String::new(),
        );
        None
    }

    fn count(&mut self, count: usize, max: u64, path: &Path<'_>) -> Option<()> {
        if u64::try_from(count).is_ok_and(|count| count <= max) {
            return Some(());
        }
        self.problem(
            path,
            ProblemKind::InvalidValue,
            format!("there are {count} entries; at most {max} are allowed"),
            String::new(),
        );
        None
    }

    fn problem(&mut self, path: &Path<'_>, kind: ProblemKind, message: String, next: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem {
                field: path.to_string(),
                kind,
                message,
                next,
            });
        }
    }
}

/// Whether this is what the conversion of an older version leaves behind, which means nothing.
pub(super) fn is_leftover(name: &str) -> bool {
    name.strip_prefix("v2")
        .is_some_and(|rest| rest.starts_with(char::is_uppercase))
}

/// Whether a value asks for nothing beyond what happens anyway.
pub(super) fn is_off(field: &Field, value: &Value) -> bool {
    match value {
        Value::Bool(flag) => *flag == field.off.iter().any(|off| off == "true"),
        Value::String(text) => text.is_empty() || field.off.contains(text),
        Value::Number(number) => field.off.contains(&number.to_string()),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Null => true,
    }
}

/// What a value is, without saying which: it may be a secret in the wrong place.
fn found(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if has_fraction(number) => "a number with a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What is too large for an integer of JSON is a float without one.
fn has_fraction(number: &serde_json::Number) -> bool {
    number
        .as_f64()
        .is_some_and(|number| number.is_finite() && number.fract() != 0.0)
}

fn quote(text: &str) -> String {
    let mut quoted: String = text
        .chars()
        .take(MAX_QUOTE)
        .map(|c| if c.is_control() || c == '`' { '?' } else { c })
        .collect();
    if text.chars().nth(MAX_QUOTE).is_some() {
        quoted.push('…');
    }
    format!("`{quoted}`")
}
