//! What there is to dial and to refer to: Services with their endpoints, namespaces, grants. An index over the resource set.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use super::{Environment, Options};
use crate::{
    graph::{DialPolicy, dial::stands_for},
    resource::{ClusterIp, EndpointSlice, Group, Kind, Object, ObjectKey, ResourceSet, Service},
};

/// Namespace and name of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ServiceName {
    pub(super) namespace: Arc<str>,
    pub(super) name: Arc<str>,
}

/// The index.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    services: HashMap<ServiceName, Arc<Object<Service>>>,
    slices: HashMap<ServiceName, Vec<Arc<Object<EndpointSlice>>>>,
    namespaces: BTreeSet<Arc<str>>,
    grants: Vec<GrantRow>,
    /// Whose address it is: the Service that has it as its ClusterIP, or all that have it as an endpoint.
    owners: BTreeMap<IpAddr, BTreeSet<ServiceName>>,
    service_ips: BTreeSet<IpAddr>,
    /// What no name outside may lead to: the addresses above, and those of the own pod.
    addresses: Arc<BTreeSet<IpAddr>>,
}

/// One permission of a ReferenceGrant.
#[derive(Debug)]
struct GrantRow {
    namespace: Arc<str>,
    from: (String, String, String),
    to: (String, String, Option<String>),
}

impl Cluster {
    pub(super) fn new(resources: &ResourceSet, options: &Options) -> Self {
        let mut cluster = Self {
            namespaces: namespaces(resources, options),
            ..Self::default()
        };
        for (key, service) in &resources.services {
            cluster.services.insert(key.into(), Arc::clone(service));
        }
        for (key, slice) in &resources.endpoint_slices {
            let name = ServiceName {
                namespace: Arc::clone(&key.namespace),
                name: Arc::clone(&slice.spec.service),
            };
            let slices = cluster.slices.entry(name).or_default();
            slices.push(Arc::clone(slice));
        }
        for (key, grant) in &resources.grants {
            for from in &grant.spec.from {
                cluster
                    .grants
                    .extend(grant.spec.to.iter().map(|to| GrantRow {
                        namespace: Arc::clone(&key.namespace),
                        from: from.clone(),
                        to: to.clone(),
                    }));
            }
        }
        cluster.index_addresses(options);
        cluster
    }

    /// Who can write an EndpointSlice can put any address into it, so one address may have several owners; a ClusterIP has
    /// one, whatever slices say.
    fn index_addresses(&mut self, options: &Options) {
        let mut owners: BTreeMap<IpAddr, BTreeSet<ServiceName>> = BTreeMap::new();
        for (name, slices) in &self.slices {
            for address in slices.iter().flat_map(|slice| &slice.spec.ready) {
                let of_address = owners.entry(stands_for(*address)).or_default();
                of_address.insert(name.clone());
            }
        }
        for (name, service) in &self.services {
            if let ClusterIp::Addresses(addresses) = &service.spec.cluster_ip {
                for address in addresses {
                    let address = stands_for(*address);
                    let of_address = owners.entry(address).or_default();
                    if self.service_ips.insert(address) {
                        of_address.clear();
                    }
                    of_address.insert(name.clone());
                }
            }
        }
        let mut addresses: BTreeSet<_> = owners.keys().copied().collect();
        if let Environment::Cluster { own_addresses, .. } = &options.environment {
            addresses.extend(own_addresses.iter().copied().map(stands_for));
        }
        self.addresses = Arc::new(addresses);
        self.owners = owners;
    }

    pub(super) fn service(&self, name: &ServiceName) -> Option<&Service> {
        self.services.get(name).map(|service| &service.spec)
    }

    /// In the order of their names.
    pub(super) fn slices(&self, name: &ServiceName) -> impl Iterator<Item = &EndpointSlice> {
        let slices = self.slices.get(name).into_iter().flatten();
        slices.map(|slice| &slice.spec)
    }

    pub(super) fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains(name)
    }

    /// Whether Mappings alone have made a namespace appear or go.
    pub(super) fn is_stale(&self, resources: &ResourceSet, options: &Options) -> bool {
        let in_folder = matches!(options.environment, Environment::Folder { .. });
        in_folder && self.namespaces != namespaces(resources, options)
    }

    /// The Services that an address belongs to, in the order of their names.
    pub(super) fn owners(&self, address: IpAddr) -> impl Iterator<Item = &ServiceName> {
        let owners = self.owners.get(&stands_for(address));
        owners.into_iter().flatten()
    }

    pub(super) fn is_cluster_ip(&self, address: IpAddr) -> bool {
        self.service_ips.contains(&stands_for(address))
    }

    /// Names of Services in a namespace, for suggestions.
    pub(super) fn names_in<'c>(&'c self, namespace: &'c str) -> impl Iterator<Item = &'c str> {
        let here = self
            .services
            .keys()
            .filter(move |name| *name.namespace == *namespace);
        here.map(|name| &*name.name)
    }

    /// Whether an object may refer to one of the core group in another namespace.
    pub(super) fn grants(&self, from: &ObjectKey, kind: Kind, namespace: &str, name: &str) -> bool {
        self.grants.iter().any(|grant| {
            let (group, from_kind, from_namespace) = &grant.from;
            let (to_group, to_kind, to_name) = &grant.to;
            *grant.namespace == *namespace
                && group == from.group.name()
                && from_kind == from.kind.name()
                && **from_namespace == *from.namespace
                && to_group == Group::Core.name()
                && to_kind == kind.name()
                && to_name.as_ref().is_none_or(|only| only == name)
        })
    }

    pub(super) fn dial_policy(&self, options: &Options) -> DialPolicy {
        let in_cluster = matches!(options.environment, Environment::Cluster { .. });
        DialPolicy {
            in_cluster,
            cluster_addresses: if in_cluster {
                Arc::clone(&self.addresses)
            } else {
                Arc::default()
            },
        }
    }
}

/// The namespaces that exist: where there is something, there is a namespace, and a folder need not hold Namespace objects.
fn namespaces(resources: &ResourceSet, options: &Options) -> BTreeSet<Arc<str>> {
    let mut namespaces: BTreeSet<_> = resources
        .namespaces
        .keys()
        .map(|key| Arc::clone(&key.name))
        .collect();
    namespaces.insert(Arc::clone(&options.namespace));
    let mut add = |keys: &mut dyn Iterator<Item = &ObjectKey>| {
        let mut last: Option<Arc<str>> = None;
        for ObjectKey { namespace, .. } in keys {
            // They come in the order of their namespaces.
            if last.as_ref() != Some(namespace) {
                namespaces.insert(Arc::clone(namespace));
                last = Some(Arc::clone(namespace));
            }
        }
    };
    add(&mut resources.services.keys());
    add(&mut resources.endpoint_slices.keys());
    if let Environment::Folder { backends, .. } = &options.environment {
        add(&mut resources.mappings.keys());
        let of_backends = backends.iter().map(|backend| &backend.namespace);
        namespaces.extend(of_backends.cloned());
    }
    namespaces
}

impl From<&ObjectKey> for ServiceName {
    fn from(key: &ObjectKey) -> Self {
        Self {
            namespace: Arc::clone(&key.namespace),
            name: Arc::clone(&key.name),
        }
    }
}

impl std::fmt::Display for ServiceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
