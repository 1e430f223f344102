//! What was resolved before: Mappings of one namespace that say the same are forwarded alike.

use std::{collections::HashMap, sync::Arc};

use crate::{
    compile::{dependents::Dependency, mapping::ForwardPlan},
    graph::{Forward, Upstream},
    resource::{Group, ObjectKey},
};

/// An upstream, and the name that it has itself.
#[derive(Clone, Debug)]
pub(in crate::compile) struct Dialled {
    pub(in crate::compile) upstream: Arc<Upstream>,
    pub(in crate::compile) host: Arc<str>,
    pub(in crate::compile) on: Arc<Dependency>,
}

/// What a plan has led to.
#[derive(Clone, Debug)]
pub(in crate::compile) struct Resolved {
    pub(in crate::compile) forward: Arc<Forward>,
    pub(in crate::compile) on: Arc<Dependency>,
}

/// Forwards by all that they depend on within a Mapping. Worth nothing any more when something else has changed.
#[derive(Debug, Default)]
pub(in crate::compile) struct Dials(HashMap<Key, Resolved, foldhash::fast::RandomState>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    group: Group,
    namespace: Arc<str>,
    plan: Arc<ForwardPlan>,
}

impl Dials {
    /// Where a plan leads; failures are found again each time, since what is said about them names the Mapping.
    pub(in crate::compile) fn find(
        &mut self,
        from: &ObjectKey,
        plan: &Arc<ForwardPlan>,
        resolve: impl FnOnce() -> Option<Dialled>,
    ) -> Option<Resolved> {
        let key = Key {
            group: from.group,
            namespace: Arc::clone(&from.namespace),
            plan: Arc::clone(plan),
        };
        if let Some(known) = self.0.get(&key) {
            return Some(known.clone());
        }
        let dialled = resolve()?;
        let resolved = Resolved {
            on: Arc::clone(&dialled.on),
            forward: Arc::new(plan.forward(dialled)),
        };
        self.0.insert(key, resolved.clone());
        Some(resolved)
    }

    pub(in crate::compile) fn trim(&mut self, most: usize) {
        if self.0.len() > most {
            self.0.clear();
        }
    }
}
