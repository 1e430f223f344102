//! Mappings that get copies (emissary.md, section 2.10).

use super::{Findings, Weight};
use crate::{crd::MappingSpec, report::Code};

/// Of how many of a hundred requests it gets copies, if it is one that does. One that cannot be told to be none is one: it must
/// not answer.
pub(super) fn lower(spec: &MappingSpec, weight: Weight, findings: &mut Findings) -> Option<u8> {
    if spec.shadow != Some(true) && !findings.is_unreadable("spec.shadow") {
        return None;
    }
    if spec.host_redirect == Some(true) {
        findings.push(
            Code::InvalidValue,
            "spec.hostRedirect",
            "A Mapping with `shadow` answers nobody, so it cannot redirect",
            "Remove one of the two",
        );
    }
    for (field, is_set) in [
        (
            "rewrite",
            spec.rewrite.as_deref().is_some_and(|text| text != "/"),
        ),
        ("regexRewrite", spec.regex_rewrite.is_some()),
        ("hostRewrite", spec.host_rewrite.is_some()),
        ("autoHostRewrite", spec.auto_host_rewrite == Some(true)),
        ("addRequestHeaders", spec.add_request_headers.is_some()),
        ("addResponseHeaders", spec.add_response_headers.is_some()),
        (
            "removeRequestHeaders",
            spec.remove_request_headers.is_some(),
        ),
        (
            "removeResponseHeaders",
            spec.remove_response_headers.is_some(),
        ),
        ("cors", spec.cors.is_some()),
        ("retryPolicy", spec.retry_policy.is_some()),
    ] {
        if is_set {
            findings.push(
                Code::NoEffect,
                &format!("spec.{field}"),
                format!(
                    "`{field}` has no effect: a copy is sent as the request that it is a copy of"
                ),
                "Remove the field",
            );
        }
    }
    Some(match weight {
        Weight::Rest => 100,
        Weight::Percent(percent) => u8::try_from(percent).unwrap_or(100),
        Weight::Invalid | Weight::Shadow(_) => 0,
    })
}
