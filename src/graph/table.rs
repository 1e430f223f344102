//! The routes of one hostname pattern, found by path.
//!
//! Two radix trees by bytes, one of them with keys in lower case for routes that ignore case. A route stands at the node of
//! its prefix or exact path, a regular expression at the node of the literal text it begins with. A look-up walks from the
//! root towards the path and merges the nodes on the way by rank: its cost is that of the path, not of the table.

mod literal;
pub(super) mod radix;

use std::sync::Arc;

use super::{Route, route::PathMatch};
pub use literal::literal_prefix;
use radix::{Cursor, Tree};

/// Routes by path.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    /// Descending by rank: a smaller position is a greater rank, which is all that the trees know of ranks.
    routes: Box<[Arc<Route>]>,
    sensitive: Tree,
    insensitive: Tree,
}

/// A route whose path fits, unless it is a regular expression that has still to be tried.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'t> {
    pub route: &'t Arc<Route>,
    is_regex: bool,
}

impl RouteTable {
    pub fn new(mut routes: Vec<Arc<Route>>) -> Self {
        routes.sort_by(|a, b| b.rank.cmp(&a.rank));
        let entries = |case_sensitive: bool| {
            let routes = routes.iter().enumerate();
            let chosen = routes.filter(move |(_, route)| route.case_sensitive == case_sensitive);
            chosen.map(|(position, route)| {
                let position =
                    u32::try_from(position).expect("a table must have below 2^32 routes");
                match &route.path {
                    PathMatch::Exact(text) => (text.to_string(), true, position),
                    PathMatch::Prefix(text) => (text.to_string(), false, position),
                    PathMatch::Regex(pattern) => (literal_prefix(&pattern.text), false, position),
                }
            })
        };
        let folded = entries(false)
            .map(|(key, exact, position)| (key.to_ascii_lowercase(), exact, position));
        Self {
            sensitive: Tree::new(entries(true).collect()),
            insensitive: Tree::new(folded.collect()),
            routes: routes.into(),
        }
    }

    /// The routes whose path fits or may fit, the greatest rank first.
    pub fn candidates<'t>(&'t self, path: &str) -> Candidates<'t> {
        let mut cursor = Cursor::default();
        self.sensitive.walk(path.as_bytes(), false, &mut cursor);
        self.insensitive.walk(path.as_bytes(), true, &mut cursor);
        Candidates {
            table: self,
            cursor,
        }
    }

    /// All routes, the greatest rank first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }

    pub fn len(&self) -> usize {
        self.routes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }
}

/// See [`RouteTable::candidates`].
#[derive(Debug)]
pub struct Candidates<'t> {
    table: &'t RouteTable,
    cursor: Cursor<'t>,
}

impl<'t> Iterator for Candidates<'t> {
    type Item = Candidate<'t>;

    fn next(&mut self) -> Option<Candidate<'t>> {
        let position = usize::try_from(self.cursor.next()?).ok()?;
        let route = self.table.routes.get(position)?;
        Some(Candidate {
            route,
            is_regex: matches!(route.path, PathMatch::Regex(_)),
        })
    }
}

impl Candidate<'_> {
    /// Whether the path fits: the tree has compared all but regular expressions.
    pub fn path_matches(&self, path: &str) -> bool {
        !self.is_regex || self.route.path_matches(path)
    }
}

#[cfg(test)]
mod tests;
