//! The schema of a kind as a plain tree: what is checked, what becomes the CRD, and what the reference page says.

use std::collections::{BTreeMap, HashMap};

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Spec;

/// Characters in a string, where nothing smaller is said.
pub const MAX_TEXT: u64 = 1024;
/// Entries in a list, where nothing smaller is said.
pub const MAX_ITEMS: u64 = 64;
/// Entries in a map, where nothing smaller is said.
pub const MAX_ENTRIES: u64 = 64;

/// A value: what it is for and what it may be.
#[derive(Debug)]
pub struct Node {
    pub description: String,
    pub shape: Shape,
}

/// What a value may be.
#[derive(Debug)]
pub enum Shape {
    Object(Fields),
    Map {
        values: Box<Node>,
        max: u64,
    },
    List {
        items: Box<Node>,
        max: u64,
    },
    Text {
        max: u64,
    },
    /// One of these words, each with its meaning.
    Choice(Vec<(String, String)>),
    Whole {
        min: i64,
        max: i64,
    },
    /// One of these numbers.
    Number(Vec<i64>),
    Flag,
    /// Anything: for fields that nobody reads.
    Any,
}

/// The fields of an object, in the order in which the type has them.
#[derive(Debug, Default)]
pub struct Fields {
    pub list: Vec<Field>,
    camel: HashMap<String, usize>,
    snake: HashMap<String, usize>,
}

/// A field of an object.
#[derive(Debug)]
pub struct Field {
    /// In camelCase.
    pub name: String,
    /// The same in snake_case.
    pub snake: String,
    pub required: bool,
    pub support: Support,
    /// Values that ask for nothing beyond what happens anyway.
    pub off: Vec<String>,
    pub node: Node,
}

/// How the names of fields are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Camel,
    Snake,
    /// Emissary's Host and Listener: as [`Names::Camel`], but for `ambassador_id` and what is in `tls`.
    Mixed,
}

impl Names {
    /// The name of a field.
    pub fn of(self, field: &Field) -> &str {
        match self {
            Self::Snake => &field.snake,
            Self::Mixed if field.name == "ambassadorId" => &field.snake,
            Self::Camel | Self::Mixed => &field.name,
        }
    }

    /// The spelling inside of a field.
    #[must_use]
    pub fn within(self, field: &Field) -> Self {
        match self {
            Self::Mixed if field.name == "tls" => Self::Snake,
            names => names,
        }
    }
}

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    Full,
    NotImplemented,
    NoEffect,
}

// === impl Node ===

impl Node {
    /// The tree of a spec.
    pub fn of<S: Spec>() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let schema = settings.into_generator().into_root_schema_for::<S>();
        let mut node = Self::from_schema(schema.as_value());
        for (paths, support) in [
            (S::NOT_IMPLEMENTED, Support::NotImplemented),
            (S::NO_EFFECT, Support::NoEffect),
        ] {
            for path in paths {
                node.mark(path, &mut |field| field.support = support);
            }
        }
        for path in S::REQUIRED {
            node.mark(path, &mut |field| field.required = true);
        }
        for (path, value) in S::OFF {
            node.mark(path, &mut |field| field.off.push((*value).to_owned()));
        }
        node
    }

    fn from_schema(schema: &Value) -> Self {
        let schema = without_null(schema);
        Self {
            description: text(schema, "description"),
            shape: Shape::from_schema(schema),
        }
    }

    fn mark(&mut self, path: &str, change: &mut dyn FnMut(&mut Field)) {
        let (name, rest) = path.split_once('.').unwrap_or((path, ""));
        match &mut self.shape {
            Shape::Map { values, .. } if name == "*" => values.mark(rest, change),
            Shape::List { items, .. } if name == "*" => items.mark(rest, change),
            Shape::Object(fields) => {
                let field = fields
                    .list
                    .iter_mut()
                    .find(|field| field.name == name)
                    .unwrap_or_else(|| panic!("a spec must have the fields that it names: {path}"));
                if rest.is_empty() {
                    change(field);
                } else {
                    field.node.mark(rest, change);
                }
            }
            _ => panic!("a spec must have the fields that it names: {path}"),
        }
    }

    /// What a value is called in a sentence.
    pub fn wanted(&self) -> String {
        match &self.shape {
            Shape::Object(_) => "an object".to_owned(),
            Shape::Map { values, .. } => format!("a map whose values are each {}", values.wanted()),
            Shape::List { items, .. } => {
                format!("a list whose entries are each {}", items.wanted())
            }
            Shape::Text { .. } => "a string".to_owned(),
            Shape::Choice(words) => {
                let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                one_of(&words)
            }
            Shape::Whole { .. } => "a whole number".to_owned(),
            Shape::Number(numbers) => {
                let numbers: Vec<_> = numbers.iter().map(i64::to_string).collect();
                one_of(&numbers)
            }
            Shape::Flag => "`true` or `false`".to_owned(),
            Shape::Any => "anything".to_owned(),
        }
    }
}

