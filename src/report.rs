//! What the compiler has to say about each object: accepted, where it serves, what is wrong, with a code.

pub mod code;
mod list;
pub mod replica;
pub mod settled;
pub mod version;
pub mod wire;

use std::{collections::BTreeSet, sync::Arc};

pub use code::{Code, Condition, Severity};
pub use list::ReportList;
use serde::{Deserialize, Serialize};
pub use settled::{Field, Settled};

use crate::resource::{ObjectKey, Origin, Revision};

/// One thing to say about one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    pub code: Code,
    /// The field, as a path from the root of the object (`spec.prefix`); empty when it is about the whole object.
    pub field: String,
    /// What is wrong, naming what is involved: one sentence without the final period.
    pub message: String,
    /// One next step: one sentence without the final period.
    pub next: String,
}

/// All there is to say about one object. Two are equal when they say the same, whatever version of the object it was said of.
#[derive(Clone, Debug)]
pub struct ObjectReport {
    pub key: ObjectKey,
    pub origin: Origin,
    /// That of the object as it was when this was first said of it: what changed since has changed no word.
    pub revision: Arc<Revision>,
    /// In the order of their codes and fields, without duplicates.
    pub diagnostics: Box<[Diagnostic]>,
    /// Whether something of the object is in the graph, serving as it says or answering with a code.
    pub in_graph: bool,
    /// Where it serves, as a person writes it: `example.com/api/`, `:8080`.
    pub serves: Box<[Box<str>]>,
    /// What an object asks for that does not get all of it, if that can be read: it has errors and nothing in the graph, or a
    /// part belongs to others.
    pub asks: Option<Box<Asked>>,
    /// By which of its fields it settles how requests are handled.
    pub settled: Settled,
    /// For a Host with a certificate: when it ends, in seconds since 1970. Data, not a judgement: the compiler has no clock.
    pub certificate_not_after: Option<i64>,
}

/// A place in the URL space that an object asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Asked {
    /// `*` when the object does not say; a regular expression begins with `~`. Of a TCPMapping: `db.example.com:5432`, or `:6379`.
    pub hostname: String,
    /// A regular expression begins with `~`.
    pub path: String,
    /// Whether the path must be this one, not only begin with it.
    pub exact: bool,
}

/// What the compiler has to say about a resource set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order of their keys. The report of an object that did not change keeps its `Arc`.
    pub objects: ReportList,
    /// Secrets that something refers to and may: their bodies are wanted, those of all others are not.
    pub wanted_secrets: BTreeSet<ObjectKey>,
    /// What is wrong with files as such, in the order of path and position.
    pub files: Vec<(Origin, Diagnostic)>,
}

impl Diagnostic {
    /// With an empty `next`, the remedy of the code is the next step.
    pub fn new(
        code: Code,
        field: impl Into<String>,
        message: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        let mut next = next.into();
        if next.is_empty() {
            code.info()
                .remedy
                .trim_end_matches('.')
                .clone_into(&mut next);
        }
        Self {
            code,
            field: field.into(),
            message: message.into(),
            next,
        }
    }

    pub fn is_error(&self) -> bool {
        self.code.info().severity == Severity::Error
    }
}

impl PartialEq for ObjectReport {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            key,
            origin,
            revision,
            diagnostics,
            in_graph,
            serves,
            asks,
            settled,
            certificate_not_after,
        } = self;
        *key == other.key
            && *origin == other.origin
            // What is equal keeps its `Arc`.
            && revision.is_generation_of(&other.revision)
            && *diagnostics == other.diagnostics
            && *in_graph == other.in_graph
            && *serves == other.serves
            && *asks == other.asks
            && *settled == other.settled
            && *certificate_not_after == other.certificate_not_after
    }
}

impl Eq for ObjectReport {}

impl ObjectReport {
    /// The first error about a condition, if there is one: a condition is true when there is none.
    pub fn error(&self, condition: Condition) -> Option<&Diagnostic> {
        self.diagnostics
            .iter()
            .find(|d| d.is_error() && d.code.info().condition == condition)
    }

    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

impl Report {
    pub fn object(&self, key: &ObjectKey) -> Option<&Arc<ObjectReport>> {
        self.objects.get(key)
    }
}
