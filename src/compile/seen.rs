//! What the last compile was made of: tells which kinds of objects have changed since.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    crd::{
        GatewaySettingsSpec, HostSpec, ListenerSpec, RouteClaimSpec, TcpMappingSpec, TlsContextSpec,
    },
    resource::{
        EndpointSlice, Grant, Kind, Object, ObjectKey, Objects, ResourceSet, SecretData, Service,
        Unavailable,
    },
};

/// The objects of the last compile, but for Mappings.
#[derive(Debug, Default)]
pub(super) struct Seen {
    started: bool,
    settings: Objects<GatewaySettingsSpec>,
    others: Objects<serde_json::Value>,
    claims: Objects<RouteClaimSpec>,
    services: Before<Service>,
    slices: Before<EndpointSlice>,
    namespaces: Objects<()>,
    grants: Objects<Grant>,
    contexts: Objects<TlsContextSpec>,
    secrets: Objects<SecretData>,
    former_secrets: Objects<SecretData>,
    absent: BTreeSet<ObjectKey>,
    unavailable: BTreeMap<Kind, Unavailable>,
    hosts: Objects<HostSpec>,
    tcp: Objects<TcpMappingSpec>,
    listeners: Objects<ListenerSpec>,
}

/// What has changed.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// Which kinds can be read.
    pub(super) unavailable: bool,
    /// GatewaySettings and the kinds of Emissary.
    pub(super) settings: bool,
    pub(super) claims: bool,
    /// Namespaces and grants.
    pub(super) namespaces: bool,
    pub(super) services: Vec<Edit<Service>>,
    pub(super) slices: Vec<Edit<EndpointSlice>>,
    /// TLSContexts and Secrets.
    pub(super) tls: bool,
    pub(super) hosts: bool,
    /// TCPMappings.
    pub(super) tcp: bool,
    pub(super) listeners: bool,
}

impl Seen {
    pub(super) fn update(&mut self, now: &ResourceSet) -> Changed {
        let first = !std::mem::replace(&mut self.started, true);
        let absent = self.absent != now.absent_secrets;
        if absent {
            self.absent.clone_from(&now.absent_secrets);
        }
        let unavailable = first || self.unavailable != now.unavailable;
        if unavailable {
            self.unavailable.clone_from(&now.unavailable);
        }
        // All are compared: each remembers what it saw.
        Changed {
            unavailable,
            settings: first
                | replaced(&mut self.settings, &now.settings)
                | replaced(&mut self.others, &now.others),
            claims: first | replaced(&mut self.claims, &now.claims),
            namespaces: first
                | replaced(&mut self.namespaces, &now.namespaces)
                | replaced(&mut self.grants, &now.grants),
            services: edits(&mut self.services, &now.services),
            slices: edits(&mut self.slices, &now.endpoint_slices),
            tls: first
                | absent
                | replaced(&mut self.contexts, &now.tls_contexts)
                | replaced(&mut self.secrets, &now.secrets)
                | replaced(&mut self.former_secrets, &now.former_secrets),
            tcp: first | replaced(&mut self.tcp, &now.tcp_mappings),
            hosts: first | replaced(&mut self.hosts, &now.hosts),
            listeners: first | replaced(&mut self.listeners, &now.listeners),
        }
    }
}

/// An object that is new, gone, or another one than before.
#[derive(Debug)]
pub(super) struct Edit<T> {
    pub(super) key: ObjectKey,
    pub(super) before: Option<Arc<Object<T>>>,
    pub(super) now: Option<Arc<Object<T>>>,
}

/// Objects of one kind as they were, in the order of their keys: only to be compared, so that a list of them will do.
pub(super) type Before<T> = Vec<Arc<Object<T>>>;

