//! Brings the Mappings up to date: lowers, resolves and places those that something has changed for.

use std::{collections::HashMap, sync::Arc};

use super::{Dirty, MappingState, State};
use crate::{
    compile::{
        Options,
        claim::{Claims, Placement},
        dependents::Dependency,
        finding::Findings,
        installation,
        mapping::{self, Intent, Lowered},
        routing,
        seen::Edit,
        settings::Settings,
        touched::Touched,
        upstream::{Dialled, Dials, Resolver},
    },
    crd::{MappingSpec, schema::Written},
    graph::{Action, Fail, Upstream, UpstreamId},
    report::Code,
    resource::{Mapping, ObjectKey},
};

impl State {
    /// Brings the Mappings up to date, and says which have changed.
    pub(super) fn update_mappings(
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
            resolved,
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
                let (resolved, action, on) = self.resolve(&state.lowered, options);
                if on != state.on {
                    self.dependents.remove(&key, &state.on);
                    self.dependents.insert(&key, &on);
                    state.on = on;
                }
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

/// The same, with an upstream that others share.
pub(in crate::compile) fn shared(
    upstreams: &mut HashMap<UpstreamId, Arc<Upstream>>,
    mut dialled: Dialled,
) -> Dialled {
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
