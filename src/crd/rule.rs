//! Rules about several fields of a spec, each for the API server in CEL and for a folder in Rust.

use super::{HostSpec, ListenerSpec, MappingSpec, RouteClaimSpec, listener::NamespaceFrom};

/// A rule that the API server checks at `kubectl apply`.
#[derive(Debug)]
pub struct Rule<S> {
    /// The field that is to blame, in the spec.
    pub field: &'static str,
    /// In CEL, where `self` is the spec.
    pub cel: &'static str,
    /// What is wrong, one sentence without the final period.
    pub message: &'static str,
    /// What to do about it, one sentence without the final period.
    pub next: &'static str,
    /// The same for where there is no API server; none where the compiler checks it and has a code of its own for it.
    pub holds: Option<fn(&S) -> bool>,
}

// === impl Rule ===

impl<S> Rule<S> {
    /// Whether it is about a field of the spec.
    pub fn names(&self, field: &str) -> bool {
        let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric());
        let mut uses = self.cel.split("self.").skip(1);
        uses.any(|used| used.strip_prefix(field).is_some_and(is_end))
    }
}

const fn compiled<S>(field: &'static str, cel: &'static str, message: &'static str) -> Rule<S> {
    Rule {
        field,
        cel,
        message,
        next: "",
        holds: None,
    }
}

/// A hostname with at most one `*`, at one of its ends.
macro_rules! hostname {
    ($field:literal) => {
        compiled(
            $field,
            concat!(
                "!has(self.",
                $field,
                ") || self.",
                $field,
                " == '' || self.",
                $field,
                ".matches('^([*]|[*]?[^*/ ]+|[^*/ ]+[*])$')"
            ),
            "a hostname must be a DNS name, with at most one * as its first or last character",
        )
    };
}

/// A field that is a regular expression when another is true. CEL's own parser reads it: what cannot be parsed is an
/// evaluation error, and its text names the mistake.
macro_rules! regex_if {
    ($flag:literal, $field:literal) => {
        compiled(
            $field,
            concat!(
                "!has(self.",
                $flag,
                ") || !self.",
                $flag,
                " || !has(self.",
                $field,
                ") || (''.matches(self.",
                $field,
                ") ? true : true)"
            ),
            concat!($field, " must be a regular expression"),
        )
    };
}

/// A map whose values are regular expressions.
macro_rules! regex_values {
    ($field:literal) => {
        compiled(
            $field,
            concat!(
                "!has(self.",
                $field,
                ") || self.",
                $field,
                ".all(name, ''.matches(self.",
                $field,
                "[name]) ? true : true)"
            ),
            concat!("the values of ", $field, " must be regular expressions"),
        )
    };
}

/// A field with a pattern that is a regular expression.
macro_rules! pattern {
    ($field:literal) => {
        compiled(
            concat!($field, ".pattern"),
            concat!(
                "!has(self.",
                $field,
                ") || (''.matches(self.",
                $field,
                ".pattern) ? true : true)"
            ),
            concat!($field, ".pattern must be a regular expression"),
        )
    };
}

/// A field of a redirect, on a Mapping that may not be one.
macro_rules! needs_host_redirect {
    ($field:literal, $name:ident) => {
        Rule {
            field: $field,
            cel: concat!(
                "!has(self.",
                $field,
                ") || (has(self.hostRedirect) && self.hostRedirect)"
            ),
            message: concat!($field, " needs hostRedirect: true"),
            next: concat!("Write `hostRedirect: true`, or remove `", $field, "`"),
            holds: Some(|spec| spec.$name.is_none() || spec.host_redirect == Some(true)),
        }
    };
}

pub const MAPPING: &[Rule<MappingSpec>] = &[
    compiled(
        "prefix",
        "(has(self.prefixRegex) && self.prefixRegex) || self.prefix.startsWith('/')",
        "prefix must begin with /, unless prefixRegex is true",
    ),
    compiled(
        "weight",
        "!has(self.weight) || (self.weight >= 0 && self.weight <= 100)",
        "weight must be from 0 to 100",
    ),
    hostname!("hostname"),
    regex_if!("prefixRegex", "prefix"),
    regex_if!("methodRegex", "method"),
    regex_if!("hostRegex", "host"),
    regex_values!("regexHeaders"),
    regex_values!("regexQueryParameters"),
    pattern!("regexRewrite"),
    pattern!("regexRedirect"),
    Rule {
        field: "prefixExact",
        cel: "!(has(self.prefixExact) && self.prefixExact && has(self.prefixRegex) && self.prefixRegex)",
        message: "prefixExact and prefixRegex cannot both be true",
        next: "Remove one of the two",
        holds: Some(|spec| spec.prefix_exact != Some(true) || spec.prefix_regex != Some(true)),
    },
    Rule {
        field: "hostRewrite",
        cel: "!(has(self.hostRewrite) && has(self.autoHostRewrite) && self.autoHostRewrite)",
        message: "hostRewrite and autoHostRewrite cannot both be used",
        next: "Remove one of the two",
        holds: Some(|spec| spec.host_rewrite.is_none() || spec.auto_host_rewrite != Some(true)),
    },
    needs_host_redirect!("pathRedirect", path_redirect),
    needs_host_redirect!("prefixRedirect", prefix_redirect),
    needs_host_redirect!("regexRedirect", regex_redirect),
    needs_host_redirect!("redirectResponseCode", redirect_response_code),
    Rule {
        field: "hostRedirect",
        cel: "(has(self.pathRedirect) ? 1 : 0) + (has(self.prefixRedirect) ? 1 : 0) + (has(self.regexRedirect) ? 1 : 0) <= 1",
        message: "only one of pathRedirect, prefixRedirect and regexRedirect can be used",
        next: "Remove all but one of them",
        holds: Some(|spec| redirect_paths(spec) <= 1),
    },
];

