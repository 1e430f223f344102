//! What a compiler keeps between compiles, and the order of the passes.
//!
//! ```text
//! settings ─> cluster ─> TLSContexts ─> Hosts ─> Listeners      few, lowered again when one of their kind changes
//!     └─────────┴────────────┴─> Mappings                       many, each lowered when it changes
//!                                   └─> slots ─> tables         only those that a changed Mapping is or was in
//!                                                  └─> virtual hosts ─> Graph, Report
//! ```

mod globals;
mod mappings;
mod tcp;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Options,
    claim::{Claims, Placement},
    cluster::{Affected, Cluster},
    context::Contexts,
    dependents::{Dependency, Dependents},
    few::Few,
    finding::Findings,
    host::LoweredHost,
    intern::Interner,
    listener::LoweredListener,
    mapping::Lowered,
    reports::{self, Reports},
    routing::{Routing, Scope},
    secret::Certificates,
    seen::{self, Before, Seen},
    selector::Selector,
    settings::Settings,
    tcp::behind::Shape,
    touched::Touched,
    upstream::Dials,
    virtual_host,
};
use crate::{
    crd::{MappingSpec, gateway_settings::Preset, schema::Written},
    graph::{Action, Graph, Upstream, UpstreamId},
    report::Report,
    resource::{ObjectKey, ResourceSet},
};

pub(super) use mappings::shared;

/// Everything that is kept.
#[derive(Debug)]
pub(super) struct State {
    seen: Seen,
    settings: Settings,
    /// What the GatewaySettings begin with, where they name no preset.
    preset: Preset,
    claims: Claims,
    cluster: Cluster,
    contexts: Contexts,
    certificates: Certificates,
    /// Wanted by TLSContexts and by Hosts.
    wanted: [BTreeSet<ObjectKey>; 2],
    hosts: Vec<LoweredHost>,
    listeners: Vec<LoweredListener>,
    scopes: BTreeSet<Scope>,
    /// The Mappings of the last compile, those of other installations too.
    objects: Before<Written<MappingSpec>>,
    mappings: BTreeMap<ObjectKey, Box<MappingState>>,
    dependents: Dependents,
    interner: Interner,
    /// That of the Mapping before: most are placed alike.
    placement: Arc<Placement>,
    dials: Dials,
    upstreams: HashMap<UpstreamId, Arc<Upstream>>,
    routing: Routing,
    linked: virtual_host::Linked,
    reports: Reports,
    /// That claims may not be read: whether the GatewaySettings say so, and whether nobody but the routes themselves can.
    claims_told: bool,
    claims_untold: bool,
    /// The TCPMappings that Mappings may be behind, by Listener.
    behind: Vec<Shape>,
}

/// A Mapping of this installation.
#[derive(Debug)]
pub(super) struct MappingState {
    pub(super) lowered: Lowered,
    /// What looking up its references has found.
    resolved: Findings,
    /// What it does when nothing else stands in the way.
    pub(super) action: Action,
    on: Arc<Dependency>,
    pub(super) placement: Arc<Placement>,
    /// See [`selectors`](super::routing::selectors).
    pub(super) selectors: Few<Arc<Selector>>,
}

/// What the passes before the Mappings have changed.
#[derive(Debug)]
struct Dirty {
    settings: bool,
    /// Every reference may lead elsewhere.
    references: bool,
    /// References to these may.
    services: Affected,
    scopes: bool,
    claims: bool,
    hosts: bool,
    /// Whether routes say that claims may not be read.
    untold: bool,
}

impl State {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            seen: Seen::default(),
            settings: Settings::new(options),
            preset: Preset::None,
            claims: Claims::default(),
            cluster: Cluster::default(),
            contexts: Contexts::default(),
            certificates: Certificates::default(),
            wanted: Default::default(),
            hosts: Vec::new(),
            listeners: Vec::new(),
            scopes: BTreeSet::new(),
            objects: Vec::new(),
            mappings: BTreeMap::new(),
            dependents: Dependents::default(),
            interner: Interner::default(),
            placement: Arc::default(),
            dials: Dials::default(),
            upstreams: HashMap::new(),
            routing: Routing::default(),
            linked: virtual_host::Linked::default(),
            reports: Reports::default(),
            claims_told: false,
            claims_untold: false,
            behind: Vec::new(),
        }
    }

    /// Begins with a preset, where the GatewaySettings name none.
    pub(super) fn preset(&mut self, preset: Preset) {
        self.preset = preset;
    }

    pub(super) fn compile(
        &mut self,
        resources: &ResourceSet,
        options: &Options,
    ) -> (Arc<Graph>, Arc<Report>) {
        let changed = self.seen.update(resources);
        let edits = seen::edits(&mut self.objects, &resources.mappings);
        // A Mapping that is new or gone may make a namespace appear or go.
        let renamed = edits
            .iter()
            .any(|edit| edit.before.is_none() || edit.now.is_none());
        let dirty = self.lower_globals(resources, options, &changed, renamed);
        let mut touched = self.update_mappings(edits, options, &dirty);
        if dirty.untold {
            touched.extend(self.mappings.keys());
        }
        let relinked = self.routing.link(
            &self.mappings,
            &self.scopes,
            &self.settings,
            &self.claims,
            &mut touched,
        );
        if dirty.hosts || dirty.settings || dirty.scopes || dirty.claims || relinked.oldest {
            self.link_hosts(&mut touched);
            self.link_tcp(resources, options, &mut touched);
        } else {
            if relinked.sets {
                self.linked.reroute(&self.routing);
            }
            if dirty.references || !dirty.services.is_empty() {
                self.link_tcp(resources, options, &mut touched);
            }
        }
        self.report_mappings(&touched);
        self.trim();
        let graph = Graph {
            listeners: self.linked.listeners.clone(),
            requests: self.settings.requests,
            clients: self.settings.clients.clone(),
            envoy: self.settings.envoy.clone(),
            access: self.settings.access.clone(),
            own: self.settings.own,
            dial: self.cluster.dial_policy(options),
        };
        let [by_contexts, by_hosts] = &self.wanted;
        let report = Report {
            objects: self.reports.list.clone(),
            wanted_secrets: by_contexts.union(by_hosts).cloned().collect(),
            files: reports::files(resources),
        };
        (Arc::new(graph), Arc::new(report))
    }

    /// Forgets what nobody uses any more, once that is as much as is in use.
    fn trim(&mut self) {
        let most = 2 * self.mappings.len() + 64;
        self.interner.trim(most);
        self.dials.trim(most);
        if self.upstreams.len() > most {
            self.upstreams
                .retain(|_, upstream| Arc::strong_count(upstream) > 1);
        }
    }

    /// Puts the Hosts on the Listeners, and adds the Mappings that may be served elsewhere than before.
    fn link_hosts(&mut self, touched: &mut Touched) {
        let linked = virtual_host::link(
            &self.hosts,
            &self.listeners,
            &self.routing,
            &self.claims,
            &self.settings,
        );
        let moved = linked.coverage != self.linked.coverage;
        self.linked = linked;
        if moved {
            touched.extend(self.mappings.keys());
        }
    }
}
