//! Checks the JSON of an object against the schema of its kind, before it is deserialised.

use serde_json::Value;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a path from the root of the object: `spec.headers.x-a`, `spec.protocolStack[0]`.
    pub field: String,
    pub kind: ProblemKind,
    /// What is wrong, one sentence without the final period.
    pub message: String,
    /// What to do about it, one sentence without the final period; empty when the message says it.
    pub next: String,
}

/// The kinds of mistake that a schema can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The schema has no such field.
    UnknownField,
    /// A value of another type than the schema's.
    WrongType,
    /// A value outside an enumeration, a range, a pattern or a length.
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
pub trait Spec:
    serde::de::DeserializeOwned + schemars::JsonSchema + Default + Clone + std::fmt::Debug
{
    /// Fields that must be present.
    const REQUIRED: &'static [&'static str];
    /// Fields of Emissary-ingress that refuse the object: Postern does not implement them.
    const NOT_IMPLEMENTED: &'static [&'static str] = &[];
    /// Fields of Emissary-ingress that have no effect there either, or none here that protects anything.
    const NO_EFFECT: &'static [&'static str] = &[];
}

/// Reads a spec: all the problems of the object at once, and what is left when the bad fields are taken out.
pub fn read<S: Spec>(spec: Value, spelling: Spelling) -> (S, Vec<Problem>) {
    let _ = spelling;
    (serde_json::from_value(spec).unwrap_or_default(), Vec::new())
}
