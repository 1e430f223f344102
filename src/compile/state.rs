//! What a compiler keeps between compiles, and the order of the passes.
//!
//! ```text
//! settings ─> cluster ─> TLSContexts ─> Hosts ─> Listeners      few, lowered again when one of their kind changes
//!     └─────────┴────────────┴─> Mappings                       many, each lowered when it changes
//!                                   └─> slots ─> tables         only those that a changed Mapping is or was in
//!                                                  └─> virtual hosts ─> Graph, Report
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Options,
    claim::{Claims, Placement, RegionKey},
    cluster::{Affected, Cluster},
    context::Contexts,
    dependents::{Dependency, Dependents},
    finding::Findings,
    host::{self, LoweredHost},
    installation,
    intern::Interner,
    listener::{self, LoweredListener},
    mapping::{self, Intent, Lowered, Match, NameMatch},
    policies,
    reports::{self, Pass, Place, Reports},
    routing::{self, Routing, Scope},
    secret::{Certificates, Secrets},
    seen::{self, Before, Changed, Edit, Seen},
    selector::Selector,
    settings::{self, Settings},
    settled,
    slot::{self, SlotKey},
    touched::Touched,
    twin,
    upstream::{Dialled, Dials, Resolver},
    virtual_host,
};
use crate::{
    crd::{MappingSpec, gateway_settings::Preset, schema::Written},
    graph::{Action, Fail, Graph, Upstream, UpstreamId},
    report::{Code, Diagnostic, ObjectReport, Report, Settled},
    resource::{Mapping, ObjectKey, ResourceSet},
};

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
}

