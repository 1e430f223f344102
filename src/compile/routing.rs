//! The slots of all hostnames, and the route tables made of them. Only what a change touches is linked and built again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use smallvec::{SmallVec, smallvec};

use super::{
    MappingState, age,
    mapping::{Lowered, NameMatch, PathKey},
    selector::Selector,
    settings::Settings,
    slot::{self, Linked, Placed, SlotHost, SlotKey},
    touched::Touched,
};
use crate::{
    graph::{
        HostPattern, HostTable,
        host::NamePattern,
        matching::{Region, Regions, RouteSet},
        route::Pattern,
        table::RouteTable,
    },
    resource::{Mapping, ObjectKey},
};

/// Which Mappings a Host sees: those that say a hostname, or those with the labels it asks for.
pub(super) type Scope = Option<Arc<Selector>>;

/// The slots and tables.
#[derive(Debug, Default)]
pub(super) struct Routing {
    hosts: BTreeMap<SlotHost, HostSlots>,
    sets: BTreeMap<Scope, Arc<RouteSet>>,
    /// Hostnames with slots that are to be linked again.
    dirty: BTreeSet<SlotHost>,
}

/// The slots of one hostname.
#[derive(Debug, Default)]
struct HostSlots {
    slots: BTreeMap<PathKey, Box<Linked>>,
    tables: Tables,
    /// The oldest of all members.
    oldest: Option<Arc<Mapping>>,
    /// Slots that are to be linked again; one may be there twice.
    dirty: Vec<PathKey>,
}

type Tables = BTreeMap<Scope, Arc<RouteTable>>;

/// A hostname, and the first who came for it.
pub(super) enum Named<'r> {
    Pattern(&'r HostPattern, &'r Arc<Mapping>),
    Regex(&'r Pattern, &'r Arc<Mapping>),
    /// The names of the Hosts with this selector.
    Selected(&'r Arc<Selector>, &'r Arc<Mapping>),
}

/// What linking has changed.
#[derive(Debug, Default)]
pub(super) struct Relinked {
    /// Some route set is another one.
    pub(super) sets: bool,
    /// Somebody else is the first who came for a hostname.
    pub(super) oldest: bool,
}

/// Who came first for a path.
type Oldest = BTreeMap<PathKey, Arc<Mapping>>;

type Mappings = BTreeMap<ObjectKey, Box<MappingState>>;

impl Routing {
    pub(super) fn insert(&mut self, key: &ObjectKey, slots: &[SlotKey]) {
        for (host, path) in slots {
            let found = self.touch_slot(host, path);
            found.slots.entry(path.clone()).or_default().insert(key);
        }
    }

    pub(super) fn remove(&mut self, key: &ObjectKey, slots: &[SlotKey]) {
        for (host, path) in slots {
            let found = self.touch_slot(host, path);
            if let Some(slot) = found.slots.get_mut(path) {
                slot.members.retain(|member| member.key != *key);
            }
        }
    }

    /// Something about a member has changed.
    pub(super) fn touch(&mut self, slots: &[SlotKey]) {
        for (host, path) in slots {
            self.touch_slot(host, path);
        }
    }

    fn touch_slot(&mut self, host: &SlotHost, path: &PathKey) -> &mut HostSlots {
        let found = self.hosts.entry(host.clone()).or_default();
        if found.dirty.is_empty() {
            self.dirty.insert(host.clone());
        }
        found.dirty.push(path.clone());
        found
    }

    /// What linking says about a Mapping in one of its slots.
    pub(super) fn note(&self, key: &ObjectKey, slot: &SlotKey) -> Option<&slot::Note> {
        self.hosts.get(&slot.0)?.slots.get(&slot.1)?.note(key)
    }