/// How the objects differ from those before, in the order of their keys; from now on these are those before.
pub(super) fn edits<T>(before: &mut Before<T>, now: &Objects<T>) -> Vec<Edit<T>> {
    let mut edits = Vec::with_capacity(if before.is_empty() { now.len() } else { 0 });
    let mut add = |key: &ObjectKey, before: Option<&Arc<_>>, now: Option<&Arc<_>>| {
        edits.push(Edit {
            key: key.clone(),
            before: before.map(Arc::clone),
            now: now.map(Arc::clone),
        });
    };
    let mut rest = before.iter().peekable();
    for (key, object) in now {
        // Nearly all: names are compared only where an object is not the one that was there.
        if rest.next_if(|old| Arc::ptr_eq(old, object)).is_some() {
            continue;
        }
        while let Some(old) = rest.next_if(|old| old.key < *key) {
            add(&old.key, Some(old), None);
        }
        match rest.next_if(|old| old.key == *key) {
            Some(old) if Arc::ptr_eq(old, object) => {}
            old => add(key, old, Some(object)),
        }
    }
    rest.for_each(|old| add(&old.key, Some(old), None));
    remember(before, now, &edits);
    edits
}

/// As many edits are made one by one, each moving what comes after it.
const FEW: usize = 64;

fn remember<T>(before: &mut Before<T>, now: &Objects<T>, edits: &[Edit<T>]) {
    if edits.len() > FEW {
        before.clear();
        before.reserve_exact(now.len());
        before.extend(now.values().map(Arc::clone));
        return;
    }
    for edit in edits {
        let at = before.binary_search_by(|old| old.key.cmp(&edit.key));
        match (at, &edit.now) {
            (Ok(at), Some(object)) => before[at] = Arc::clone(object),
            (Err(at), Some(object)) => before.insert(at, Arc::clone(object)),
            (Ok(at), None) => drop(before.remove(at)),
            (Err(_), None) => {}
        }
    }
}

/// Whether the objects are others than before; by identity, because an unchanged object keeps its `Arc`.
fn replaced<T>(before: &mut Objects<T>, now: &Objects<T>) -> bool {
    let same = before.len() == now.len()
        && before
            .values()
            .zip(now.values())
            .all(|(before, now)| Arc::ptr_eq(before, now));
    if !same {
        before.clone_from(now);
    }
    !same
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Group, Kind, Meta, Origin, Positions};

    fn objects(names: &[(&str, &Arc<str>)]) -> Objects<Arc<str>> {
        let object = |(name, said): &(&str, &Arc<str>)| {
            let key = ObjectKey::new(Group::Core, Kind::Service, "apps", name);
            let object = Object {
                key: key.clone(),
                origin: Origin::Cluster,
                meta: Meta::default(),
                spec: Arc::clone(said),
                problems: Box::default(),
                positions: Positions::default(),
            };
            (key, Arc::new(object))
        };
        names.iter().map(object).collect()
    }

    #[test]
    fn edits_lead_from_what_was_seen_to_what_there_is() {
        let (old, new) = (Arc::from("old"), Arc::from("new"));
        let mut now = objects(&[("a", &old), ("c", &old), ("d", &old), ("f", &old)]);
        let mut seen = now.values().cloned().collect();
        now.extend(objects(&[("b", &new), ("c", &new), ("g", &new)]));
        now.retain(|key, _| !matches!(&*key.name, "a" | "f"));
        let shown = |edits: Vec<Edit<Arc<str>>>| {
            let said = |object: Option<Arc<Object<Arc<str>>>>| {
                object.map_or("-".to_owned(), |object| object.spec.to_string())
            };
            let edits = edits.into_iter();
            let lines = edits.map(|e| format!("{} {} {}", e.key.name, said(e.before), said(e.now)));
            lines.collect::<Vec<_>>()
        };
        let expected = ["a old -", "b - new", "c old new", "f old -", "g - new"];
        assert_eq!(shown(edits(&mut seen, &now)), expected);
        assert_eq!(shown(edits(&mut seen, &now)), [""; 0]);
        assert!(seen.iter().map(|object| &object.key).eq(now.keys()));
    }

    #[test]
    fn many_edits_are_remembered_as_few_are() {
        let said = Arc::from("said");
        let mut seen = Before::new();
        for (from, to) in [(0, 2 * FEW), (1, 2 * FEW + 1), (FEW, 4 * FEW), (0, 0)] {
            let names: Vec<_> = (from..to).map(|number| format!("{number:04}")).collect();
            let names: Vec<_> = names.iter().map(|name| (&**name, &said)).collect();
            let now = objects(&names);
            assert!(!edits(&mut seen, &now).is_empty());
            assert!(seen.iter().map(|object| &object.key).eq(now.keys()));
            assert_eq!(edits(&mut seen, &now).len(), 0);
        }
    }
}
