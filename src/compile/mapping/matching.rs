//! What a Mapping matches, and where it stands among others: Emissary's sort key (emissary.md, section 2.7).

use std::{borrow::Cow, sync::Arc};

use http::{HeaderName, Method};
use smallvec::SmallVec;

use super::{Findings, path};
use crate::{
    compile::{
        intern::{self, Hostname, Interner},
        pattern,
    },
    crd::MappingSpec,
    graph::{
        RequestPolicy,
        route::{Conditions, PathMatch, Pattern, Rank, TextMatch},
    },
    report::Code,
};

/// What a request must be.
#[derive(Clone, Debug)]
pub(in crate::compile) struct Match {
    pub(in crate::compile) name: NameMatch,
    pub(in crate::compile) path: PathMatch,
    pub(in crate::compile) path_key: PathKey,
    pub(in crate::compile) case_sensitive: bool,
    pub(in crate::compile) conditions: Arc<Conditions>,
    pub(in crate::compile) rank: Arc<Rank>,
    /// Equal for Mappings that share their traffic, given the same name and path.
    pub(in crate::compile) group: Arc<str>,
}

/// Which hostnames.
#[derive(Clone, Debug)]
pub(in crate::compile) enum NameMatch {
    /// The Mapping does not say: those of the Hosts that select its labels.
    Unnamed,
    Pattern(Arc<Hostname>),
    Regex(Arc<Pattern>),
}

/// A path match that can be compared: kind, whether case counts, and text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::compile) struct PathKey {
    pub(in crate::compile) text: Arc<str>,
    pub(in crate::compile) kind: PathKind,
    pub(in crate::compile) case_sensitive: bool,
}

/// The kinds of path matches, in the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::compile) enum PathKind {
    Exact,
    Prefix,
    Regex,
}

impl PathKind {
    pub(in crate::compile) fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Prefix => "prefix",
            Self::Regex => "regex",
        }
    }
}

/// A header or query condition, as the sort key counts it.
struct Condition<'c> {
    name: Cow<'c, str>,
    value: Cow<'c, str>,
    regex: bool,
}

impl Condition<'_> {
    fn weight(&self) -> usize {
        self.name.len() + self.value.len() + usize::from(self.regex)
    }
}

/// Collects the conditions while they are read.
struct Reader<'i> {
    interner: &'i mut Interner,
    conditions: Conditions,
    headers: Vec<Condition<'static>>,
    query: Vec<Condition<'static>>,
    authority: Option<NameMatch>,
    method: Option<(String, bool)>,
    readable: bool,
}

/// Lowers the match; None, with a finding, when any part of it cannot be read: less of it would match more.
pub(super) fn lower(
    spec: &MappingSpec,
    policy: RequestPolicy,
    interner: &mut Interner,
    findings: &mut Findings,
) -> Option<Match> {
    let mut reader = Reader {
        interner,
        conditions: Conditions::default(),
        headers: Vec::new(),
        query: Vec::new(),
        authority: None,
        method: None,
        readable: !FIELDS.iter().any(|field| findings.is_unreadable(field)),
    };
    let path = path::lower(spec, policy, findings);
    reader.headers(spec, findings);
    reader.query(spec, findings);
    reader.method(spec, findings);
    let name = reader.name(spec, findings);
    let (path, name) = (path?, name?);
    if !reader.readable {
        return None;
    }
    // Regular expressions say themselves whether case counts.
    let case_sensitive = spec.case_sensitive != Some(false) || matches!(path, PathMatch::Regex(_));
    let path_key = PathKey::of(&path, case_sensitive);
    let rank = Arc::new(reader.rank(spec, &name, &path_key));
    Some(Match {
        group: reader.group(spec),
        conditions: reader.interner.conditions(reader.conditions),
        name,
        path,
        path_key,
        case_sensitive,
        rank,
    })
}

/// The fields without which a match is another one.
const FIELDS: &[&str] = &[
    "spec.hostname",
    "spec.host",
    "spec.hostRegex",
    "spec.method",
    "spec.methodRegex",
    "spec.headers",
    "spec.regexHeaders",
    "spec.queryParameters",
    "spec.regexQueryParameters",
    "spec.precedence",
];

impl PathKey {
    fn of(path: &PathMatch, case_sensitive: bool) -> Self {
        let (kind, text) = match path {
            PathMatch::Prefix(text) => (PathKind::Prefix, text),
            PathMatch::Exact(text) => (PathKind::Exact, text),
            PathMatch::Regex(pattern) => (PathKind::Regex, pattern::text(pattern)),
        };
        let text = if case_sensitive {
            Arc::clone(text)
        } else {
            text.to_ascii_lowercase().into()
        };
        Self {
            text,
            kind,
            case_sensitive,
        }
    }

