//! What a pass has to say about one object, collected in any order.

use crate::{
    crd::schema::{Problem, ProblemKind},
    report::{Code, Diagnostic},
};

/// Diagnostics of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings(pub(super) Vec<Diagnostic>);

impl Findings {
    /// Starts with what the schema has found.
    pub(super) fn of(problems: &[Problem]) -> Self {
        Self(
            problems
                .iter()
                .map(|problem| {
                    Diagnostic::new(
                        code(problem.kind),
                        &*problem.field,
                        &*problem.message,
                        &*problem.next,
                    )
                })
                .collect(),
        )
    }

    pub(super) fn push(
        &mut self,
        code: Code,
        field: &str,
        message: impl Into<String>,
        next: impl Into<String>,
    ) {
        self.0.push(Diagnostic::new(code, field, message, next));
    }

    /// The first error in the order of codes and fields: what stands for the object where only one can.
    pub(super) fn first_error(&self) -> Option<&Diagnostic> {
        self.0.iter().filter(|found| found.is_error()).min()
    }

    /// Whether a field, one inside of it or one around it has an error, in whichever spelling.
    pub(super) fn is_unreadable(&self, field: &str) -> bool {
        self.0
            .iter()
            .filter(|found| found.is_error() && !found.field.is_empty())
            .any(|found| is_within(&found.field, field) || is_within(field, &found.field))
    }
}

/// Whether a path names a field or one inside of it; `timeoutMs` and `timeout_ms` are the same field.
fn is_within(path: &str, field: &str) -> bool {
    let letters = |text: &'_ str| -> Vec<u8> {
        let bytes = text.bytes().filter(|byte| *byte != b'_');
        bytes.map(|byte| byte.to_ascii_lowercase()).collect()
    };
    let (path, field) = (letters(path), letters(field));
    path.strip_prefix(&*field)
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'.' | b'[')))
}

fn code(kind: ProblemKind) -> Code {
    match kind {
        ProblemKind::UnknownField => Code::UnknownField,
        ProblemKind::WrongType => Code::WrongType,
        ProblemKind::InvalidValue => Code::InvalidValue,
        ProblemKind::MissingField => Code::MissingField,
        ProblemKind::NotImplemented => Code::NotImplemented,
        ProblemKind::NoEffect => Code::NoEffect,
        ProblemKind::Literal => Code::LiteralVariable,
    }
}