    /// The hostnames that may have a name in common with a pattern, whatever its port, each with its oldest Mapping.
    pub(super) fn naming(&self, pattern: &HostPattern) -> impl Iterator<Item = Named<'_>> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let at = |name: NamePattern, port| SlotHost::Pattern(HostPattern { name, port });
        let nothing = || NamePattern::Exact("".into());
        let (before_names, after_names) = (
            Excluded(at(nothing(), None)),
            Included(at(NamePattern::Suffix("".into()), None)),
        );
        // Among the exact names, of which there are many, an exact one has only itself.
        let exact = match &pattern.name {
            NamePattern::Exact(_) => (
                Included(at(pattern.name.clone(), None)),
                Included(at(pattern.name.clone(), Some(u16::MAX))),
            ),
            _ => (
                Included(at(nothing(), None)),
                Excluded(at(NamePattern::Suffix("".into()), None)),
            ),
        };
        let wide = self.hosts.range((Unbounded, before_names));
        let narrow = self.hosts.range(exact);
        let rest = self.hosts.range((after_names, Unbounded));
        wide.chain(narrow)
            .chain(rest)
            .filter_map(|(host, slots)| slots.named(host))
    }

    pub(super) fn set(&self, scope: &Scope) -> Arc<RouteSet> {
        self.sets.get(scope).map(Arc::clone).unwrap_or_default()
    }

    /// Links what was touched, and builds the tables for these scopes. Adds whose notes may have changed to `touched`.
    pub(super) fn link(
        &mut self,
        mappings: &Mappings,
        scopes: &BTreeSet<Scope>,
        settings: &Settings,
        touched: &mut Touched,
    ) -> Relinked {
        let mut relinked = Relinked::default();
        let dirty = self.take_dirty();
        for host in &dirty {
            let elsewhere = self.oldest_on_other_ports(host, mappings);
            if let Some(slots) = self.hosts.get_mut(host) {
                slots.link(mappings, settings, &elsewhere, touched);
                relinked.oldest |= slots.find_oldest();
            }
        }
        if !self.sets.keys().eq(scopes) {
            for (host, slots) in &mut self.hosts {
                slots.build_tables(host, scopes);
            }
            self.hosts.retain(|_, slots| !slots.slots.is_empty());
            self.sets = scopes
                .iter()
                .map(|scope| (scope.clone(), self.route_set(scope)))
                .collect();
            relinked.sets = true;
        } else if !dirty.is_empty() {
            self.rebuild(&dirty, scopes);
            relinked.sets = true;
        }
        relinked
    }

    /// The hostnames with slots to link. A slot decides with those of the same name on other ports who owns the path.
    fn take_dirty(&mut self) -> BTreeSet<SlotHost> {
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut with_them = Vec::new();
        for host in &dirty {
            let paths = self.hosts.get(host).map(|slots| &slots.dirty);
            for (other, slots) in self.other_ports(host) {
                let paths = paths.into_iter().flatten();
                let shared = paths.filter(|path| slots.slots.contains_key(path));
                with_them.extend(shared.map(|path| (other.clone(), path.clone())));
            }
        }
        for (host, path) in with_them {
            if let Some(slots) = self.hosts.get_mut(&host) {
                slots.dirty.push(path);
                dirty.insert(host);
            }
        }
        dirty
    }

    /// The same name with another port, or without one.
    fn other_ports(&self, host: &SlotHost) -> impl Iterator<Item = (&SlotHost, &HostSlots)> {
        let on = |pattern: &HostPattern, port| {
            let name = pattern.name.clone();
            SlotHost::Pattern(HostPattern { name, port })
        };
        let all = match host {
            SlotHost::Pattern(pattern) => {
                let ports = on(pattern, None)..=on(pattern, Some(u16::MAX));
                Some(self.hosts.range(ports))
            }
            SlotHost::Regex(_) | SlotHost::Selected(_) => None,
        };
        let own = host.clone();
        all.into_iter()
            .flatten()
            .filter(move |(other, _)| **other != own)
    }

    /// For the slots to link: the oldest Mapping that asks for the same path of the same name on another port.
    fn oldest_on_other_ports(&self, host: &SlotHost, mappings: &Mappings) -> Oldest {
        let mut oldest = Oldest::new();
        let Some(own) = self.hosts.get(host) else {
            return oldest;
        };
        for (_, slots) in self.other_ports(host) {
            for path in &own.dirty {
                let members = slots.slots.get(path).into_iter();
                let members = members.flat_map(|slot| &slot.members);
                let objects = members.filter_map(|member| {
                    let state = mappings.get(&member.key)?;
                    Some(&state.lowered.object)
                });
                let found = objects
                    .chain(oldest.get(path))
                    .min_by_key(|object| age(object));
                if let Some(found) = found.map(Arc::clone) {
                    oldest.insert(path.clone(), found);
                }
            }
        }
        oldest
    }

    /// Builds the tables of these hostnames again, and the route sets that they are in.
    fn rebuild(&mut self, dirty: &BTreeSet<SlotHost>, scopes: &BTreeSet<Scope>) {
        let mut before = Vec::with_capacity(dirty.len());
        for host in dirty {
            let Some(slots) = self.hosts.get_mut(host) else {
                continue;
            };
            before.push((host, slots.build_tables(host, scopes)));
            if slots.slots.is_empty() {
                self.hosts.remove(host);
            }
        }
        for scope in scopes {
            let set = match self.replaced(scope, &before) {
                Some(set) => set,
                None => self.route_set(scope),
            };
            self.sets.insert(scope.clone(), set);
        }
    }

    /// The route set of a scope with other tables for the same hostnames; None when the hostnames are others, or when it
    /// takes more than that.
    fn replaced(&self, scope: &Scope, before: &[(&SlotHost, Tables)]) -> Option<Arc<RouteSet>> {
        let set = self.sets.get(scope)?;
        let mut region = set.regions.iter().next()?.clone();
        let mut changes = Vec::with_capacity(before.len());
        for (host, before) in before {
            let tables = self.hosts.get(*host).map(|slots| &slots.tables);
            let table = tables.and_then(|tables| tables.get(scope));
            match (host, before.get(scope), table) {
                (SlotHost::Selected(own), ..) if Some(own) != scope.as_ref() => {}
                (SlotHost::Pattern(pattern), Some(_), Some(table))
                    if scope.is_none() || !is_any(pattern) =>
                {
                    changes.push((pattern, Arc::clone(table)));
                }
                (SlotHost::Pattern(_) | SlotHost::Regex(_), None, None) => {}
                _ => return None,
            }
        }
        region.tables = region.tables.replaced(changes)?;
        let regions = Regions::single(region);
        Some(Arc::new(RouteSet { regions }))
    }

    /// What the Hosts of one scope serve. In one with a selector the Mappings without a hostname are for every name.
    fn route_set(&self, scope: &Scope) -> Arc<RouteSet> {
        let selected = scope.as_ref().and_then(|selector| {
            let host = SlotHost::Selected(Arc::clone(selector));
            self.hosts.get(&host)
        });
        let any = SlotHost::Pattern(HostPattern::ANY);
        let mut tables = Vec::with_capacity(self.hosts.len());
        let mut regex_hosts = Vec::new();
        for (host, slots) in &self.hosts {
            let Some(table) = slots.tables.get(scope) else {
                continue;
            };
            match host {
                SlotHost::Pattern(_) if *host == any && selected.is_some() => {}
                SlotHost::Pattern(pattern) => tables.push((pattern.clone(), Arc::clone(table))),
                SlotHost::Regex(_) => {
                    let pattern = slots.placed().find_map(|placed| placed.regex_host.clone());
                    regex_hosts.extend(pattern.map(|pattern| (pattern, Arc::clone(table))));
                }
                SlotHost::Selected(_) => {}
            }
        }
        if let Some(selected) = selected {
            let named = self
                .hosts
                .get(&any)
                .and_then(|slots| slots.tables.get(scope));
            let mut routes: Vec<_> = named
                .into_iter()
                .flat_map(|table| table.iter())
                .cloned()
                .collect();
            routes.extend(selected.placed().map(|placed| Arc::clone(&placed.route)));
            tables.push((HostPattern::ANY, Arc::new(RouteTable::new(routes))));
        }
        Arc::new(RouteSet {
            regions: Regions::single(Region {
                name: Arc::default(),
                tables: HostTable::from_iter(tables),
                regex_hosts,
            }),
        })
    }
}