fn redirect_paths(spec: &MappingSpec) -> usize {
    usize::from(spec.path_redirect.is_some())
        + usize::from(spec.prefix_redirect.is_some())
        + usize::from(spec.regex_redirect.is_some())
}

pub const HOST: &[Rule<HostSpec>] = &[hostname!("hostname")];

pub const LISTENER: &[Rule<ListenerSpec>] = &[
    Rule {
        field: "protocol",
        cel: "has(self.protocol) != has(self.protocolStack)",
        message: "exactly one of protocol and protocolStack is required",
        next: "Write `protocol: HTTP` or `protocol: HTTPS`, and no `protocolStack`",
        holds: Some(|spec| spec.protocol.is_some() != spec.protocol_stack.is_some()),
    },
    compiled(
        "protocolStack",
        "!has(self.protocolStack) || (self.protocolStack.size() > 0 && self.protocolStack[self.protocolStack.size() - 1] in ['TCP', 'UDP'])",
        "the last entry of protocolStack must be TCP or UDP",
    ),
    Rule {
        field: "hostBinding",
        cel: "has(self.hostBinding.__namespace__) || has(self.hostBinding.selector)",
        message: "hostBinding needs namespace, selector, or both",
        next: "Write `namespace: {from: ALL}` in it for the Hosts of every namespace, or a selector",
        holds: Some(|spec| {
            spec.host_binding
                .as_ref()
                .is_none_or(|binding| binding.namespace.is_some() || binding.selector.is_some())
        }),
    },
    Rule {
        field: "hostBinding.namespace.from",
        cel: "!has(self.hostBinding.__namespace__) || !has(self.hostBinding.__namespace__.from) || self.hostBinding.__namespace__.from != 'SELECTOR'",
        message: "namespaces cannot be chosen by their labels; use SELF or ALL",
        next: "Write SELF or ALL; a `selector` beside it chooses Hosts by their own labels",
        holds: Some(|spec| {
            let binding = spec.host_binding.as_ref();
            let namespace = binding.and_then(|binding| binding.namespace.as_ref());
            namespace.and_then(|namespace| namespace.from) != Some(NamespaceFrom::Selector)
        }),
    },
];

pub const ROUTE_CLAIM: &[Rule<RouteClaimSpec>] = &[
    compiled(
        "hostnames",
        "!has(self.hostnames) || self.hostnames.size() > 0 && self.hostnames.all(name, name.matches('^([*]|([*][.])?[^*/: ]+)$'))",
        "hostnames must be one or more DNS names without a port, each perhaps after *., or *",
    ),
    compiled(
        "paths",
        "!has(self.paths) || self.paths.size() > 0 && self.paths.all(path, path.startsWith('/'))",
        "paths must be one or more paths, each beginning with /",
    ),
    Rule {
        field: "hostnames",
        cel: "has(self.hostnames) || has(self.ports)",
        message: "a claim needs hostnames, ports, or both",
        next: "Write `hostnames`, or `ports` for TCPMappings",
        holds: None,
    },
    Rule {
        field: "namespaces",
        cel: "!has(self.namespaces) || has(self.namespaces.names) || has(self.namespaces.selector)",
        message: "namespaces needs names, selector, or both",
        next: "Write `names` or `selector` in it",
        holds: Some(|spec| {
            spec.namespaces.as_ref().is_none_or(|namespaces| {
                namespaces.names.is_some() || namespaces.selector.is_some()
            })
        }),
    },
    Rule {
        field: "namespaces",
        cel: "!has(self.namespaces) || !has(self.namespaces.selector) || has(self.namespaces.selector.matchLabels) && self.namespaces.selector.matchLabels.size() > 0 || has(self.namespaces.selector.matchExpressions) && self.namespaces.selector.matchExpressions.size() > 0",
        message: "an empty selector would give the claim to every namespace",
        next: "Name labels; if every namespace is meant, write `matchExpressions: [{key: kubernetes.io/metadata.name, operator: Exists}]`",
        holds: Some(|spec| {
            let namespaces = spec.namespaces.as_ref();
            let selector = namespaces.and_then(|namespaces| namespaces.selector.as_ref());
            selector.is_none_or(|selector| !selector.is_empty())
        }),
    },
];
