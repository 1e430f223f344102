//! Mappings that answer with a redirect (emissary.md, section 2.9).

use std::sync::Arc;

use http::StatusCode;

use super::{Findings, Match, path, service};
use crate::{
    compile::intern::Interner,
    crd::MappingSpec,
    graph::{
        Redirect, RequestPolicy,
        route::{PathMatch, RedirectPath},
    },
    report::Code,
};

/// The redirect, or None with a finding.
pub(super) fn lower(
    spec: &MappingSpec,
    matching: &Match,
    interner: &mut Interner,
    findings: &mut Findings,
) -> Option<Arc<Redirect>> {
    let target = service(spec, interner, findings);
    let path = redirect_path(spec, matching, findings);
    let status = status(spec, findings);
    for (field, is_set) in [
        ("addRequestHeaders", spec.add_request_headers.is_some()),
        ("addResponseHeaders", spec.add_response_headers.is_some()),
        ("rewrite", spec.rewrite.is_some()),
        ("regexRewrite", spec.regex_rewrite.is_some()),
        ("cors", spec.cors.is_some()),
        ("retryPolicy", spec.retry_policy.is_some()),
    ] {
        if is_set {
            no_effect(field, "a Mapping that redirects does not use it", findings);
        }
    }
    let target = target?;
    let port = target
        .port
        .as_ref()
        .map_or_else(String::new, |port| format!(":{port}"));
    Some(Arc::new(Redirect {
        status: status?,
        scheme: target
            .tls
            .map(|tls| if tls { "https".into() } else { "http".into() }),
        host: format!("{}{port}", target.host).into(),
        path: path?,
        allow_escaped_slashes: spec.allow_escaped_slashes == Some(true),
    }))
}

fn status(spec: &MappingSpec, findings: &mut Findings) -> Option<StatusCode> {
    match spec.redirect_response_code {
        None => Some(StatusCode::MOVED_PERMANENTLY),
        Some(code @ (301 | 302 | 303 | 307 | 308)) => u16::try_from(code)
            .ok()
            .and_then(|code| StatusCode::from_u16(code).ok()),
        Some(other) => {
            findings.push(
                Code::InvalidValue,
                "spec.redirectResponseCode",
                format!("{other} is not a redirect"),
                "Write 301, 302, 303, 307 or 308",
            );
            None
        }
    }
}

/// Of several the first counts: path, prefix, regex.
fn redirect_path(
    spec: &MappingSpec,
    matching: &Match,
    findings: &mut Findings,
) -> Option<RedirectPath> {
    let set = [
        ("pathRedirect", spec.path_redirect.is_some()),
        ("prefixRedirect", spec.prefix_redirect.is_some()),
        ("regexRedirect", spec.regex_redirect.is_some()),
    ];
    let mut asked = set.iter().filter(|(_, is_set)| *is_set);
    if let Some((first, _)) = asked.next() {
        for (field, _) in asked {
            no_effect(field, &format!("`{first}` comes before it"), findings);
        }
    }
    // What the replacement looks like after `//` is merged is the request's business.
    let policy = RequestPolicy::default();
    if let Some(text) = &spec.path_redirect {
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&**text, None),
        };
        let path = path::replacement(path, "spec.pathRedirect", policy, findings)?;
        let whole = match query {
            Some(query) => format!("{path}?{}", sendable_query(query, findings)?).into(),
            None => path,
        };
        return Some(RedirectPath::Whole(whole));
    }
    if let Some(text) = &spec.prefix_redirect {
        let replacement = path::replacement(text, "spec.prefixRedirect", policy, findings)?;
        return Some(match &matching.path {
            PathMatch::Prefix(prefix) => RedirectPath::Prefix {
                matched: prefix.len(),
                replacement,
            },
            PathMatch::Exact(_) | PathMatch::Regex(_) => RedirectPath::Whole(replacement),
        });
    }
    match &spec.regex_redirect {
        Some(asked) => path::regex(asked, "spec.regexRedirect", findings).map(RedirectPath::Regex),
        None => Some(RedirectPath::Keep),
    }
}

/// A query goes into a header: graphic ASCII only, and no fragment.
fn sendable_query<'q>(query: &'q str, findings: &mut Findings) -> Option<&'q str> {
    let sendable = query
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !sendable {
        findings.push(
            Code::InvalidRewrite,
            "spec.pathRedirect",
            format!("the query {query:?} has characters that must be escaped"),
            "Percent-encode them",
        );
    }
    sendable.then_some(query)
}

/// Says which redirect fields of a Mapping that forwards do nothing.
pub(super) fn warn_without_effect(spec: &MappingSpec, findings: &mut Findings) {
    for (field, is_set) in [
        ("pathRedirect", spec.path_redirect.is_some()),
        ("prefixRedirect", spec.prefix_redirect.is_some()),
        ("regexRedirect", spec.regex_redirect.is_some()),
        (
            "redirectResponseCode",
            spec.redirect_response_code.is_some(),
        ),
    ] {
        if is_set {
            no_effect(field, "`hostRedirect` is not true", findings);
        }
    }
}

fn no_effect(field: &str, why: &str, findings: &mut Findings) {
    findings.push(
        Code::NoEffect,
        &format!("spec.{field}"),
        format!("`{field}` has no effect: {why}"),
        "Remove the field",
    );
}