impl HostSlots {
    fn named<'r>(&'r self, host: &'r SlotHost) -> Option<Named<'r>> {
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

    fn placed(&self) -> impl Iterator<Item = &Placed> {
        self.slots.values().flat_map(|slot| &slot.routes)
    }

    fn link(
        &mut self,
        mappings: &Mappings,
        settings: &Settings,
        elsewhere: &Oldest,
        touched: &mut Touched,
    ) {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        dirty.dedup();
        for path in dirty {
            let Some(slot) = self.slots.get_mut(&path) else {
                continue;
            };
            if slot.members.is_empty() {
                self.slots.remove(&path);
                continue;
            }
            let members = slot.members.iter().map(|member| &member.key);
            touched.extend(members.clone());
            let members = members.filter_map(|key| mappings.get(key));
            let members = members.map(|state| &**state);
            **slot = slot::link(members, elsewhere.get(&path), settings);
        }
    }

    /// Says whether it is somebody else than before.
    fn find_oldest(&mut self) -> bool {
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
    fn build_tables(&mut self, host: &SlotHost, scopes: &BTreeSet<Scope>) -> Tables {
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

/// The slots that a Mapping is in: one, or without a hostname one for each selector that its labels satisfy.
pub(super) fn slots(state: &MappingState) -> SmallVec<[SlotKey; 1]> {
    let Some(matching) = &state.lowered.matching else {
        return SmallVec::new();
    };
    let path = matching.path_key.owned();
    match &matching.name {
        NameMatch::Pattern(hostname) => {
            smallvec![(SlotHost::Pattern(hostname.pattern.clone()), path)]
        }
        NameMatch::Regex(pattern) => smallvec![(SlotHost::Regex(Arc::clone(&pattern.text)), path)],
        NameMatch::Unnamed => {
            let selectors = state.selectors.iter().map(Arc::clone);
            let slots = selectors.map(|selector| (SlotHost::Selected(selector), path.clone()));
            slots.collect()
        }
    }
}

/// The selectors that decide where a Mapping without a hostname is.
pub(super) fn selectors(lowered: &Lowered, scopes: &BTreeSet<Scope>) -> Box<[Arc<Selector>]> {
    let unnamed = lowered.matching.as_ref();
    if !unnamed.is_some_and(|matching| matches!(matching.name, NameMatch::Unnamed)) {
        return Box::default();
    }
    let labels = &lowered.object.meta.labels;
    let selecting = scopes.iter().flatten();
    selecting
        .filter(|selector| selector.selects(labels))
        .map(Arc::clone)
        .collect()
}

/// Whether a pattern is for every name.
pub(super) fn is_any(pattern: &HostPattern) -> bool {
    pattern.name == NamePattern::Any && pattern.port.is_none()
}
