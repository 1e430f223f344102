//! What a pass has to say about one object, collected in any order.

use super::few::Few;
use crate::{
    crd::{
        HostSpec, ListenerSpec, MappingSpec, TcpMappingSpec, TlsContextSpec,
        schema::{
            Node, Problem, ProblemKind, Spec, is_within,
            tree::{Names, Shape},
        },
    },
    report::{Code, Diagnostic},
    resource::{Group, Kind, Object},
};

/// Diagnostics of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Findings(pub(super) Few<Diagnostic>);

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

/// The path of a field as the object spells it. Passes name fields in camelCase, and Emissary's kinds have its names,
/// unless the object itself says otherwise.
pub(super) fn as_written<T>(object: &Object<T>, field: String) -> String {
    if object.key.group != Group::Emissary || object.positions.get(&field).is_some() {
        return field;
    }
    match object.key.kind {
        Kind::Mapping => spelled(MappingSpec::tree(), Names::Snake, &field),
        Kind::TcpMapping => spelled(TcpMappingSpec::tree(), Names::Snake, &field),
        Kind::Host => spelled(HostSpec::tree(), Names::Mixed, &field),
        Kind::Listener => spelled(ListenerSpec::tree(), Names::Mixed, &field),
        Kind::TlsContext => spelled(TlsContextSpec::tree(), Names::Snake, &field),
        _ => field,
    }
}

/// Names of map entries, and what no schema names, stay as they are.
fn spelled(mut node: &Node, mut names: Names, path: &str) -> String {
    let Some(mut rest) = path.strip_prefix("spec") else {
        return path.to_owned();
    };
    let mut out = "spec".to_owned();
    while let (Shape::Object(fields), Some(next)) = (&node.shape, rest.strip_prefix('.')) {
        let (name, _) = next.split_at(next.find(['.', '[']).unwrap_or(next.len()));
        let Some(field) = fields.list.iter().find(|field| field.name == name) else {
            break;
        };
        out.push('.');
        out.push_str(names.of(field));
        names = names.within(field);
        rest = &next[name.len()..];
        node = &field.node;
        if let (Shape::List { items, .. }, Some(end)) = (&node.shape, rest.find(']')) {
            out.push_str(&rest[..=end]);
            rest = &rest[end + 1..];
            node = items;
        }
    }
    out + rest
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_spelled_along_the_schema_and_names_of_entries_are_left() {
        for (path, wanted) in [
            ("spec.timeoutMs", "spec.timeout_ms"),
            ("spec.headers.X-FooBar", "spec.headers.X-FooBar"),
            (
                "spec.addRequestHeaders.fooBar",
                "spec.add_request_headers.fooBar",
            ),
            ("spec.allowUpgrade[1]", "spec.allow_upgrade[1]"),
            ("spec.regexRewrite.pattern", "spec.regex_rewrite.pattern"),
            ("spec.notThere.x", "spec.notThere.x"),
            ("spec", "spec"),
            ("metadata.fooBar", "metadata.fooBar"),
            ("", ""),
        ] {
            assert_eq!(
                spelled(MappingSpec::tree(), Names::Snake, path),
                wanted,
                "{path}"
            );
        }
    }

    #[test]
    fn a_host_of_emissary_has_snake_case_in_tls_and_for_its_ids_only() {
        for (path, wanted) in [
            ("spec.tlsSecret.name", "spec.tlsSecret.name"),
            ("spec.tls.minTlsVersion", "spec.tls.min_tls_version"),
            ("spec.ambassadorId[0]", "spec.ambassador_id[0]"),
        ] {
            assert_eq!(spelled(HostSpec::tree(), Names::Mixed, path), wanted);
        }
    }
}
