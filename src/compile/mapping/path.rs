//! The path of a Mapping, and what becomes of it on the way to the upstream (emissary.md, sections 2.3 and 2.11).

use std::sync::Arc;

use super::{Findings, Match};
use crate::{
    compile::{intern::Interner, pattern},
    crd::{MappingSpec, mapping},
    graph::{
        RequestPolicy, Rewrite,
        path::{canonical, literal},
        route::{PathMatch, RegexRewrite},
    },
    report::Code,
};

const PREFIX: &str = "spec.prefix";

/// What the path must be; None, with a finding, when that cannot be read.
pub(super) fn lower(
    spec: &MappingSpec,
    policy: RequestPolicy,
    findings: &mut Findings,
) -> Option<PathMatch> {
    let Some(text) = spec.prefix.as_deref() else {
        super::missing(PREFIX, findings);
        return None;
    };
    // What kind of match it is cannot be guessed.
    if findings.is_unreadable(PREFIX)
        || findings.is_unreadable("spec.prefixRegex")
        || findings.is_unreadable("spec.prefixExact")
        || findings.is_unreadable("spec.caseSensitive")
    {
        return None;
    }
    if spec.prefix_regex == Some(true) {
        return match pattern::anchored(text) {
            Ok(pattern) => Some(PathMatch::Regex(pattern)),
            Err(error) => {
                findings.push(
                    Code::InvalidRegex,
                    PREFIX,
                    format!("{text:?} is not a regular expression: {error}"),
                    "Mend the expression; it is read as RE2",
                );
                None
            }
        };
    }
    let exact = spec.prefix_exact == Some(true);
    match plain(text, exact, policy) {
        Ok(text) if exact => Some(PathMatch::Exact(text)),
        Ok(text) => Some(PathMatch::Prefix(text)),
        Err((message, next)) => {
            findings.push(Code::InvalidPath, PREFIX, message, next);
            None
        }
    }
}

/// A path in the spelling of canonical paths; an error when no request has it.
fn plain(text: &str, exact: bool, policy: RequestPolicy) -> Result<Arc<str>, (String, String)> {
    if !text.starts_with('/') {
        return Err((
            format!("{text:?} does not begin with `/`"),
            format!("Write `/{text}`"),
        ));
    }
    let spelled = literal(text).map_err(|error| {
        (
            format!("no request has {text:?}: {error}"),
            "Write the path as it is after normalisation".to_owned(),
        )
    })?;
    // The last segment of a prefix may go on.
    let whole = match spelled.rsplit_once('/') {
        Some((whole, _)) if !exact => whole,
        _ => &spelled,
    };
    if whole
        .split('/')
        .skip(1)
        .any(|segment| matches!(segment, "." | ".."))
    {
        return Err((
            format!("no request has {text:?}: dot segments are resolved before it is matched"),
            "Write the path without `.` and `..`".to_owned(),
        ));
    }
    if policy.merge_slashes && spelled.contains("//") {
        return Err((
            format!("no request has {text:?}: `//` is merged before it is matched"),
            "Write one slash, or set `paths.mergeSlashes: false` in the GatewaySettings".to_owned(),
        ));
    }
    Ok(spelled.into())
}

/// What becomes of the path; None, with a finding, when that cannot be read.
pub(super) fn rewrite(
    spec: &MappingSpec,
    matching: &Match,
    policy: RequestPolicy,
    interner: &mut Interner,
    findings: &mut Findings,
) -> Option<Rewrite> {
    if let Some(asked) = &spec.regex_rewrite {
        if spec.rewrite.as_deref().is_some_and(|text| text != "/") {
            findings.push(
                Code::NoEffect,
                "spec.rewrite",
                "`rewrite` has no effect beside `regexRewrite`",
                "Remove one of the two",
            );
        }
        return regex(asked, "spec.regexRewrite", findings).map(Rewrite::Regex);
    }
    let is_regex = matches!(matching.path, PathMatch::Regex(_));
    let replacement: Arc<str> = match spec.rewrite.as_deref() {
        Some("") => return Some(Rewrite::Keep),
        None if is_regex => return Some(Rewrite::Keep),
        None => interner.text("/"),
        Some(text) => replacement(text, "spec.rewrite", policy, findings)?,
    };
    Some(match &matching.path {
        PathMatch::Prefix(prefix) => Rewrite::Prefix {
            matched: prefix.len(),
            replacement,
        },
        PathMatch::Exact(_) | PathMatch::Regex(_) => Rewrite::Whole(replacement),
    })
}

/// A path that stands in for another one.
pub(super) fn replacement(
    text: &str,
    field: &str,
    policy: RequestPolicy,
    findings: &mut Findings,
) -> Option<Arc<str>> {
    let message = if !text.starts_with('/') {
        format!("{text:?} does not begin with `/`")
    } else if let Some(error) =
        literal(text).map_or_else(Some, |spelled| canonical(&spelled, policy).err())
    {
        format!("{text:?} cannot be sent: {error}")
    } else {
        return literal(text).ok().map(Arc::from);
    };
    findings.push(
        Code::InvalidRewrite,
        field,
        message,
        "Write a path that begins with `/`",
    );
    None
}

/// A replacement by regular expression; None, with a finding, when it cannot be read.
pub(super) fn regex(
    asked: &mapping::RegexRewrite,
    field: &str,
    findings: &mut Findings,
) -> Option<Arc<RegexRewrite>> {
    let Some(pattern) = asked.pattern.as_deref() else {
        super::missing(&format!("{field}.pattern"), findings);
        return None;
    };
    let substitution = asked.substitution.as_deref().unwrap_or_default();
    match pattern::replacement(pattern, substitution) {
        Ok(rewrite) => Some(rewrite),
        Err(error) => {
            findings.push(
                Code::InvalidRegex,
                field,
                format!("{pattern:?} with {substitution:?} cannot be used: {error}"),
                "Mend the expression; it is read as RE2",
            );
            None
        }
    }
}
