//! Routes as data that travels.

use serde::{Deserialize, Serialize};

use crate::graph::{
    Action, Forward, Member, Redirect, Route,
    breaker::Priority,
    retry::Retry,
    route::{Conditions, PathMatch, TextMatch},
};

/// A route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteView {
    pub path: PathView,
    pub case_sensitive: bool,
    pub precedence: i32,
    pub conditions: ConditionsView,
    pub members: Vec<MemberView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowView>,
}

/// A Mapping that gets copies of the requests of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShadowView {
    pub id: String,
    pub percent: u8,
    pub upstream: String,
}

/// What the path must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathView {
    Prefix(String),
    Exact(String),
    Regex(String),
}

/// What else must hold. Regular expressions begin with `~`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConditionsView {
    pub method: Option<String>,
    pub headers: Vec<ConditionView>,
    pub query: Vec<ConditionView>,
}

/// A header or a query parameter, and what its value must be.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConditionView {
    pub name: String,
    pub value: String,
}

/// One Mapping of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// `mapping/apps/quote`.
    pub id: String,
    pub share: u32,
    pub action: ActionView,
}

/// What is done with a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ActionView {
    Forward(Box<ForwardView>),
    Redirect(RedirectView),
    /// 503 with this code.
    Fail(String),
}

/// Send it to an upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ForwardView {
    pub upstream: String,
    pub rewrite: String,
    pub host: String,
    pub request_headers: String,
    pub response_headers: String,
    pub head_timeout: Option<String>,
    pub total_timeout: Option<String>,
    pub idle_timeout: Option<String>,
    pub max_request_body: Option<u64>,
    pub upgrades: Vec<String>,
    pub allow_escaped_slashes: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub high_priority: bool,
}

/// Answer with a redirect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RedirectView {
    pub status: u16,
    pub scheme: Option<String>,
    pub host: String,
    pub path: String,
}

impl RouteView {
    pub fn of(route: &Route) -> Self {
        Self {
            path: PathView::of(&route.path),
            case_sensitive: route.case_sensitive,
            precedence: route.rank.precedence,
            conditions: ConditionsView::of(&route.conditions),
            members: route.members.iter().map(MemberView::of).collect(),
            shadow: route.shadow.as_ref().map(|shadow| ShadowView {
                id: shadow.id.to_string(),
                percent: shadow.percent,
                upstream: shadow.forward.upstream.id.to_string(),
            }),
        }
    }
}

impl PathView {
    pub fn of(path: &PathMatch) -> Self {
        match path {
            PathMatch::Prefix(text) => Self::Prefix(text.to_string()),
            PathMatch::Exact(text) => Self::Exact(text.to_string()),
            PathMatch::Regex(pattern) => Self::Regex(pattern.text.to_string()),
        }
    }

    /// `prefix`, `exact` or `regex`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Prefix(_) => "prefix",
            Self::Exact(_) => "exact",
            Self::Regex(_) => "regex",
        }
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Prefix(text) | Self::Exact(text) | Self::Regex(text) => text,
        }
    }
}

impl std::fmt::Display for PathView {
    /// As reports write it: a regular expression begins with `~`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Prefix(text) | Self::Exact(text) => f.write_str(text),
            Self::Regex(text) => write!(f, "~{text}"),
        }
    }
}

impl ConditionsView {
    pub fn of(conditions: &Conditions) -> Self {
        let condition = |name: &str, value: &TextMatch| ConditionView {
            name: name.to_owned(),
            value: shown(value),
        };
        let headers = conditions.headers.iter();
        let query = conditions.query.iter();
        Self {
            method: conditions.method.as_ref().map(shown),
            headers: headers
                .map(|(name, value)| condition(name.as_str(), value))
                .collect(),
            query: query.map(|(name, value)| condition(name, value)).collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.method.is_none() && self.headers.is_empty() && self.query.is_empty()
    }
}

impl std::fmt::Display for ConditionsView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let method = self.method.iter().cloned();
        let headers = { self.headers.iter() }.map(|c| format!("{}: {}", c.name, c.value));
        let query = { self.query.iter() }.map(|c| format!("?{}={}", c.name, c.value));
        let all: Vec<_> = method.chain(headers).chain(query).collect();
        f.write_str(&all.join(", "))
    }
}

fn shown(text: &TextMatch) -> String {
    match text {
        TextMatch::Exact(text) => text.to_string(),
        TextMatch::Regex(pattern) => format!("~{}", pattern.text),
    }
}

impl MemberView {
    pub fn of(member: &Member) -> Self {
        Self {
            id: member.id.to_string(),
            share: member.share,
            action: match &member.action {
                Action::Forward(forward) => ActionView::Forward(Box::new(ForwardView::of(forward))),
                Action::Redirect(redirect) => ActionView::Redirect(RedirectView::of(redirect)),
                Action::Fail(fail) => ActionView::Fail(fail.to_string()),
            },
        }
    }
}

impl ForwardView {
    fn of(forward: &Forward) -> Self {
        Self {
            upstream: forward.upstream.id.to_string(),
            rewrite: format!("{:?}", forward.rewrite),
            host: format!("{:?}", forward.host),
            request_headers: format!("{:?}", forward.request_headers.edits),
            response_headers: format!("{:?}", forward.response_headers.edits),
            head_timeout: forward.head_timeout.map(|d| format!("{d:?}")),
            total_timeout: forward.total_timeout.map(|d| format!("{d:?}")),
            idle_timeout: forward.idle_timeout.map(|d| format!("{d:?}")),
            max_request_body: forward.max_request_body,
            upgrades: forward.upgrades.iter().map(ToString::to_string).collect(),
            allow_escaped_slashes: forward.allow_escaped_slashes,
            cors: forward.cors.as_ref().map(|cors| format!("{cors:?}")),
            retry: forward.retry.map(shown_retry),
            high_priority: forward.priority == Priority::High,
        }
    }
}

pub(in crate::graph) fn shown_retry(retry: Retry) -> String {
    let times = format!("{} times on {}", retry.count, retry.on.name());
    let each = retry.per_try.map(|limit| format!(", {limit:?} each"));
    times + &each.unwrap_or_default()
}

impl RedirectView {
    fn of(redirect: &Redirect) -> Self {
        Self {
            status: redirect.status.as_u16(),
            scheme: redirect.scheme.as_deref().map(str::to_owned),
            host: redirect.host.to_string(),
            path: format!("{:?}", redirect.path),
        }
    }
}
