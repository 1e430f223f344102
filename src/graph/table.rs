//! The routes of one hostname pattern, found by path.

use std::sync::Arc;

use super::Route;

/// Routes by path.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    /// Descending by rank.
    routes: Vec<Arc<Route>>,
}

impl RouteTable {
    pub fn new(mut routes: Vec<Arc<Route>>) -> Self {
        routes.sort_by(|a, b| b.rank.cmp(&a.rank));
        Self { routes }
    }

    /// Calls with the routes whose path fits, until told to stop (`false`); the greatest rank first.
    pub fn candidates<'t>(&'t self, path: &str, mut visit: impl FnMut(&'t Arc<Route>) -> bool) {
        for route in &self.routes {
            if route.path_matches(path) && !visit(route) {
                return;
            }
        }
    }

    /// All routes, the greatest rank first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.routes.iter()
    }
}
