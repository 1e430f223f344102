//! What a Mapping matches, and where it stands among others: Emissary's sort key (emissary.md, section 2.7).

mod rank;
mod read;

use std::{borrow::Cow, sync::Arc};

use super::{Findings, path};
use crate::{
    compile::{
        intern::{Hostname, Interner},
        pattern,
    },
    crd::MappingSpec,
    graph::{
        RequestPolicy,
        route::{Conditions, PathMatch, Pattern, Rank},
    },
};

/// What a request must be.
#[derive(Clone, Debug)]
pub(in crate::compile) struct Match {
    pub(in crate::compile) name: NameMatch,
    pub(in crate::compile) path: PathMatch,
    pub(in crate::compile) path_key: PathKey,
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

impl std::fmt::Display for NameMatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unnamed => Ok(()),
            Self::Pattern(hostname) => f.write_str(&hostname.text),
            Self::Regex(pattern) => write!(f, "~{}", pattern.text),
        }
    }
}
