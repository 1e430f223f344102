//! What was resolved before: Mappings of one namespace that say the same have the same upstream.

use std::{collections::HashMap, sync::Arc};

use crate::{
    compile::{dependents::Dependency, mapping::DialPlan},
    graph::Upstream,
    resource::{Group, ObjectKey},
};

/// An upstream, and the name that it has itself.
#[derive(Clone, Debug)]
pub(in crate::compile) struct Dialled {
    pub(in crate::compile) upstream: Arc<Upstream>,
    pub(in crate::compile) host: Arc<str>,
    pub(in crate::compile) on: Arc<Dependency>,
}

/// Upstreams by all that they depend on within a Mapping. Worth nothing any more when something else has changed.
#[derive(Debug, Default)]
pub(in crate::compile) struct Dials(HashMap<Key, Dialled, foldhash::fast::RandomState>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    group: Group,
    namespace: Arc<str>,
    plan: Arc<DialPlan>,
}

impl Dials {
    /// Where a plan leads; failures are found again each time, since what is said about them names the Mapping.
    pub(in crate::compile) fn find(
        &mut self,
        from: &ObjectKey,
        plan: &Arc<DialPlan>,
        resolve: impl FnOnce() -> Option<Dialled>,
    ) -> Option<Dialled> {
        let key = Key {
            group: from.group,
            namespace: Arc::clone(&from.namespace),
            plan: Arc::clone(plan),
        };
        if let Some(known) = self.0.get(&key) {
            return Some(known.clone());
        }
        let dialled = resolve()?;
        self.0.insert(key, dialled.clone());
        Some(dialled)
    }

    pub(in crate::compile) fn trim(&mut self, most: usize) {
        if self.0.len() > most {
            self.0.clear();
        }
    }
}
