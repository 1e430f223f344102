//! What there is to dial and to refer to: Services with their endpoints, namespaces, grants. An index over the resource set.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use smallvec::SmallVec;

use super::{Environment, Options, seen::Edit};
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
    /// Whether a ReferenceGrant can be written at all.
    has_grants: bool,
    /// The Services that have an address as their ClusterIP, sorted.
    service_ips: Owners,
    /// The Services that have it as an endpoint, sorted, and as often as they have it. Who can write an EndpointSlice can put
    /// any address into it.
    endpoints: Owners,
    /// What no name outside may lead to: the addresses above, and those of the own pod.
    addresses: Arc<BTreeSet<IpAddr>>,
}

type Owners = BTreeMap<IpAddr, SmallVec<[ServiceName; 1]>>;

/// What a change of Services and endpoints leads to.
#[derive(Debug, Default)]
pub(super) struct Affected {
    /// Services that dial something else, or that are new or gone.
    pub(super) services: BTreeSet<ServiceName>,
    /// Namespaces with other Services than before.
    pub(super) namespaces: BTreeSet<Arc<str>>,
}

impl Affected {
    pub(super) fn is_empty(&self) -> bool {
        self.services.is_empty() && self.namespaces.is_empty()
    }
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
            has_grants: !resources.unavailable.contains_key(&Kind::ReferenceGrant),
            ..Self::default()
        };
        if let Environment::Cluster { own_addresses, .. } = &options.environment {
            let own = own_addresses.iter().copied().map(stands_for);
            cluster.addresses = Arc::new(own.collect());
        }
        for service in resources.services.values() {
            cluster.put_service(service);
        }
        for slice in resources.endpoint_slices.values() {
            cluster.put_slice(slice);
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
        cluster
    }

    /// What to do for a reference into a namespace that has not granted it.
    pub(super) fn next_for_grant(&self, namespace: &str) -> String {
        let ask = format!("Have a ReferenceGrant created in namespace {namespace}");
        if self.has_grants {
            return ask;
        }
        format!(
            "{ask}; its CRD is not installed here: apply the standard channel of the Gateway API first"
        )
    }

    /// Takes over what is new or gone. None when that makes a namespace appear or go.
    pub(super) fn update(
        &mut self,
        services: &[Edit<Service>],
        slices: &[Edit<EndpointSlice>],
        resources: &ResourceSet,
        options: &Options,
    ) -> Option<Affected> {
        let mut affected = Affected::default();
        let mut named = false;
        let mut ips: Vec<&IpAddr> = Vec::new();
        for Edit { key, before, now } in services {
            if before.is_none() || now.is_none() {
                affected.namespaces.insert(Arc::clone(&key.namespace));
                named = true;
            }
            if let Some(before) = before {
                self.take_service(before, options);
            }
            if let Some(now) = now {
                self.put_service(now);
            }
            affected.services.insert(key.into());
            let services = before.iter().chain(now);
            ips.extend(services.flat_map(|service| addresses(&service.spec)));
        }
        for Edit { before, now, .. } in slices {
            named |= before.is_none() || now.is_none();
            if let Some(before) = before {
                self.take_slice(before, options);
            }
            if let Some(now) = now {
                self.put_slice(now);
            }
            let of = before.iter().chain(now).map(|slice| service_of(slice));
            affected.services.extend(of);
        }
        if named && self.namespaces != namespaces(resources, options) {
            return None;
        }
        // Endpoints that are the ClusterIP of another Service do not count.
        let endpoints = ips
            .into_iter()
            .filter_map(|ip| self.endpoints.get(&stands_for(*ip)));
        affected.services.extend(endpoints.flatten().cloned());
        Some(affected)
    }

    fn put_service(&mut self, service: &Arc<Object<Service>>) {
        let name = ServiceName::from(&service.key);
        for address in addresses(&service.spec) {
            own(&mut self.service_ips, *address, &name);
            self.know(*address);
        }
        self.services.insert(name, Arc::clone(service));
    }

    fn take_service(&mut self, service: &Object<Service>, options: &Options) {
        let name = ServiceName::from(&service.key);
        for address in addresses(&service.spec) {
            disown(&mut self.service_ips, *address, &name);
            self.forget(*address, options);
        }
        self.services.remove(&name);
    }

    fn put_slice(&mut self, slice: &Arc<Object<EndpointSlice>>) {
        let name = service_of(slice);
        for address in slice.spec.ready.iter().chain(&slice.spec.draining) {
            own(&mut self.endpoints, *address, &name);
            self.know(*address);
        }
        let slices = self.slices.entry(name).or_default();
        let at = slices.partition_point(|other| other.key < slice.key);
        slices.insert(at, Arc::clone(slice));
    }

    fn take_slice(&mut self, slice: &Object<EndpointSlice>, options: &Options) {
        let name = service_of(slice);
        for address in slice.spec.ready.iter().chain(&slice.spec.draining) {
            disown(&mut self.endpoints, *address, &name);
            self.forget(*address, options);
        }
        if let Some(slices) = self.slices.get_mut(&name) {
            slices.retain(|other| other.key != slice.key);
            if slices.is_empty() {
                self.slices.remove(&name);
            }
        }
    }

    fn know(&mut self, address: IpAddr) {
        let address = stands_for(address);
        if !self.addresses.contains(&address) {
            Arc::make_mut(&mut self.addresses).insert(address);
        }
    }

    /// Takes an address out of what is known, unless it is still somebody's.
    fn forget(&mut self, address: IpAddr, options: &Options) {
        let address = stands_for(address);
        if self.owners(address).next().is_some() {
            return;
        }
        let is_own = |own: &IpAddr| stands_for(*own) == address;
        if !matches!(&options.environment, Environment::Cluster { own_addresses, .. } if own_addresses.iter().any(is_own))
        {
            Arc::make_mut(&mut self.addresses).remove(&address);
        }
    }

    /// Whether Mappings alone have made a namespace appear or go.
    pub(super) fn is_stale(&self, resources: &ResourceSet, options: &Options) -> bool {
        let in_folder = matches!(options.environment, Environment::Folder { .. });
        in_folder && self.namespaces != namespaces(resources, options)
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

    /// The Services that an address belongs to, in the order of their names: those that have it as their ClusterIP, whatever
    /// slices say, else all that have it as an endpoint.
    pub(super) fn owners(&self, address: IpAddr) -> impl Iterator<Item = &ServiceName> {
        let address = stands_for(address);
        let owners = self.service_ips.get(&address);
        let owners = owners.or_else(|| self.endpoints.get(&address));
        owners.into_iter().flatten()
    }

    pub(super) fn is_cluster_ip(&self, address: IpAddr) -> bool {
        self.service_ips.contains_key(&stands_for(address))
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
        .map(|key| Arc::from(&*key.name))
        .collect();
    namespaces.insert(Arc::clone(&options.namespace));
    let mut add = |keys: &mut dyn Iterator<Item = &ObjectKey>| {
        let mut last: Option<Arc<str>> = None;
        for key in keys {
            let namespace = &key.namespace;
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

fn own(owners: &mut Owners, address: IpAddr, name: &ServiceName) {
    let owners = owners.entry(stands_for(address)).or_default();
    let at = owners.partition_point(|owner| owner < name);
    owners.insert(at, name.clone());
}

fn disown(owners: &mut Owners, address: IpAddr, name: &ServiceName) {
    let address = stands_for(address);
    let Some(of_address) = owners.get_mut(&address) else {
        return;
    };
    if let Ok(at) = of_address.binary_search(name) {
        of_address.remove(at);
    }
    if of_address.is_empty() {
        owners.remove(&address);
    }
}

fn addresses(service: &Service) -> &[IpAddr] {
    match &service.cluster_ip {
        ClusterIp::Addresses(addresses) => addresses,
        ClusterIp::Headless | ClusterIp::None => &[],
    }
}

/// The Service that a slice belongs to.
fn service_of(slice: &Object<EndpointSlice>) -> ServiceName {
    ServiceName {
        namespace: Arc::clone(&slice.key.namespace),
        name: Arc::clone(&slice.spec.service),
    }
}

impl From<&ObjectKey> for ServiceName {
    fn from(key: &ObjectKey) -> Self {
        Self {
            namespace: Arc::clone(&key.namespace),
            name: Arc::from(&*key.name),
        }
    }
}

impl std::fmt::Display for ServiceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
