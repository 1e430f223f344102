//! Checks the JSON of an object against the schema of its kind, before it is deserialised.
//!
//! The schema is made from the Rust types once ([`tree`]), and the walk ([`check`]) takes out what it cannot stand for.

mod check;
pub mod tree;

use serde_json::Value;

pub use tree::Node;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where, as a path from the root of the object: `spec.headers.x-a`, `spec.protocolStack[0]`. Spelled as the user did.
    pub field: String,
    pub kind: ProblemKind,
    /// What is wrong, one sentence without the final period.
    pub message: String,
    /// What to do about it, one sentence without the final period; empty when the message says it.
    pub next: String,
}

/// The kinds of mistake that a schema can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// The schema has no such field.
    UnknownField,
    /// A value of another type than the schema's.
    WrongType,
    /// A value outside an enumeration, a range or a length.
    InvalidValue,
    /// A required field is absent.
    MissingField,
    /// The field exists in Emissary-ingress, and Postern does not implement it.
    NotImplemented,
    /// The field has no effect; the object is served all the same.
    NoEffect,
}

/// How the names in an object are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `postern.dev`: camelCase.
    Camel,
    /// `getambassador.io`: snake_case, camelCase accepted.
    Snake,
}

/// The spec of a kind: its schema, and the fields that are known but not implemented.
///
/// Fields are named by their path in the spec (`tls.minTlsVersion`), with `*` for every entry of a list or map.
pub trait Spec:
    serde::de::DeserializeOwned + schemars::JsonSchema + Default + Clone + std::fmt::Debug
{
    /// Fields that must be present, as soon as what they are part of is.
    const REQUIRED: &'static [&'static str];
    /// Fields of Emissary-ingress that refuse the object: Postern does not implement them.
    const NOT_IMPLEMENTED: &'static [&'static str] = &[];
    /// Fields of Emissary-ingress that have no effect there either, or none here that protects anything.
    const NO_EFFECT: &'static [&'static str] = &[];
    /// Values that ask for nothing beyond what happens anyway, beside `false` and what is empty.
    const OFF: &'static [(&'static str, &'static str)] = &[];

    /// The schema, made once.
    fn tree() -> &'static Node;
}

/// The schema of a kind, made at the first use.
macro_rules! made_once {
    ($spec:ty) => {
        fn tree() -> &'static $crate::crd::schema::Node {
            static TREE: std::sync::LazyLock<$crate::crd::schema::Node> =
                std::sync::LazyLock::new($crate::crd::schema::Node::of::<$spec>);
            &TREE
        }
    };
}
pub(super) use made_once;

/// Reads a spec: all the problems of the object at once, and what is left when the bad fields are taken out.
///
/// A bad entry takes the whole list or map with it: half of a condition would match more than was asked for. A bad field
/// takes only itself.
pub fn read<S: Spec>(spec: Value, spelling: Spelling) -> (S, Vec<Problem>) {
    let (clean, mut problems) = check::check(S::tree(), spec, spelling);
    let spec = clean.map_or_else(S::default, |clean| {
        serde_json::from_value(clean).unwrap_or_else(|error| {
            // Only a schema that promises more than its type holds leads here.
            problems.push(Problem {
                field: "spec".to_owned(),
                kind: ProblemKind::InvalidValue,
                message: format!("The spec cannot be read: {error}"),
                next: String::new(),
            });
            S::default()
        })
    });
    problems.sort();
    (spec, problems)
}

// === impl Problem ===

impl Problem {
    /// Whether this is about a field, given by its camelCase path (`spec.prefixRegex`), or about something in it.
    pub fn concerns(&self, field: &str) -> bool {
        let mut found = self.field.chars().filter(|c| *c != '_');
        for wanted in field.chars() {
            if !found
                .next()
                .is_some_and(|c| c.eq_ignore_ascii_case(&wanted))
            {
                return false;
            }
        }
        matches!(found.next(), None | Some('.' | '['))
    }

    /// Whether the object is served all the same.
    pub fn is_harmless(&self) -> bool {
        self.kind == ProblemKind::NoEffect
    }
}

#[cfg(test)]
mod tests;