fn one_of(words: &[String]) -> String {
    match words {
        [only] => only.clone(),
        [all @ .., last] => format!("{} or {last}", all.join(", ")),
        [] => String::new(),
    }
}

// === impl Shape ===

impl Shape {
    fn from_schema(schema: &Value) -> Self {
        if let Some(Value::Array(variants)) = schema.get("oneOf") {
            return Self::Choice(variants.iter().flat_map(words).collect());
        }
        if let Some(Value::Array(allowed)) = schema.get("enum") {
            let numbers: Vec<_> = allowed.iter().filter_map(Value::as_i64).collect();
            if !numbers.is_empty() {
                return Self::Number(numbers);
            }
            return Self::Choice(words(schema));
        }
        let limit =
            |name: &str, default: u64| schema.get(name).and_then(Value::as_u64).unwrap_or(default);
        match kind(schema) {
            "object" if schema.get("properties").is_some() => {
                Self::Object(Fields::from_schema(schema))
            }
            "object" => Self::Map {
                values: Box::new(Node::from_schema(&schema["additionalProperties"])),
                max: limit("maxProperties", MAX_ENTRIES),
            },
            "array" => Self::List {
                items: Box::new(Node::from_schema(&schema["items"])),
                max: limit("maxItems", MAX_ITEMS),
            },
            "string" => Self::Text {
                max: limit("maxLength", MAX_TEXT),
            },
            "integer" => {
                let (min, max) = match schema.get("format").and_then(Value::as_str) {
                    Some("int32") => (i64::from(i32::MIN), i64::from(i32::MAX)),
                    _ => (i64::MIN, i64::MAX),
                };
                let bound = |name: &str| schema.get(name).and_then(Value::as_i64);
                Self::Whole {
                    min: bound("minimum").unwrap_or(min),
                    max: bound("maximum").unwrap_or(max),
                }
            }
            "boolean" => Self::Flag,
            _ => Self::Any,
        }
    }
}

/// The schema without the variant and the type `null`: an absent field is absent.
fn without_null(schema: &Value) -> &Value {
    let is_null = |schema: &Value| kind(schema) == "null";
    match schema.get("anyOf") {
        Some(Value::Array(variants)) => variants
            .iter()
            .find(|variant| !is_null(variant))
            .unwrap_or(schema),
        _ => schema,
    }
}

fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => kinds
            .iter()
            .filter_map(Value::as_str)
            .find(|kind| *kind != "null")
            .unwrap_or_default(),
        _ => "",
    }
}

/// A variant with a doc comment is on its own; those without are together.
fn words(schema: &Value) -> Vec<(String, String)> {
    let word = |value: &Value, meaning: String| Some((value.as_str()?.to_owned(), meaning));
    match (schema.get("const"), schema.get("enum")) {
        (Some(only), _) => word(only, text(schema, "description"))
            .into_iter()
            .collect(),
        (_, Some(Value::Array(allowed))) => allowed
            .iter()
            .filter_map(|value| word(value, String::new()))
            .collect(),
        _ => Vec::new(),
    }
}

fn text(schema: &Value, name: &str) -> String {
    schema
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

// === impl Fields ===

impl Fields {
    fn from_schema(schema: &Value) -> Self {
        let mut fields = Self::default();
        let properties: BTreeMap<_, _> = match schema.get("properties") {
            Some(Value::Object(properties)) => properties.iter().collect(),
            _ => BTreeMap::new(),
        };
        for (name, schema) in properties {
            let mut node = Node::from_schema(schema);
            let own = text(schema, "description");
            if !own.is_empty() {
                node.description = own;
            }
            let snake = snake(name);
            fields.camel.insert(name.clone(), fields.list.len());
            fields.snake.insert(snake.clone(), fields.list.len());
            fields.list.push(Field {
                name: name.clone(),
                snake,
                required: false,
                support: Support::Full,
                off: Vec::new(),
                node,
            });
        }
        fields
    }

    /// The field that is called so in camelCase.
    pub fn camel(&self, name: &str) -> Option<&Field> {
        self.list.get(*self.camel.get(name)?)
    }

    /// The field that is called so in snake_case.
    pub fn snake(&self, name: &str) -> Option<&Field> {
        self.list.get(*self.snake.get(name)?)
    }
}

fn snake(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    for c in camel.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
