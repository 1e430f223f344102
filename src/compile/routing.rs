//! The regions of the URL space with their routes, and the route sets made of them: one for each selector that Hosts have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use smallvec::{SmallVec, smallvec};

use super::{
    MappingState,
    claim::{Claims, RegionKey},
    few::Few,
    mapping::{Lowered, NameMatch},
    region::RegionSlots,
    selector::Selector,
    settings::Settings,
    slot::{self, Rule, SlotHost, SlotKey},
    touched::Touched,
};
use crate::{
    crd::gateway_settings::Unclaimed,
    graph::{
        ClaimTable, HostPattern, Region, Regions, host::NamePattern, matching::RouteSet,
        route::Pattern,
    },
    report::Diagnostic,
    resource::{Mapping, ObjectKey},
};

/// Which Mappings a Host sees: those that say a hostname, or those with the labels it asks for.
pub(super) type Scope = Option<Arc<Selector>>;

pub(super) type Mappings = BTreeMap<ObjectKey, Box<MappingState>>;

/// The regions and route sets.
#[derive(Debug, Default)]
pub(super) struct Routing {
    regions: BTreeMap<RegionKey, RegionSlots>,
    sets: BTreeMap<Scope, Arc<RouteSet>>,
    /// Which regions there were when the sets were made.
    claims: Arc<ClaimTable>,
    /// Regions with slots that are to be linked again.
    dirty: BTreeSet<RegionKey>,
}

/// A hostname, and the first who came for it.
pub(super) enum Named<'r> {
    Pattern(&'r HostPattern, &'r Arc<Mapping>),
    Regex(&'r Pattern, &'r Arc<Mapping>),
    /// The names of the Hosts with this selector.
    Selected(&'r Arc<Selector>, &'r Arc<Mapping>),
}

/// What linking has changed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Relinked {
    /// Some route set is another one.
    pub(super) sets: bool,
    /// Somebody else is the first who came for a hostname.
    pub(super) oldest: bool,
}

impl Routing {
    pub(super) fn insert(&mut self, key: &ObjectKey, slots: &[SlotKey]) {
        for (region, host, path) in slots {
            self.touched(region).insert(key, host, path);
        }
    }

    pub(super) fn remove(&mut self, key: &ObjectKey, slots: &[SlotKey]) {
        for (region, host, path) in slots {
            self.touched(region).remove(key, host, path);
        }
    }

    /// Something about a member has changed.
    pub(super) fn touch(&mut self, slots: &[SlotKey]) {
        for (region, host, path) in slots {
            self.touched(region).touch(host, path);
        }
    }

    fn touched(&mut self, region: &RegionKey) -> &mut RegionSlots {
        if !self.dirty.contains(region) {
            self.dirty.insert(region.clone());
        }
        self.regions.entry(region.clone()).or_default()
    }

    /// What linking says about a Mapping in one of its slots.
    pub(super) fn note(&self, key: &ObjectKey, slot: &SlotKey) -> Option<&slot::Note> {
        let (region, host, path) = slot;
        self.regions.get(region)?.note(key, host, path)
    }

    /// Who takes requests from a Mapping in one of its slots.
    pub(super) fn taken(&self, key: &ObjectKey, slot: &SlotKey) -> Option<&Diagnostic> {
        let (region, host, path) = slot;
        self.regions.get(region)?.taken(key, host, path)
    }

    /// The hostnames that may have a name in common with a pattern, whatever its port, each with its oldest Mapping in each
    /// region.
    pub(super) fn naming(&self, pattern: &HostPattern) -> impl Iterator<Item = Named<'_>> {
        self.regions
            .values()
            .flat_map(|region| region.naming(pattern))
    }

    pub(super) fn set(&self, scope: &Scope) -> Arc<RouteSet> {
        self.sets.get(scope).map(Arc::clone).unwrap_or_default()
    }

    /// Links what was touched, and builds the route sets for these scopes. Adds whose notes may have changed to `touched`.
    pub(super) fn link(
        &mut self,
        mappings: &Mappings,
        scopes: &BTreeSet<Scope>,
        settings: &Settings,
        claims: &Claims,
        touched: &mut Touched,
    ) -> Relinked {
        let others = !self.sets.keys().eq(scopes);
        let mut relinked = Relinked {
            sets: others || !Arc::ptr_eq(&self.claims, claims.table()),
            oldest: false,
        };
        let dirty = std::mem::take(&mut self.dirty);
        for (key, region) in &mut self.regions {
            if !others && !dirty.contains(key) {
                continue;
            }
            let (name, owner) = match key {
                RegionKey::Unclaimed => (&Arc::default(), settings.unclaimed),
                // Those who share a claim share its routes.
                RegionKey::Claim(name) => (name, Unclaimed::Shared),
            };
            let rule = Rule {
                owner,
                is_refused: settings.refusal_in(key).is_some(),
            };
            let found = region.link(name, mappings, scopes, rule, touched);
            relinked.sets |= found.sets;
            relinked.oldest |= found.oldest;
        }
        self.regions.retain(|_, region| !region.is_empty());
        if relinked.sets {
            self.claims = Arc::clone(claims.table());
            let sets = scopes.iter();
            let sets = sets.map(|scope| (scope.clone(), self.route_set(scope, claims)));
            self.sets = sets.collect();
        }
        relinked
    }

    fn route_set(&self, scope: &Scope, claims: &Claims) -> Arc<RouteSet> {
        let region = |key: &RegionKey| self.regions.get(key)?.built(scope).map(Arc::clone);
        let claimed = claims.names().map(|name| {
            region(&RegionKey::Claim(Arc::clone(name))).unwrap_or_else(|| {
                Arc::new(Region {
                    name: Arc::clone(name),
                    ..Region::default()
                })
            })
        });
        Arc::new(RouteSet {
            regions: Regions::new(
                region(&RegionKey::Unclaimed).unwrap_or_default(),
                Arc::clone(claims.table()),
                claimed.collect(),
            ),
        })
    }
}

/// The slots that a Mapping is in: in each of its regions one, or without a hostname one for each selector that its
/// labels satisfy.
pub(super) fn slots(state: &MappingState) -> SmallVec<[SlotKey; 1]> {
    let Some(matching) = &state.lowered.matching else {
        return SmallVec::new();
    };
    let path = matching.path_key.owned();
    let hosts: SmallVec<[_; 1]> = match &matching.name {
        NameMatch::Pattern(hostname) => smallvec![SlotHost::Pattern(hostname.pattern.clone())],
        NameMatch::Regex(pattern) => smallvec![SlotHost::Regex(Arc::clone(&pattern.text))],
        NameMatch::Unnamed => {
            let selectors = state.selectors.iter().map(Arc::clone);
            selectors.map(SlotHost::Selected).collect()
        }
    };
    let regions = state.placement.regions.iter();
    let slots = regions.flat_map(|region| {
        let hosts = hosts.iter();
        hosts.map(|host| (region.clone(), host.clone(), path.clone()))
    });
    slots.collect()
}

/// The selectors that decide where a Mapping without a hostname is.
pub(super) fn selectors(lowered: &Lowered, scopes: &BTreeSet<Scope>) -> Few<Arc<Selector>> {
    let matching = lowered.matching.as_ref();
    if !matching.is_some_and(|matching| matches!(matching.name, NameMatch::Unnamed)) {
        return Few::default();
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
