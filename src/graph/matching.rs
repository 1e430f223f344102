//! From a request to its route: region, hostname, path, conditions. The only place where this is decided; the proxy passes
//! an [`Explain`] that does nothing, `why` one that records.

use std::sync::Arc;

use http::{HeaderName, Method};
use smallvec::SmallVec;

use super::{
    Region, Regions, Route,
    decide::{Entry, HostChoice},
    path::escaped,
    route::{Conditions, PathMatch, TextMatch},
    table::RouteTable,
};

/// Query parameters beyond these are not looked at: more are no form that a person filled in, and each condition reads them.
const MAX_QUERY_PARAMETERS: usize = 256;

/// The routes of the virtual hosts that share them.
#[derive(Clone, Debug, Default)]
pub struct RouteSet {
    pub regions: Regions,
}

/// What matching needs to see of a request.
#[derive(Clone, Copy, Debug)]
pub struct Target<'r> {
    /// Lower case, without port and trailing dot.
    pub host: &'r str,
    pub port: Option<u16>,
    /// Canonical, without the query.
    pub path: &'r str,
    pub query: Option<&'r str>,
}

/// The rest of a request's head, whatever holds it.
pub trait HeadView {
    fn method(&self) -> &Method;
    /// Calls with each value of a header, in order.
    fn header_values(&self, name: &HeaderName, found: &mut dyn FnMut(&[u8]));
}

/// Watches a decision being made.
pub trait Explain {
    /// Whether routes are shown that fit but come after the one that was found.
    const SHOWS_SHADOWED: bool = false;

    fn host(&mut self, _choice: &HostChoice<'_>) {}
    /// Whether the request counts as secure, and what the Host does with such a one.
    fn entry(&mut self, _secure: bool, _entry: Entry) {}
    fn region(&mut self, _region: &Region) {}
    /// A route whose host and path fit; `failed` names the condition that did not hold.
    fn candidate(&mut self, _route: &Route, _failed: Option<&'static str>) {}
    /// A route whose host and path fit, but another of greater rank has the request.
    fn shadowed(&mut self, _route: &Route) {}
}

/// Watches nothing: costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silent;

impl Explain for Silent {}

impl RouteSet {
    /// The route of the greatest rank among all that match.
    pub fn find<'g, E: Explain>(
        &'g self,
        target: &Target<'_>,
        head: &impl HeadView,
        explain: &mut E,
    ) -> Option<&'g Arc<Route>> {
        let region = self.regions.find(target);
        explain.region(region);
        let mut best: Option<&'g Arc<Route>> = None;
        let mut consult = |table: &'g Arc<RouteTable>| {
            best = table.better(best, target, head, explain);
        };
        region.tables.each(target.host, target.port, &mut consult);
        for (pattern, table) in &region.regex_hosts {
            if pattern.regex.is_match(target.host) {
                consult(table);
            }
        }
        best
    }
}

impl RouteTable {
    /// The route of the greatest rank that matches, if it is greater than that of `best`; else `best`.
    fn better<'g, E: Explain>(
        &'g self,
        best: Option<&'g Arc<Route>>,
        target: &Target<'_>,
        head: &impl HeadView,
        explain: &mut E,
    ) -> Option<&'g Arc<Route>> {
        let mut best = best;
        for candidate in self.candidates(target.path) {
            let route = candidate.route;
            let beaten = best.is_some_and(|best| best.rank >= route.rank);
            if beaten && !E::SHOWS_SHADOWED {
                break;
            }
            if !candidate.path_matches(target.path) {
                continue;
            }
            if beaten {
                explain.shadowed(route);
                continue;
            }
            let failed = route.failed_condition(target, head);
            explain.candidate(route, failed);
            if failed.is_none() {
                best = Some(route);
            }
        }
        best
    }
}

impl Route {
    /// Whether the path fits.
    pub fn path_matches(&self, path: &str) -> bool {
        match (&self.path, self.case_sensitive) {
            (PathMatch::Prefix(prefix), true) => path.starts_with(&**prefix),
            (PathMatch::Prefix(prefix), false) => path
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix)),
            (PathMatch::Exact(exact), true) => path == &**exact,
            (PathMatch::Exact(exact), false) => path.eq_ignore_ascii_case(exact),
            (PathMatch::Regex(pattern), _) => pattern.regex.is_match(path),
        }
    }

    /// The first condition that does not hold: `method`, `headers`, `query`.
    pub fn failed_condition(
        &self,
        target: &Target<'_>,
        head: &impl HeadView,
    ) -> Option<&'static str> {
        let conditions = &self.conditions;
        if conditions
            .method
            .as_ref()
            .is_some_and(|method| !method.is_match(head.method().as_str().as_bytes()))
        {
            return Some("method");
        }
        if !conditions
            .headers
            .iter()
            .all(|(name, value)| header_matches(name, value, head))
        {
            return Some("headers");
        }
        if !conditions
            .query
            .iter()
            .all(|(name, value)| query_matches(name, value, target.query.unwrap_or_default()))
        {
            return Some("query");
        }
        None
    }
}

impl Conditions {
    /// Whether every request fits.
    pub fn is_empty(&self) -> bool {
        self.method.is_none() && self.headers.is_empty() && self.query.is_empty()
    }
}

impl TextMatch {
    /// Text that is not UTF-8 matches no regular expression.
    pub fn is_match(&self, text: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact.as_bytes() == text,
            Self::Regex(pattern) => {
                std::str::from_utf8(text).is_ok_and(|text| pattern.regex.is_match(text))
            }
        }
    }
}

/// All values of a repeated header are joined with a comma before they are compared (RFC 9110, section 5.3), so that a
/// condition never sees one of several.
fn header_matches(name: &HeaderName, expected: &TextMatch, head: &impl HeadView) -> bool {
    let mut joined: Option<SmallVec<[u8; 64]>> = None;
    head.header_values(name, &mut |value| match &mut joined {
        None => joined = Some(SmallVec::from_slice(value)),
        Some(joined) => {
            joined.push(b',');
            joined.extend_from_slice(value);
        }
    });
    joined.is_some_and(|value| expected.is_match(&value))
}

/// The first parameter of the name counts, as in Envoy.
fn query_matches(name: &str, expected: &TextMatch, query: &str) -> bool {
    let mut parameters = query.split('&').take(MAX_QUERY_PARAMETERS);
    let found = parameters.find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        is_decoded(key, name).then_some(value)
    });
    found.is_some_and(|value| decoded(value.as_bytes(), |value| expected.is_match(value)))
}

/// Whether `text` is `expected` after decoding.
fn is_decoded(text: &str, expected: &str) -> bool {
    // Decoding never makes a text longer.
    text.len() >= expected.len() && decoded(text.as_bytes(), |text| text == expected.as_bytes())
}

/// Calls with `text` after percent-decoding; what is no escape stays as it is, and so does `+`.
fn decoded<T>(text: &[u8], look: impl FnOnce(&[u8]) -> T) -> T {
    if !text.contains(&b'%') {
        return look(text);
    }
    let mut decoded: SmallVec<[u8; 128]> = SmallVec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let escape = escaped(&text[at..]);
        decoded.push(escape.unwrap_or(byte));
        at += if escape.is_some() { 3 } else { 1 };
    }
    look(&decoded)
}

#[cfg(test)]
pub(super) mod tests;
