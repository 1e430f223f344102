//! Reads the conditions of a match, one field after the other.

use std::sync::Arc;

use http::{HeaderName, Method};

use super::{Condition, NameMatch, Reader};
use crate::{
    compile::{mapping::Findings, pattern},
    crd::MappingSpec,
    graph::route::{Pattern, TextMatch},
    report::Code,
};

impl Reader<'_> {
    fn refuse(
        &mut self,
        findings: &mut Findings,
        code: Code,
        field: &str,
        message: String,
        next: &str,
    ) {
        self.readable = false;
        findings.push(code, field, message, next);
    }

    pub(super) fn headers(&mut self, spec: &MappingSpec, findings: &mut Findings) {
        for (name, value) in spec.headers.iter().flatten() {
            self.header(name, value, false, findings);
        }
        for (name, value) in spec.regex_headers.iter().flatten() {
            self.header(name, value, true, findings);
        }
    }

    fn header(&mut self, name: &str, value: &str, regex: bool, findings: &mut Findings) {
        let field = if regex {
            format!("spec.regexHeaders.{name}")
        } else {
            format!("spec.headers.{name}")
        };
        match name {
            ":authority" => {
                self.authority = self.host(value, regex, &field, findings);
            }
            ":method" => self.method = Some((value.to_owned(), regex)),
            _ => {
                let Ok(header) = name.parse::<HeaderName>() else {
                    let message = format!("{name:?} is not a header name");
                    let next = "Use the name of a header, or `:authority` or `:method`";
                    return self.refuse(findings, Code::InvalidHeader, &field, message, next);
                };
                let Some(text) = self.text(value, regex, &field, findings) else {
                    return;
                };
                self.conditions.headers.push((header, text));
                self.headers.push(Condition {
                    name: name.to_ascii_lowercase().into(),
                    value: value.to_owned().into(),
                    regex,
                });
            }
        }
    }

    pub(super) fn query(&mut self, spec: &MappingSpec, findings: &mut Findings) {
        let exact = spec.query_parameters.iter().flatten();
        let regex = spec.regex_query_parameters.iter().flatten();
        let all = exact
            .map(|pair| (pair, false, "queryParameters"))
            .chain(regex.map(|pair| (pair, true, "regexQueryParameters")));
        for ((name, value), regex, field) in all {
            let field = format!("spec.{field}.{name}");
            if let Some(text) = self.text(value, regex, &field, findings) {
                self.conditions.query.push((name.as_str().into(), text));
                self.query.push(Condition {
                    name: name.clone().into(),
                    value: value.clone().into(),
                    regex,
                });
            }
        }
    }

    pub(super) fn method(&mut self, spec: &MappingSpec, findings: &mut Findings) {
        let field = "spec.method";
        if let Some(method) = &spec.method {
            self.method = Some((method.clone(), spec.method_regex == Some(true)));
        }
        let Some((text, regex)) = self.method.clone() else {
            return;
        };
        let text = if regex {
            text
        } else {
            text.to_ascii_uppercase()
        };
        if !regex && Method::from_bytes(text.as_bytes()).is_err() {
            let message = format!("{text:?} is not a method");
            let next = "Write one method, or use `methodRegex`";
            return self.refuse(findings, Code::InvalidMethod, field, message, next);
        }
        self.conditions.method = self.text(&text, regex, field, findings);
        self.method = Some((text, regex));
    }

    fn text(
        &mut self,
        text: &str,
        regex: bool,
        field: &str,
        findings: &mut Findings,
    ) -> Option<TextMatch> {
        if !regex {
            return Some(TextMatch::Exact(text.into()));
        }
        self.regex(text, field, findings).map(TextMatch::Regex)
    }

    fn regex(&mut self, text: &str, field: &str, findings: &mut Findings) -> Option<Arc<Pattern>> {
        match pattern::anchored(text) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let message = format!("{text:?} is not a regular expression: {error}");
                let next = "Mend the expression; it is read as RE2";
                self.refuse(findings, Code::InvalidRegex, field, message, next);
                None
            }
        }
    }

    /// `hostname`, else `host`, else `:authority`. None when one of them cannot be read.
    pub(super) fn name(
        &mut self,
        spec: &MappingSpec,
        findings: &mut Findings,
    ) -> Option<NameMatch> {
        if let Some(hostname) = spec.hostname.as_deref().filter(|name| !name.is_empty()) {
            for (field, is_set) in [
                ("host", spec.host.is_some()),
                ("headers.:authority", self.authority.is_some()),
            ] {
                if is_set {
                    findings.push(
                        Code::NoEffect,
                        &format!("spec.{field}"),
                        format!("`{field}` has no effect beside `hostname`"),
                        "Remove it",
                    );
                }
            }
            return self.pattern(hostname, "spec.hostname", findings);
        }
        if let Some(host) = spec.host.as_deref().filter(|name| !name.is_empty()) {
            return self.host(host, spec.host_regex == Some(true), "spec.host", findings);
        }
        Some(self.authority.take().unwrap_or(NameMatch::Unnamed))
    }

    /// A host that is one name or a regular expression.
    fn host(
        &mut self,
        text: &str,
        regex: bool,
        field: &str,
        findings: &mut Findings,
    ) -> Option<NameMatch> {
        if regex {
            return self.regex(text, field, findings).map(NameMatch::Regex);
        }
        if text.contains('*') {
            let message = format!("{text:?} has a `*`, and here it is compared as it is written");
            let next = "Use `hostname`, which knows wildcards";
            self.refuse(findings, Code::InvalidHostname, field, message, next);
            return None;
        }
        self.pattern(text, field, findings)
    }

    fn pattern(&mut self, text: &str, field: &str, findings: &mut Findings) -> Option<NameMatch> {
        match self.interner.hostname(text) {
            Ok(hostname) => Some(NameMatch::Pattern(hostname)),
            Err(error) => {
                let message = format!("{text:?} is not a hostname: {error}");
                let next = "Write a name such as `example.com` or `*.example.com`, or `*`";
                self.refuse(findings, Code::InvalidHostname, field, message, next);
                None
            }
        }
    }
}
