//! The routes of one region: the slots of its hostnames, and the tables made of them. Only what a change touches is linked
//! and built again.

mod examples;
mod host_slots;
mod taken;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    age,
    mapping::PathKey,
    routing::{Mappings, Named, Relinked, Scope, is_any},
    slot::{self, SlotHost},
    touched::Touched,
};
use crate::{
    crd::gateway_settings::Unclaimed,
    graph::{HostPattern, HostTable, Region, host::NamePattern, table::RouteTable},
    report::Diagnostic,
    resource::{Mapping, ObjectKey},
};
use host_slots::HostSlots;

/// The slots and tables of a region.
#[derive(Debug, Default)]
pub(super) struct RegionSlots {
    hosts: BTreeMap<SlotHost, HostSlots>,
    built: BTreeMap<Scope, Arc<Region>>,
    /// Hostnames with slots that are to be linked again.
    dirty: BTreeSet<SlotHost>,
}

/// Who came first for a path.
type Oldest = BTreeMap<PathKey, Arc<Mapping>>;

type Tables = BTreeMap<Scope, Arc<RouteTable>>;

impl RegionSlots {
    pub(super) fn insert(&mut self, key: &ObjectKey, host: &SlotHost, path: &PathKey) {
        let found = self.touched(host, path);
        found.slots.entry(path.clone()).or_default().insert(key);
    }

    pub(super) fn remove(&mut self, key: &ObjectKey, host: &SlotHost, path: &PathKey) {
        let found = self.touched(host, path);
        if let Some(slot) = found.slots.get_mut(path) {
            slot.members.retain(|member| member.key != *key);
        }
    }

    /// Something about a member of the slot has changed.
    pub(super) fn touch(&mut self, host: &SlotHost, path: &PathKey) {
        self.touched(host, path);
    }

    fn touched(&mut self, host: &SlotHost, path: &PathKey) -> &mut HostSlots {
        let found = self.hosts.entry(host.clone()).or_default();
        if found.dirty.is_empty() {
            self.dirty.insert(host.clone());
        }
        found.dirty.push(path.clone());
        found
    }

    /// What linking says about a Mapping in one of the slots.
    pub(super) fn note(
        &self,
        key: &ObjectKey,
        host: &SlotHost,
        path: &PathKey,
    ) -> Option<&slot::Note> {
        self.hosts.get(host)?.slots.get(path)?.note(key)
    }

    /// Who takes requests from one of the slots.
    pub(super) fn taken(
        &self,
        key: &ObjectKey,
        host: &SlotHost,
        path: &PathKey,
    ) -> Option<&Diagnostic> {
        let slot = self.hosts.get(host)?.slots.get(path)?;
        slot.note(key).filter(|note| note.placed)?;
        slot.taken.as_deref()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    pub(super) fn built(&self, scope: &Scope) -> Option<&Arc<Region>> {
        self.built.get(scope)
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

    /// Links what was touched by a rule for who owns a pair, and builds the tables for these scopes. Adds whose notes may
    /// have changed to `touched`.
    pub(super) fn link(
        &mut self,
        name: &Arc<str>,
        mappings: &Mappings,
        scopes: &BTreeSet<Scope>,
        rule: slot::Rule,
        touched: &mut Touched,
    ) -> Relinked {
        let mut relinked = Relinked::default();
        let dirty = self.take_dirty();
        let mut paths = BTreeSet::new();
        for host in &dirty {
            let elsewhere = self.oldest_on_other_ports(host, mappings);
            if let Some(slots) = self.hosts.get_mut(host) {
                paths.extend(slots.link(mappings, rule, &elsewhere, touched));
                relinked.oldest |= slots.find_oldest();
            }
        }
        // Elsewhere strangers share, or there are none.
        if rule.owner == Unclaimed::FirstCome && !dirty.is_empty() {
            self.find_takers(&dirty, &paths, touched);
        }
        if !self.built.keys().eq(scopes) {
            for (host, slots) in &mut self.hosts {
                slots.build_tables(host, scopes);
            }
            self.hosts.retain(|_, slots| !slots.slots.is_empty());
            self.built = scopes
                .iter()
                .map(|scope| (scope.clone(), self.region(scope, name)))
                .collect();
            relinked.sets = true;
        } else if !dirty.is_empty() {
            self.rebuild(name, &dirty, scopes);
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

    /// Builds the tables of these hostnames again, and the region that they are in.
    fn rebuild(&mut self, name: &Arc<str>, dirty: &BTreeSet<SlotHost>, scopes: &BTreeSet<Scope>) {
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
            let region = match self.replaced(scope, &before) {
                Some(region) => region,
                None => self.region(scope, name),
            };
            self.built.insert(scope.clone(), region);
        }
    }

    /// The region of a scope with other tables for the same hostnames; None when the hostnames are others, or when it
    /// takes more than that.
    fn replaced(&self, scope: &Scope, before: &[(&SlotHost, Tables)]) -> Option<Arc<Region>> {
        let mut region = Region::clone(self.built.get(scope)?);
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
        Some(Arc::new(region))
    }

    /// What the Hosts of one scope serve. In one with a selector the Mappings without a hostname are for every name.
    fn region(&self, scope: &Scope, name: &Arc<str>) -> Arc<Region> {
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
        Arc::new(Region {
            name: Arc::clone(name),
            tables: HostTable::from_iter(tables),
            regex_hosts,
        })
    }
}
