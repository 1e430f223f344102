//! Which Mappings a change of a Service touches.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::cluster::{Affected, ServiceName};
use crate::resource::ObjectKey;

/// What of the cluster a Mapping was resolved by, besides namespaces and grants: when those change, all are asked again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Dependency {
    #[default]
    Nothing,
    /// A Service and its endpoints.
    Service(ServiceName),
    /// A Service that does not exist: what is said about it names others of its namespace.
    Missing(ServiceName),
    /// An address, or a Service that stands for a name: any object may own or change it.
    Anything,
}

/// Mappings by what they depend on.
#[derive(Debug, Default)]
pub(super) struct Dependents {
    by_service: HashMap<ServiceName, Keys, foldhash::fast::RandomState>,
    /// Those whose Service is missing, by its namespace.
    missing: HashMap<Arc<str>, Keys, foldhash::fast::RandomState>,
    anything: Keys,
}

type Keys = HashSet<ObjectKey, foldhash::fast::RandomState>;

impl Dependents {
    pub(super) fn insert(&mut self, key: &ObjectKey, on: &Dependency) {
        match on {
            Dependency::Nothing => {}
            Dependency::Service(name) => add(&mut self.by_service, name, key),
            Dependency::Missing(name) => {
                add(&mut self.by_service, name, key);
                add(&mut self.missing, &name.namespace, key);
            }
            Dependency::Anything => {
                self.anything.insert(key.clone());
            }
        }
    }

    pub(super) fn remove(&mut self, key: &ObjectKey, on: &Dependency) {
        match on {
            Dependency::Nothing => {}
            Dependency::Service(name) => take(&mut self.by_service, name, key),
            Dependency::Missing(name) => {
                take(&mut self.by_service, name, key);
                take(&mut self.missing, &name.namespace, key);
            }
            Dependency::Anything => {
                self.anything.remove(key);
            }
        }
    }

    /// Whom a change touches, in the order of their keys.
    pub(super) fn of(&self, affected: &Affected) -> Vec<ObjectKey> {
        let services = affected.services.iter();
        let by_service = services.filter_map(|name| self.by_service.get(name));
        let namespaces = affected.namespaces.iter();
        let missing = namespaces.filter_map(|name| self.missing.get(name));
        let anything = (!affected.services.is_empty()).then_some(&self.anything);
        let all = by_service.chain(missing).chain(anything).flatten();
        let mut keys: Vec<_> = all.cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

type Index<K> = HashMap<K, Keys, foldhash::fast::RandomState>;

fn add<K: Clone + Eq + std::hash::Hash>(index: &mut Index<K>, name: &K, key: &ObjectKey) {
    if let Some(keys) = index.get_mut(name) {
        keys.insert(key.clone());
    } else {
        let keys = Keys::from_iter([key.clone()]);
        index.insert(name.clone(), keys);
    }
}

fn take<K: Eq + std::hash::Hash>(index: &mut Index<K>, name: &K, key: &ObjectKey) {
    let Some(keys) = index.get_mut(name) else {
        return;
    };
    keys.remove(key);
    if keys.is_empty() {
        index.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Group, Kind};

    #[test]
    fn a_change_of_a_service_touches_those_that_refer_to_it() {
        let key = |name| ObjectKey::new(Group::Postern, Kind::Mapping, "apps", name);
        let service = |name: &str| ServiceName {
            namespace: "apps".into(),
            name: name.into(),
        };
        let all = [
            ("a", Dependency::Service(service("quote"))),
            ("b", Dependency::Service(service("other"))),
            ("c", Dependency::Missing(service("qoute"))),
            ("d", Dependency::Anything),
            ("e", Dependency::Nothing),
        ];
        let mut dependents = Dependents::default();
        for (name, on) in &all {
            dependents.insert(&key(name), on);
        }
        let touched = |dependents: &Dependents, services: &[&str], namespaces: &[&str]| {
            let affected = Affected {
                services: services.iter().map(|name| service(name)).collect(),
                namespaces: namespaces.iter().map(|name| Arc::from(*name)).collect(),
            };
            let keys = dependents.of(&affected).into_iter();
            keys.map(|key| key.name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(touched(&dependents, &["quote"], &[]), ["a", "d"]);
        assert_eq!(touched(&dependents, &["new"], &["apps"]), ["c", "d"]);
        assert_eq!(touched(&dependents, &["qoute"], &["apps"]), ["c", "d"]);
        assert_eq!(touched(&dependents, &[], &[]), [""; 0]);
        for (name, on) in &all {
            dependents.remove(&key(name), on);
        }
        assert_eq!(
            touched(&dependents, &["quote", "other"], &["apps"]),
            [""; 0]
        );
    }
}