    /// Equal for paths that differ in nothing but case: who owns one owns the others. An expression says itself whether
    /// case counts, so only its very text is the same.
    pub(in crate::compile) fn owned(&self) -> Self {
        let is_folded = |text: &str| !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let text = if self.kind == PathKind::Regex || is_folded(&self.text) {
            Arc::clone(&self.text)
        } else {
            self.text.to_ascii_lowercase().into()
        };
        Self {
            text,
            kind: self.kind,
            case_sensitive: false,
        }
    }
}

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

    fn headers(&mut self, spec: &MappingSpec, findings: &mut Findings) {
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

    fn query(&mut self, spec: &MappingSpec, findings: &mut Findings) {
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

    fn method(&mut self, spec: &MappingSpec, findings: &mut Findings) {
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
    fn name(&mut self, spec: &MappingSpec, findings: &mut Findings) -> Option<NameMatch> {
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

    fn rank(&mut self, spec: &MappingSpec, name: &NameMatch, path: &PathKey) -> Rank {
        let pseudo = self.pseudo_headers(name);
        let headers = self.headers.iter().chain(&pseudo);
        let keys = match name {
            NameMatch::Pattern(hostname) if pseudo.len() == 1 && self.has_no_conditions() => {
                Arc::clone(&hostname.keys)
            }
            _ => headers
                .clone()
                .chain(&self.query)
                .map(|condition| format!("{}-{}", condition.name, condition.value))
                .collect(),
        };
        let tie = match name {
            NameMatch::Pattern(hostname) if path.case_sensitive => hostname.tie(path.kind),
            _ => {
                let case = if path.case_sensitive { "" } else { " i" };
                format!("{}{case}", intern::tie(name, path.kind)).into()
            }
        };
        let method = self.method.as_ref().map_or("GET", |(text, _)| text);
        Rank {
            precedence: spec.precedence.unwrap_or_default(),
            path_length: path.text.len(),
            exact: path.kind == PathKind::Exact,
            header_weight: headers.map(Condition::weight).sum(),
            query_weight: self.query.iter().map(Condition::weight).sum(),
            prefix: Arc::clone(&path.text),
            method: self.interner.text(method),
            keys,
            tie,
        }
    }

    fn has_no_conditions(&self) -> bool {
        self.headers.is_empty() && self.query.is_empty()
    }

    /// `:authority` and `:method`, which count among the headers.
    fn pseudo_headers<'n>(&self, name: &'n NameMatch) -> SmallVec<[Condition<'n>; 2]> {
        let authority = match name {
            NameMatch::Unnamed => None,
            NameMatch::Pattern(hostname) => Some(&hostname.text),
            NameMatch::Regex(pattern) => Some(&pattern.text),
        };
        let authority = authority.map(|text| Condition {
            name: ":authority".into(),
            value: (&**text).into(),
            regex: matches!(name, NameMatch::Regex(_)),
        });
        authority
            .into_iter()
            .chain(self.method_condition())
            .collect()
    }

    fn method_condition<'n>(&self) -> Option<Condition<'n>> {
        let (text, regex) = self.method.as_ref()?;
        Some(Condition {
            name: ":method".into(),
            value: text.clone().into(),
            regex: *regex,
        })
    }

    fn group(&mut self, spec: &MappingSpec) -> Arc<str> {
        use std::fmt::Write as _;
        if self.has_no_conditions() && self.method.is_none() && spec.precedence.is_none() {
            return self.interner.text("0");
        }
        let mut group = spec.precedence.unwrap_or_default().to_string();
        let query = self.query.iter().map(|condition| ('?', condition));
        let method = self.method_condition();
        let headers = self.headers.iter().chain(&method);
        for (mark, condition) in headers.map(|condition| ('h', condition)).chain(query) {
            let Condition { name, value, regex } = condition;
            // Writing to a String cannot fail.
            let _ = write!(group, " {mark}{regex}{name:?}{value:?}");
        }
        self.interner.text(&group)
    }
}

impl std::fmt::Display for NameMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unnamed => Ok(()),
            Self::Pattern(hostname) => f.write_str(&hostname.text),
            Self::Regex(pattern) => write!(f, "~{}", pattern.text),
        }
    }
}