/// A Mapping of this installation.
#[derive(Debug)]
pub(super) struct MappingState {
    pub(super) lowered: Lowered,
    /// What looking up its references has found, if anything.
    resolved: Option<Box<Findings>>,
    /// What it does when nothing else stands in the way.
    pub(super) action: Action,
    on: Arc<Dependency>,
    pub(super) placement: Arc<Placement>,
    /// See [`routing::selectors`].
    pub(super) selectors: Box<[Arc<Selector>]>,
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
        let relinked = self.routing.link(
            &self.mappings,
            &self.scopes,
            &self.settings,
            &self.claims,
            &mut touched,
        );
        if dirty.hosts || dirty.settings || dirty.scopes || dirty.claims || relinked.oldest {
            self.link_hosts(&mut touched);
        } else if relinked.sets {
            self.linked.reroute(&self.routing);
        }
        self.report_mappings(&touched);
        self.trim();
        let graph = Graph {
            listeners: self.linked.listeners.clone(),
            requests: self.settings.requests,
            envoy: self.settings.envoy.clone(),
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

    /// The passes over what there are few of.
    fn lower_globals(
        &mut self,
        resources: &ResourceSet,
        options: &Options,
        changed: &Changed,
        renamed: bool,
    ) -> Dirty {
        let settings =
            (changed.settings || changed.unavailable) && self.lower_settings(resources, options);
        let claims =
            (changed.claims || changed.namespaces || settings) && self.lower_claims(resources);
        let services = self.update_cluster(resources, options, changed, renamed);
        let cluster = services.is_none();
        let references = cluster || changed.tls || settings;
        let contexts = references && self.lower_contexts(resources, options);
        let hosts = references || changed.hosts;
        if hosts {
            self.lower_hosts(resources, options);
        }
        let listeners = changed.listeners || settings || changed.settings || changed.unavailable;
        if listeners {
            self.listeners = listener::lower_all(resources, options, &self.settings);
        }
        let scopes = virtual_host::scopes(&self.hosts);
        let scopes_changed = scopes != self.scopes;
        self.scopes = scopes;
        if references {
            let [by_contexts, by_hosts] = &self.wanted;
            let wanted = by_contexts.union(by_hosts).cloned().collect();
            self.certificates.retain(&wanted);
        }
        Dirty {
            settings,
            references: cluster || contexts || settings,
            services: services.unwrap_or_default(),
            scopes: scopes_changed,
            claims,
            hosts: hosts || listeners,
        }
    }

    /// What leads elsewhere now; None when that may be everything.
    fn update_cluster(
        &mut self,
        resources: &ResourceSet,
        options: &Options,
        changed: &Changed,
        renamed: bool,
    ) -> Option<Affected> {
        let updated = if changed.namespaces
            || changed.unavailable
            || renamed && self.cluster.is_stale(resources, options)
        {
            None
        } else {
            let (services, slices) = (&changed.services, &changed.slices);
            self.cluster.update(services, slices, resources, options)
        };
        if updated.is_none() {
            self.cluster = Cluster::new(resources, options);
        }
        updated
    }

    /// Reads the settings and what counts as such; says whether they are others than before.
    fn lower_settings(&mut self, resources: &ResourceSet, options: &Options) -> bool {
        let (mut settings, found) = settings::read(resources, options, self.preset);
        let place = |in_graph| Place {
            in_graph,
            ..Place::default()
        };
        let found = found.into_iter();
        self.reports.replace(
            Pass::Settings,
            found.map(|found| {
                let mut place = place(found.in_force);
                if found.in_force {
                    place.settled = settled::of_settings(found.object);
                }
                reports::object(found.object, found.findings, place)
            }),
        );
        let found = policies::read(&resources.others, options, &mut settings);
        let found = found.into_iter();
        self.reports.replace(
            Pass::Policies,
            found.map(|found| {
                let mut place = place(found.in_force);
                place.settled = found.settled;
                reports::object(found.object, found.findings, place)
            }),
        );
        let changed = settings != self.settings;
        self.settings = settings;
        changed
    }

    /// Reads the claims; says whether others are in force than before.
    fn lower_claims(&mut self, resources: &ResourceSet) -> bool {
        let (claims, found) = Claims::new(resources, self.settings.requests);
        let found = found.into_iter().map(|found| {
            let place = Place {
                in_graph: !found.serves.is_empty(),
                serves: found.serves,
                settled: Settled::of_owners(found.owners),
                ..Place::default()
            };
            reports::object(&found.object, found.findings, place)
        });
        self.reports.replace(Pass::Claims, found);
        let changed = claims != self.claims;
        if changed {
            self.claims = claims;
        }
        changed
    }

    fn lower_contexts(&mut self, resources: &ResourceSet, options: &Options) -> bool {
        let mut secrets = Secrets {
            resources,
            cluster: &self.cluster,
            certificates: &mut self.certificates,
            wanted: BTreeSet::new(),
        };
        let (contexts, found) = Contexts::new(&resources.tls_contexts, options, &mut secrets);
        self.wanted[0] = secrets.wanted;
        let found = found.into_iter().map(|found| {
            let in_graph = found.findings.first_error().is_none();
            let place = Place {
                in_graph,
                settled: settled::of_context(&found.object),
                ..Place::default()
            };
            reports::object(&found.object, found.findings, place)
        });
        self.reports.replace(Pass::Contexts, found);
        let changed = contexts != self.contexts;
        self.contexts = contexts;
        changed
    }

    fn lower_hosts(&mut self, resources: &ResourceSet, options: &Options) {
        let mut secrets = Secrets {
            resources,
            cluster: &self.cluster,
            certificates: &mut self.certificates,
            wanted: BTreeSet::new(),
        };
        self.hosts = host::lower_all(&resources.hosts, options, &self.settings, &mut secrets);
        self.wanted[1] = secrets.wanted;
    }

    /// Brings the Mappings up to date, and says which have changed.
    fn update_mappings(
        &mut self,
        edits: Vec<Edit<Written<MappingSpec>>>,
        options: &Options,
        dirty: &Dirty,
    ) -> Touched {
        if dirty.settings || dirty.references || !dirty.services.services.is_empty() {
            self.dials = Dials::default();
        }
        let edits = edits.into_iter().map(|edit| (edit.key, edit.now));
        let edits = if dirty.settings {
            let gone = edits.filter(|(_, object)| object.is_none());
            let all = self.objects.iter();
            let all = all.map(|object| (object.key.clone(), Some(Arc::clone(object))));
            gone.chain(all).collect()
        } else {
            edits.collect::<Vec<_>>()
        };
        let mut touched = Touched::default();
        for (key, object) in edits {
            touched.insert(&key);
            touched.extend(&self.twin(&key));
            if let Some(old) = self.mappings.remove(&key) {
                self.routing.remove(&key, &routing::slots(&old));
                self.dependents.remove(&key, &old.on);
            }
            let read = object.map(|object| (object.spec.read(), object));
            let ours = read.filter(|(spec, object)| {
                let ids = spec.ambassador_id.as_deref();
                installation::includes(ids, &object.problems, options)
            });
            match ours {
                Some((spec, object)) => self.add_mapping(key, &object, &spec, options),
                None => self.reports.list.remove(&key),
            }
        }
        let affected = if dirty.references {
            self.mappings.keys().cloned().collect()
        } else {
            self.dependents.of(&dirty.services)
        };
        self.resolve_again(affected, options, &mut touched);
        if dirty.scopes || dirty.claims {
            self.place_again(dirty.claims, &mut touched);
        }
        touched
    }

    fn add_mapping(
        &mut self,
        key: ObjectKey,
        object: &Arc<Mapping>,
        spec: &MappingSpec,
        options: &Options,
    ) {
        let lowered = mapping::lower(object, spec, &self.settings, &mut self.interner);
        let (resolved, action, on) = self.resolve(&lowered, options);
        self.dependents.insert(&key, &on);
        let placement = place(&self.claims, &self.settings, &lowered, &mut self.placement);
        let state = MappingState {
            selectors: routing::selectors(&lowered, &self.scopes),
            placement,
            lowered,
            resolved: if_any(resolved),
            action,
            on,
        };
        self.routing.insert(&key, &routing::slots(&state));
        self.mappings.insert(key, Box::new(state));
    }

    /// Looks up what a Mapping refers to.
    fn resolve(
        &mut self,
        lowered: &Lowered,
        options: &Options,
    ) -> (Findings, Action, Arc<Dependency>) {
        let mut findings = Findings::default();
        let mut on = Arc::default();
        let resolver = Resolver {
            options,
            settings: &self.settings,
            cluster: &self.cluster,
            contexts: &self.contexts,
        };
        let action = match &lowered.intent {
            Intent::Redirect(redirect) => Some(Action::Redirect(Arc::clone(redirect))),
            Intent::Forward(plan) => {
                let from = &lowered.object.key;
                let found = self.dials.find(from, plan, || {
                    let dialled =
                        resolver.dialled(from, &plan.dial, &self.upstreams, &mut findings)?;
                    Some(shared(&mut self.upstreams, dialled))
                });
                on = match &found {
                    Some(found) => Arc::clone(&found.on),
                    None => Arc::new(resolver.dependency(from, &plan.dial)),
                };
                found.map(|found| Action::Forward(found.forward))
            }
            Intent::Broken { .. } => None,
        };
        let action = action.unwrap_or_else(|| {
            let error = lowered.findings.first_error().or(findings.first_error());
            Action::Fail(Fail {
                code: error
                    .map_or(Code::InvalidValue, |error| error.code)
                    .number(),
            })
        });
        (findings, action, on)
    }

    fn resolve_again(&mut self, keys: Vec<ObjectKey>, options: &Options, touched: &mut Touched) {
        for key in keys {
            if touched.contains(&key) {
                continue;
            }
            // Out of the way while all the rest is looked at.
            let Some(mut state) = self.mappings.remove(&key) else {
                continue;
            };
            if matches!(state.lowered.intent, Intent::Forward(_)) {
                let (findings, action, on) = self.resolve(&state.lowered, options);
                if on != state.on {
                    self.dependents.remove(&key, &state.on);
                    self.dependents.insert(&key, &on);
                    state.on = on;
                }
                let resolved = if_any(findings);
                if resolved != state.resolved || !same(&action, &state.action) {
                    state.resolved = resolved;
                    state.action = action;
                    self.routing.touch(&routing::slots(&state));
                    touched.insert(&key);
                }
            }
            self.mappings.insert(key, state);
        }
    }

    /// Mappings are where claims let them, and those without a hostname where the Hosts' selectors put them.
    fn place_again(&mut self, claims: bool, touched: &mut Touched) {
        for (key, state) in &mut self.mappings {
            let placement = if claims {
                let (lowered, last) = (&state.lowered, &mut self.placement);
                place(&self.claims, &self.settings, lowered, last)
            } else {
                Arc::clone(&state.placement)
            };
            let selectors = routing::selectors(&state.lowered, &self.scopes);
            if claims && !selectors.is_empty() {
                // What is said of it depends on who has claimed the names of the Hosts that select it.
                touched.insert(key);
            }
            if placement == state.placement && selectors == state.selectors {
                continue;
            }
            let before = routing::slots(state);
            state.placement = placement;
            state.selectors = selectors;
            let slots = routing::slots(state);
            if slots != before {
                self.routing.remove(key, &before);
                self.routing.insert(key, &slots);
            }
            touched.insert(key);
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
        self.report_hosts();
        if moved {
            touched.extend(self.mappings.keys());
        }
    }

    fn report_hosts(&mut self) {
        let notes = &self.linked.notes;
        let hosts = self.hosts.iter().map(|host| {
            let note = notes.get(&host.object.key);
            let mut findings = host.findings.clone();
            findings
                .0
                .extend(note.into_iter().flat_map(|note| note.findings.0.clone()));
            let in_graph = note.is_some_and(|note| note.placed);
            let serves = host.pattern.iter().filter(|_| in_graph);
            let place = Place {
                in_graph,
                serves: serves.map(ToString::to_string).collect(),
                settled: settled::of_host(&host.object),
                certificate_not_after: host.not_after,
                ..Place::default()
            };
            reports::object(&host.object, findings, place)
        });
        self.reports.replace(Pass::Hosts, hosts);
        let listeners = self.listeners.iter().filter_map(|listener| {
            let plan = listener.plan.as_ref();
            let place = Place {
                in_graph: plan.is_some(),
                serves: plan.iter().map(|plan| format!(":{}", plan.port)).collect(),
                ..Place::default()
            };
            let object = listener.object.as_ref()?;
            Some(reports::object(object, listener.findings.clone(), place))
        });
        self.reports.replace(Pass::Listeners, listeners);
    }

    fn report_mappings(&mut self, touched: &Touched) {
        for key in touched.iter() {
            if let Some(state) = self.mappings.get(key) {
                let report = self.report_mapping(state);
                self.reports.list.put(report);
            }
        }
    }

    /// The Mapping of the same name in the other group, if there is one.
    fn twin(&self, key: &ObjectKey) -> Option<ObjectKey> {
        // Most clusters have Mappings of one group only, and then nothing is looked up.
        let first = self.mappings.first_key_value()?.0.group;
        let last = self.mappings.last_key_value()?.0.group;
        if first == last && first == key.group {
            return None;
        }
        twin::of(key).filter(|twin| self.mappings.contains_key(twin))
    }

    fn report_mapping(&self, state: &MappingState) -> ObjectReport {
        let lowered = &state.lowered;
        let object = &lowered.object;
        let mut findings = lowered.findings.clone();
        let resolved = state.resolved.as_deref();
        let elsewhere = resolved.into_iter().chain([&state.placement.findings]);
        let elsewhere = elsewhere.flat_map(|found| found.0.iter().cloned());
        findings.0.extend(elsewhere);
        if let Some(twin) = self.twin(&object.key) {
            twin::tell(&twin, &mut findings);
        }
        if let Some(reason) = &self.settings.refusal {
            findings.push(
                Code::PolicyNotHonoured,
                "",
                format!("{reason}, so every Mapping answers 503"),
                "Have the platform team look at that object",
            );
        }
        let mut placed = false;
        for slot in &routing::slots(state) {
            if let Some(note) = self.routing.note(&object.key, slot) {
                placed |= note.placed;
                findings.0.extend(note.findings.0.iter().cloned());
            }
            let taken = self.routing.taken(&object.key, slot);
            let taken = taken.filter(|_| !self.is_never_asked(lowered, slot));
            findings.0.extend(taken.cloned());
        }
        let serves = self.serves(lowered, &mut findings);
        let is_claimed = |found: &Diagnostic| found.code == Code::ClaimedByOthers;
        let is_told = findings.0.iter().any(is_claimed);
        if lowered.matching.is_some() && serves.is_empty() && !is_told {
            findings.push(
                Code::NoMatchingHost,
                "spec.hostname",
                "No Host serves this Mapping, so no request reaches it",
                "Write a `hostname` that a Host covers, or the labels that a `mappingSelector` asks for",
            );
        }
        let in_graph = placed && !serves.is_empty();
        let refused = !in_graph && findings.first_error().is_some();
        let is_part =
            |found: &Diagnostic| matches!(found.code, Code::PartlyClaimed | Code::PartlyConflict);
        // One without a hostname asks for those of the Hosts that select it, and has them in what it serves.
        let is_named = |matching: &Match| !matches!(matching.name, NameMatch::Unnamed);
        let is_named = lowered.matching.as_ref().is_some_and(is_named);
        let kept_out = is_named && findings.0.iter().any(is_part);
        let place = Place {
            in_graph,
            serves: if in_graph { serves } else { Vec::new() },
            asks: slot::asked(lowered).filter(|_| refused || kept_out),
            settled: lowered.settled.clone(),
            certificate_not_after: None,
        };
        reports::object(object, findings, place)
    }

    /// Whether no request can reach a Mapping without a hostname in what nobody has claimed, because all names of the Hosts
    /// that select it are claimed.
    fn is_never_asked(&self, lowered: &Lowered, (region, ..): &SlotKey) -> bool {
        let unnamed = lowered.matching.as_ref().filter(|matching| {
            *region == RegionKey::Unclaimed && matches!(matching.name, NameMatch::Unnamed)
        });
        unnamed.is_some_and(|matching| {
            let object = &lowered.object;
            let mut hosts = self.linked.coverage.selecting(&object.meta.labels);
            hosts.all(|host| self.claims.cover(&object.key.namespace, host, matching))
        })
    }

    /// Where a Mapping is served, given that it is in a route.
    fn serves(&self, lowered: &Lowered, findings: &mut Findings) -> Vec<String> {
        let Some(matching) = &lowered.matching else {
            return Vec::new();
        };
        let labels = &lowered.object.meta.labels;
        let coverage = &self.linked.coverage;
        let covered = match &matching.name {
            NameMatch::Pattern(hostname) => coverage.covers(&hostname.pattern, labels),
            NameMatch::Regex(_) => coverage.covers(&crate::graph::HostPattern::ANY, labels),
            NameMatch::Unnamed => return self.serves_selected(lowered, matching, findings),
        };
        covered.then(|| slot::pair(lowered)).into_iter().collect()
    }

    /// The same for one without a hostname: the names of the Hosts that select it, but for those that others have claimed.
    fn serves_selected(
        &self,
        lowered: &Lowered,
        matching: &Match,
        findings: &mut Findings,
    ) -> Vec<String> {
        let object = &lowered.object;
        let namespace = &object.key.namespace;
        let path = slot::path_text(&matching.path_key);
        let (mut serves, mut refused) = (BTreeSet::new(), None);
        for host in self.linked.coverage.selecting(&object.meta.labels) {
            match self.claims.refusal(namespace, host, matching) {
                Some(refusal) => refused = refused.or(Some(refusal)),
                None => drop(serves.insert(format!("{host}{path}"))),
            }
        }
        if let Some((part, claim)) = refused {
            let code = if serves.is_empty() {
                Code::ClaimedByOthers
            } else {
                Code::PartlyClaimed
            };
            let message = format!("{part} belongs to {}", claim.owner());
            findings.push(code, "spec.prefix", message, claim.next(namespace));
        }
        serves.into_iter().collect()
    }
}

/// Where claims let a Mapping serve; one with `last` if that is the same.
fn place(
    claims: &Claims,
    settings: &Settings,
    lowered: &Lowered,
    last: &mut Arc<Placement>,
) -> Arc<Placement> {
    let namespace = &lowered.object.key.namespace;
    let matching = lowered.matching.as_ref();
    let placed = matching.map(|matching| claims.place(namespace, matching, settings.unclaimed));
    let placed = placed.unwrap_or_default();
    if **last != placed {
        *last = Arc::new(placed);
    }
    Arc::clone(last)
}

fn if_any(findings: Findings) -> Option<Box<Findings>> {
    (!findings.0.is_empty()).then(|| Box::new(findings))
}

/// The same, with an upstream that others share.
fn shared(upstreams: &mut HashMap<UpstreamId, Arc<Upstream>>, mut dialled: Dialled) -> Dialled {
    let id = &dialled.upstream.id;
    if let Some(known) = upstreams
        .get(id)
        .filter(|known| ***known == *dialled.upstream)
    {
        dialled.upstream = Arc::clone(known);
    } else {
        upstreams.insert(id.clone(), Arc::clone(&dialled.upstream));
    }
    dialled
}

/// Whether two actions of one Mapping are the same: all but the upstream follows from the Mapping.
fn same(a: &Action, b: &Action) -> bool {
    match (a, b) {
        (Action::Forward(a), Action::Forward(b)) => a.upstream == b.upstream,
        (Action::Fail(a), Action::Fail(b)) => a == b,
        (Action::Redirect(a), Action::Redirect(b)) => Arc::ptr_eq(a, b),
        _ => false,
    }
}
