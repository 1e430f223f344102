//! Routes: a match, and what is done with what matches.

use std::{
    fmt,
    hash::{Hash, Hasher},
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use http::{HeaderName, HeaderValue, StatusCode};
use regex::Regex;
use smallvec::SmallVec;

use super::{HeaderEdits, Upstream, breaker::Priority, cors::Cors, retry::Retry, shadow::Shadow};

/// Names a route for as long as the object behind it keeps its name: `mapping/apps/quote`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteId(pub Arc<str>);

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a route stands among all that match a request: the greatest wins. A value, not an algorithm: the derived order of
/// the fields is Emissary's sort key, see `docs/concepts.md`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    pub precedence: i32,
    /// Length of the path, in bytes; of a regular expression the length of its text.
    pub path_length: usize,
    /// Exact before the rest: two matches of the same text differ by this alone.
    pub exact: bool,
    /// The text in header conditions, hostname and method: the sum of name and value lengths, one more for a regular expression.
    pub header_weight: usize,
    /// The same of the query conditions.
    pub query_weight: usize,
    pub prefix: Arc<str>,
    pub method: Arc<str>,
    /// Header conditions, then query conditions, as `name-value`.
    pub keys: Arc<[String]>,
    /// The hostname pattern, then the kind of path match: nothing else is left to tell two routes apart.
    pub tie: Arc<str>,
}

/// Mappings with the same match, sharing its traffic by weight.
#[derive(Clone, Debug)]
pub struct Route {
    pub rank: Arc<Rank>,
    pub path: PathMatch,
    pub case_sensitive: bool,
    /// Those without any share one.
    pub conditions: Arc<Conditions>,
    /// Nearly always one.
    pub members: SmallVec<[Member; 1]>,
    /// Gets copies of its requests.
    pub shadow: Option<Arc<Shadow>>,
}

impl Route {
    /// Everywhere that its requests and their copies may be sent.
    pub fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let members = self
            .members
            .iter()
            .filter_map(|member| match &member.action {
                Action::Forward(forward) => Some(forward),
                Action::Redirect(_) | Action::Fail(_) => None,
            });
        let shadow = self.shadow.iter().map(|shadow| &shadow.forward);
        members.chain(shadow).map(|forward| &forward.upstream)
    }
}

/// What the path must be.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// Begins with these bytes, not necessarily at a segment.
    Prefix(Arc<str>),
    Exact(Arc<str>),
    /// Matches as a whole; anchored.
    Regex(Arc<Pattern>),
}

/// A regular expression that was built anchored; equal when its text is.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As written, without the anchors.
    pub text: Arc<str>,
    pub regex: Regex,
}

/// What else must hold.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    pub method: Option<TextMatch>,
    pub headers: Vec<(HeaderName, TextMatch)>,
    /// Parameter names and values are compared after percent-decoding.
    pub query: Vec<(Arc<str>, TextMatch)>,
}

/// What a text must be.
#[derive(Clone, Debug)]
pub enum TextMatch {
    Exact(Arc<str>),
    /// Matches as a whole; anchored. `.*` is true of every value that is there.
    Regex(Arc<Pattern>),
}

/// One Mapping of a route.
#[derive(Clone, Debug)]
pub struct Member {
    pub id: RouteId,
    /// Its part of the sum over all members; 0 gets nothing.
    pub share: u32,
    pub action: Action,
}

/// What is done with a request.
#[derive(Clone, Debug)]
pub enum Action {
    Forward(Arc<Forward>),
    Redirect(Arc<Redirect>),
    Fail(Fail),
}

/// One of the members by their shares, from an even random number. None when no member gets anything.
pub(super) fn pick<M>(members: &[M], share: impl Fn(&M) -> u32, random: u64) -> Option<&M> {
    let total: u64 = members.iter().map(|member| u64::from(share(member))).sum();
    let point = u64::try_from((u128::from(random) * u128::from(total)) >> 64).ok()?;
    let mut sum = 0;
    members.iter().find(|member| {
        sum += u64::from(share(member));
        point < sum
    })
}

/// The route exists and cannot serve: 503 with the code of its first error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fail {
    /// The number of `PSTnnnn`.
    pub code: u16,
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PST{:04}", self.code)
    }
}

/// Send it to an upstream.
#[derive(Clone, Debug)]
pub struct Forward {
    pub upstream: Arc<Upstream>,
    pub rewrite: Rewrite,
    pub host: HostRewrite,
    /// What nearly all routes have in common.
    pub terms: Arc<ForwardTerms>,
}

/// How a request is forwarded, wherever it goes. A [`Forward`] derefs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ForwardTerms {
    pub request_headers: HeaderEdits,
    pub response_headers: HeaderEdits,
    /// Until the head of the response; none when 0 was asked for.
    pub head_timeout: Option<Duration>,
    /// Until the end of the response, when the Mapping says a timeout itself.
    pub total_timeout: Option<Duration>,
    /// Without a byte in either direction.
    pub idle_timeout: Option<Duration>,
    /// Bytes of the request body, 413 above.
    pub max_request_body: Option<u64>,
    /// Protocols that may be upgraded to, lower case.
    pub upgrades: Vec<Arc<str>>,
    pub allow_escaped_slashes: bool,
    pub cors: Option<Arc<Cors>>,
    pub retry: Option<Retry>,
    /// Which limits of the upstream the requests count for.
    pub priority: Priority,
}

impl Deref for Forward {
    type Target = ForwardTerms;

    fn deref(&self) -> &ForwardTerms {
        &self.terms
    }
}

impl DerefMut for Forward {
    /// Makes the terms its own, if others have them too.
    fn deref_mut(&mut self) -> &mut ForwardTerms {
        Arc::make_mut(&mut self.terms)
    }
}

/// What becomes of the path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rewrite {
    Keep,
    /// The first `matched` bytes are replaced; exactly one slash at the joint.
    Prefix {
        matched: usize,
        replacement: Arc<str>,
    },
    /// The whole path is replaced.
    Whole(Arc<str>),
    /// Every match is replaced; `\1` in the substitution stands for a group.
    Regex(Arc<RegexRewrite>),
}

/// A replacement by regular expression (not anchored).
#[derive(Clone, Debug)]
pub struct RegexRewrite {
    pub regex: Regex,
    /// In the syntax of the regex crate: `${1}`, `$$`.
    pub substitution: Arc<str>,
}

impl PartialEq for RegexRewrite {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str() && self.substitution == other.substitution
    }
}

impl Eq for RegexRewrite {}

impl Hash for RegexRewrite {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.regex.as_str().hash(state);
        self.substitution.hash(state);
    }
}

/// What becomes of the Host header.
#[derive(Clone, Debug)]
pub enum HostRewrite {
    Keep,
    /// This text; for `autoHostRewrite` the upstream's own name.
    Literal(Arc<HeaderValue>),
}

/// Answer with a redirect.
#[derive(Clone, Debug)]
pub struct Redirect {
    pub status: StatusCode,
    /// `https` or `http`; the request's own when none.
    pub scheme: Option<Arc<str>>,
    /// Host, with a port if one was given.
    pub host: Arc<str>,
    pub path: RedirectPath,
    pub allow_escaped_slashes: bool,
}

/// The path of a redirect.
#[derive(Clone, Debug)]
pub enum RedirectPath {
    Keep,
    /// Replaces the path, and the query too if it has one of its own.
    Whole(Arc<str>),
    Prefix {
        matched: usize,
        replacement: Arc<str>,
    },
    Regex(Arc<RegexRewrite>),
}

#[cfg(test)]
mod tests;
