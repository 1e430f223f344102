//! The CORS policy of a Mapping (emissary.md, section 2.16).

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};

use super::Findings;
use crate::{
    crd::mapping::Cors as Said,
    graph::cors::{Cors, Origins},
    report::Code,
};

/// The policy; a value that cannot be read is left out, with a finding.
pub(in crate::compile) fn lower(said: &Said, findings: &mut Findings) -> Arc<Cors> {
    Arc::new(Cors {
        origins: origins(said.origins.as_deref().unwrap_or_default(), findings),
        methods: list(
            said.methods.as_deref(),
            "spec.cors.methods",
            |text| text == "*" || Method::from_bytes(text.as_bytes()).is_ok(),
            "a method",
            findings,
        ),
        headers: list(
            said.headers.as_deref(),
            "spec.cors.headers",
            is_header,
            "the name of a header",
            findings,
        ),
        exposed: list(
            said.exposed_headers.as_deref(),
            "spec.cors.exposedHeaders",
            is_header,
            "the name of a header",
            findings,
        ),
        credentials: said.credentials == Some(true),
        max_age: max_age(said.max_age.as_deref(), findings),
    })
}

fn is_header(text: &str) -> bool {
    text == "*" || HeaderName::from_bytes(text.as_bytes()).is_ok()
}

fn origins(said: &[String], findings: &mut Findings) -> Origins {
    if said.iter().any(|origin| origin == "*") {
        return Origins::Any;
    }
    for (position, origin) in said.iter().enumerate() {
        if !is_origin(origin) {
            findings.push(
                Code::NoEffect,
                &format!("spec.cors.origins[{position}]"),
                format!("No browser sends {origin:?} as an origin"),
                "Write scheme and host, perhaps with a port, and nothing after it: `https://example.com`",
            );
        }
    }
    if said.is_empty() {
        findings.push(
            Code::NoEffect,
            "spec.cors.origins",
            "Without origins no page of another origin may do anything",
            "Write the origins that may, or `\"*\"`",
        );
    }
    Origins::Only(said.iter().map(|origin| Arc::from(&**origin)).collect())
}

/// `null`, or scheme, host and port in the spelling that browsers use.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return text == "null";
    };
    let plain = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
    };
    plain(scheme) && plain(host) && !host.contains(['/', '?', '#', '@', '*', ','])
}

fn list(
    said: Option<&[String]>,
    field: &str,
    fits: impl Fn(&str) -> bool,
    what: &str,
    findings: &mut Findings,
) -> Option<HeaderValue> {
    let said = said.filter(|said| !said.is_empty())?;
    let mut good = Vec::new();
    for (position, text) in said.iter().enumerate() {
        if fits(text) {
            good.push(&**text);
        } else {
            findings.push(
                Code::InvalidValue,
                &format!("{field}[{position}]"),
                format!("{text:?} is not {what}"),
                format!("Write {what}, or `\"*\"`"),
            );
        }
    }
    HeaderValue::try_from(good.join(", ")).ok()
}

fn max_age(said: Option<&str>, findings: &mut Findings) -> Option<HeaderValue> {
    let said = said?;
    let number = said.parse::<i32>().ok().filter(|number| *number >= -1);
    if number.is_none() {
        findings.push(
            Code::InvalidValue,
            "spec.cors.maxAge",
            format!("{said:?} is not a number of seconds"),
            "Write a number such as `\"86400\"`",
        );
    }
    number.map(HeaderValue::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_spelled_as_browsers_spell_them() {
        for (origin, good) in [
            ("https://example.com", true),
            ("http://localhost:3000", true),
            ("null", true),
            ("https://example.com/", false),
            ("https://*.example.com", false),
            ("https://Example.com", false),
            ("example.com", false),
            ("https://", false),
        ] {
            assert_eq!(is_origin(origin), good, "{origin}");
        }
    }

    #[test]
    fn lists_become_one_value_and_what_is_none_is_told() {
        let said: Said = serde_json::from_value(serde_json::json!({
            "origins": ["https://a.com"], "methods": ["GET", "P UT"], "headers": ["x-a", "*"],
            "credentials": true, "maxAge": "soon",
        }))
        .unwrap();
        let mut findings = Findings::default();
        let cors = lower(&said, &mut findings);
        assert_eq!(cors.methods, Some(HeaderValue::from_static("GET")));
        assert_eq!(cors.headers, Some(HeaderValue::from_static("x-a, *")));
        assert_eq!((cors.exposed.clone(), cors.max_age.clone()), (None, None));
        assert!(
            cors.credentials && cors.allows(b"https://a.com") && !cors.allows(b"https://b.com")
        );
        let fields: Vec<_> = findings.0.iter().map(|found| &*found.field).collect();
        assert_eq!(fields, ["spec.cors.methods[1]", "spec.cors.maxAge"]);
    }
}
