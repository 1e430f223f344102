//! The slots of all hostnames, and the route tables made of them. Only what a change touches is linked and built again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Age, MappingState, age,
    mapping::{NameMatch, PathKey},
    selector::Selector,
    settings::Settings,
    slot::{self, Linked, Placed, SlotHost, SlotKey},
};
use crate::{
    graph::{
        HostPattern, HostTable,
        host::NamePattern,
        matching::{Region, Regions, RouteSet},
        table::RouteTable,
    },
    resource::ObjectKey,
};

/// Which Mappings a Host sees: those that say a hostname, or those with the labels it asks for.
pub(super) type Scope = Option<Arc<Selector>>;

/// The slots and tables.
#[derive(Debug, Default)]
pub(super) struct Routing {
    hosts: BTreeMap<SlotHost, HostSlots>,
    sets: BTreeMap<Scope, Arc<RouteSet>>,
    dirty: BTreeSet<SlotKey>,
}

/// The slots of one hostname.
#[derive(Debug, Default)]
struct HostSlots {
    slots: BTreeMap<PathKey, Slot>,
    tables: BTreeMap<Scope, Arc<RouteTable>>,
    /// The first who came.
    oldest: Option<ObjectKey>,
}

#[derive(Debug, Default)]
struct Slot {
    members: BTreeSet<ObjectKey>,
    linked: Linked,
}

type Mappings = BTreeMap<ObjectKey, MappingState>;

impl Routing {
    pub(super) fn insert(&mut self, key: &ObjectKey, slots: &[SlotKey]) {
        for slot in slots {
            let host = self.hosts.entry(slot.0.clone()).or_default();
            let members = &mut host.slots.entry(slot.1.clone()).or_default().members;
            members.insert(key.clone());
            self.dirty.insert(slot.clone());
        }
    }

    pub(super) fn remove(&mut self, key: &ObjectKey, slots: &[SlotKey]) {
        for slot in slots {
            if let Some(found) = self.slot_mut(slot) {
                found.members.remove(key);
            }
            self.dirty.insert(slot.clone());
        }
    }

    /// Something about a member has changed.
    pub(super) fn touch(&mut self, slots: &[SlotKey]) {
        self.dirty.extend(slots.iter().cloned());
    }

    /// What linking says about a Mapping in one of its slots.
    pub(super) fn note(&self, key: &ObjectKey, slot: &SlotKey) -> Option<&slot::Note> {
        let linked = &self.hosts.get(&slot.0)?.slots.get(&slot.1)?.linked;
        linked.notes.get(key)
    }

    /// Who was first to name a hostname.
    pub(super) fn oldest(&self, pattern: &HostPattern) -> Option<&ObjectKey> {
        let host = self.hosts.get(&SlotHost::Pattern(pattern.clone()))?;
        host.oldest.as_ref()
    }

    pub(super) fn set(&self, scope: &Scope) -> Arc<RouteSet> {
        self.sets.get(scope).map(Arc::clone).unwrap_or_default()
    }

    /// Links what was touched and builds the tables for these scopes. Returns whose notes may have changed, and whether any
    /// route set has.
    pub(super) fn link(
        &mut self,
        mappings: &Mappings,
        scopes: &BTreeSet<Scope>,
        settings: &Settings,
    ) -> (BTreeSet<ObjectKey>, bool) {
        let mut touched = BTreeSet::new();
        let mut hosts = BTreeSet::new();
        for (host, path) in std::mem::take(&mut self.dirty) {
            let Some(slots) = self.hosts.get_mut(&host) else {
                continue;
            };
            let Some(slot) = slots.slots.get_mut(&path) else {
                continue;
            };
            let members: Vec<_> = slot
                .members
                .iter()
                .filter_map(|key| mappings.get(key))
                .collect();
            slot.linked = slot::link(&members, settings);
            touched.extend(slot.members.iter().cloned());
            if slot.members.is_empty() {
                slots.slots.remove(&path);
            }
            hosts.insert(host);
        }
        let scopes_changed = !self.sets.keys().eq(scopes);
        if scopes_changed {
            hosts = self.hosts.keys().cloned().collect();
        }
        for host in &hosts {
            self.build_tables(host, mappings, scopes);
        }
        let changed = scopes_changed || !hosts.is_empty();
        if changed {
            let sets = scopes
                .iter()
                .map(|scope| (scope.clone(), self.route_set(scope)));
            self.sets = sets.collect();
        }
        (touched, changed)
    }

    fn slot_mut(&mut self, (host, path): &SlotKey) -> Option<&mut Slot> {
        self.hosts.get_mut(host)?.slots.get_mut(path)
    }

    fn build_tables(&mut self, host: &SlotHost, mappings: &Mappings, scopes: &BTreeSet<Scope>) {
        let Some(slots) = self.hosts.get_mut(host) else {
            return;
        };
        if slots.slots.is_empty() {
            self.hosts.remove(host);
            return;
        }
        let members = slots.slots.values().flat_map(|slot| &slot.members);
        let ages = members.filter_map(|key| Some((age(&mappings.get(key)?.lowered.object), key)));
        slots.oldest = ages
            .min_by_key(|(age, _): &(Age<'_>, _)| *age)
            .map(|(_, key)| key.clone());
        let tables = scopes.iter().filter_map(|scope| {
            let routes = slots.routes(host, scope);
            (!routes.is_empty()).then(|| (scope.clone(), Arc::new(RouteTable::new(routes))))
        });
        slots.tables = tables.collect();
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
    fn placed(&self) -> impl Iterator<Item = &Placed> {
        self.slots.values().flat_map(|slot| &slot.linked.routes)
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
pub(super) fn slots(state: &MappingState, scopes: &BTreeSet<Scope>) -> Vec<SlotKey> {
    let Some(matching) = &state.lowered.matching else {
        return Vec::new();
    };
    let hosts = match &matching.name {
        NameMatch::Pattern(pattern) => vec![SlotHost::Pattern(pattern.clone())],
        NameMatch::Regex(pattern) => vec![SlotHost::Regex(Arc::clone(&pattern.text))],
        NameMatch::Unnamed => {
            let labels = &state.lowered.object.meta.labels;
            let selecting = scopes.iter().flatten();
            selecting
                .filter(|selector| selector.selects(labels))
                .map(|selector| SlotHost::Selected(Arc::clone(selector)))
                .collect()
        }
    };
    let path = &matching.path_key;
    hosts.into_iter().map(|host| (host, path.clone())).collect()
}

/// Whether a pattern is for every name.
pub(super) fn is_any(pattern: &HostPattern) -> bool {
    pattern.name == NamePattern::Any && pattern.port.is_none()
}
