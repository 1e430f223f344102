//! The slots of one hostname, and the tables made of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Oldest, Tables, age, examples};
use crate::{
    compile::{
        mapping::PathKey,
        routing::{Mappings, Named, Scope},
        slot::{self, Linked, Placed, SlotHost},
        touched::Touched,
    },
    graph::{HostPattern, route::Pattern, table::RouteTable},
    resource::Mapping,
};

/// The slots of one hostname.
#[derive(Debug, Default)]
pub(super) struct HostSlots {
    pub(super) slots: BTreeMap<PathKey, Box<Linked>>,
    pub(super) tables: Tables,
    /// The oldest of all members.
    oldest: Option<Arc<Mapping>>,
    /// Slots that are to be linked again; one may be there twice.
    pub(super) dirty: Vec<PathKey>,
}

impl HostSlots {
    pub(super) fn named<'r>(&'r self, host: &'r SlotHost) -> Option<Named<'r>> {
        let oldest = self.oldest.as_ref()?;
        Some(match host {
            SlotHost::Pattern(pattern) => Named::Pattern(pattern, oldest),
            SlotHost::Selected(selector) => Named::Selected(selector, oldest),
            SlotHost::Regex(_) => {
                let mut patterns = self
                    .placed()
                    .filter_map(|placed| placed.regex_host.as_ref());
                Named::Regex(patterns.next()?, oldest)
            }
        })
    }

    /// Whether the hostname is a regular expression that has a name in common with this one, as far as some examples tell.
    pub(super) fn is_regex_for(&self, pattern: &HostPattern) -> bool {
        self.regex()
            .is_some_and(|regex| examples::share(regex, pattern))
    }

    /// The same of another regular expression.
    pub(super) fn is_regex_like(&self, other: &Self) -> bool {
        let both = self.regex().zip(other.regex());
        both.is_some_and(|(own, other)| examples::both_match(own, other))
    }

    fn regex(&self) -> Option<&Pattern> {
        let mut patterns = self
            .placed()
            .filter_map(|placed| placed.regex_host.as_deref());
        patterns.next()
    }

    pub(super) fn placed(&self) -> impl Iterator<Item = &Placed> {
        self.slots.values().flat_map(|slot| &slot.routes)
    }

    /// Returns the paths of the slots that were linked, or are gone.
    pub(super) fn link(
        &mut self,
        mappings: &Mappings,
        rule: slot::Rule,
        elsewhere: &Oldest,
        touched: &mut Touched,
    ) -> Vec<PathKey> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for path in &dirty {
            let Some(slot) = self.slots.get_mut(path) else {
                continue;
            };
            if slot.members.is_empty() {
                self.slots.remove(path);
                continue;
            }
            let members = slot.members.iter().map(|member| &member.key);
            touched.extend(members.clone());
            let members = members.filter_map(|key| mappings.get(key));
            let members = members.map(|state| &**state);
            **slot = slot::link(members, elsewhere.get(path), rule);
        }
        dirty
    }

    /// Says whether it is somebody else than before.
    pub(super) fn find_oldest(&mut self) -> bool {
        let all = self.slots.values();
        let oldest = all
            .filter_map(|slot| slot.oldest.as_ref())
            .min_by_key(|object| age(object));
        let changed =
            oldest.map(|object| age(object)) != self.oldest.as_ref().map(|object| age(object));
        self.oldest = oldest.map(Arc::clone);
        changed
    }

    /// Returns those that there were.
    pub(super) fn build_tables(&mut self, host: &SlotHost, scopes: &BTreeSet<Scope>) -> Tables {
        let tables = scopes.iter().filter_map(|scope| {
            let routes = self.routes(host, scope);
            (!routes.is_empty()).then(|| (scope.clone(), Arc::new(RouteTable::new(routes))))
        });
        let tables = tables.collect();
        std::mem::replace(&mut self.tables, tables)
    }

    /// The routes that a scope sees.
    fn routes(&self, host: &SlotHost, scope: &Scope) -> Vec<Arc<crate::graph::Route>> {
        let sees = |placed: &&Placed| match (host, scope) {
            (SlotHost::Selected(own), Some(selector)) => own == selector,
            (SlotHost::Selected(_), None) => false,
            (_, None) => true,
            (_, Some(selector)) => selector.selects(&placed.labels),
        };
        let placed = self.placed().filter(sees);
        placed.map(|placed| Arc::clone(&placed.route)).collect()
    }
}
