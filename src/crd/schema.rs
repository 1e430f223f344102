//! Checks the JSON of an object against the schema of its kind, before it is deserialised.
//!
//! The schema is made from the Rust types once ([`tree`]); the walk along it takes out what it cannot stand for.

mod check;
mod nearest;
mod respell;
pub mod tree;
mod written;

use serde_json::Value;

use super::rule::Rule;
pub use nearest::nearest;
pub use respell::{Fate, Used, respell};
pub use tree::Node;
pub use written::Written;

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
    /// Emissary-ingress would put a variable of its environment there; the value is taken as it is written.
    Literal,
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
    serde::de::DeserializeOwned + schemars::JsonSchema + Default + Clone + std::fmt::Debug + 'static
{
    /// Fields that must be present, as soon as what they are part of is.
    const REQUIRED: &'static [&'static str];
    /// Fields of Emissary-ingress that refuse the object: Postern does not implement them.
    const NOT_IMPLEMENTED: &'static [&'static str] = &[];
    /// Fields that change nothing about which requests are served, by whom and how. The description of one that Emissary-ingress
    /// heeds says why.
    const NO_EFFECT: &'static [&'static str] = &[];
    /// Values that ask for nothing beyond what happens anyway, beside what is empty, and `false` where `true` is not named.
    const OFF: &'static [(&'static str, &'static str)] = &[];

    /// Rules about several fields at once.
    const RULES: &'static [Rule<Self>] = &[];

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
    read_as(spec, spelling, serde_json::from_value, |spec| spec)
}

/// The same, and keeps the spec as text.
pub fn written<S: Spec>(spec: Value, spelling: Spelling) -> (Written<S>, Vec<Problem>) {
    let parse = |clean: Value| Written::new(clean.to_string());
    let ((written, _), problems) = read_as(spec, spelling, parse, |(_, spec)| spec);
    (written, problems)
}

/// Reads a spec into whatever form `parse` gives it, with the spec itself in it.
fn read_as<S: Spec, F: Default>(
    spec: Value,
    spelling: Spelling,
    parse: impl FnOnce(Value) -> Result<F, serde_json::Error>,
    in_form: impl FnOnce(&F) -> &S,
) -> (F, Vec<Problem>) {
    let (clean, mut problems) = check::check(S::tree(), spec, spelling);
    let form = clean.map_or_else(F::default, |clean| {
        parse(clean).unwrap_or_else(|error| {
            // Only a schema that promises more than its type holds leads here.
            problems.push(Problem {
                field: "spec".to_owned(),
                kind: ProblemKind::InvalidValue,
                message: format!("the spec cannot be read: {error}"),
                next: String::new(),
            });
            F::default()
        })
    });
    if spelling == Spelling::Camel {
        check_rules(in_form(&form), &mut problems);
    }
    problems.sort();
    (form, problems)
}

/// The rules that the API server would check. Emissary-ingress has none, and says what wins.
fn check_rules<S: Spec>(spec: &S, problems: &mut Vec<Problem>) {
    for rule in S::RULES {
        // A field that was taken out says nothing about the others.
        let is_in_doubt = problems.iter().any(|problem| {
            let mut names = problem.field.split(['.', '[']).skip(1);
            let name = names.next().unwrap_or_default();
            !problem.is_harmless() && rule.names(name)
        });
        if !is_in_doubt && rule.holds.is_some_and(|holds| !holds(spec)) {
            problems.push(Problem {
                field: format!("spec.{}", rule.field),
                kind: ProblemKind::InvalidValue,
                message: rule.message.to_owned(),
                next: rule.next.to_owned(),
            });
        }
    }
}

// === impl Problem ===

impl Problem {
    /// Whether this is about a field, given by its camelCase path (`spec.prefixRegex`), or about something in it.
    pub fn concerns(&self, field: &str) -> bool {
        is_within(&self.field, field)
    }

    /// Whether the object is served all the same.
    pub fn is_harmless(&self) -> bool {
        matches!(self.kind, ProblemKind::NoEffect | ProblemKind::Literal)
    }
}

/// Whether a path is that of a field or of something in it, each in either spelling.
pub fn is_within(path: &str, field: &str) -> bool {
    let mut found = path.chars().filter(|c| *c != '_');
    let is_same = |wanted: char| {
        found
            .next()
            .is_some_and(|c| c.eq_ignore_ascii_case(&wanted))
    };
    field.chars().filter(|c| *c != '_').all(is_same)
        && matches!(found.next(), None | Some('.' | '['))
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
