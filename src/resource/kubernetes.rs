//! What Postern needs of Kubernetes' own kinds, and no more.

use std::{collections::BTreeMap, fmt, net::IpAddr, sync::Arc};

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub cluster_ip: ClusterIp,
    /// The name that an ExternalName Service stands for.
    pub external_name: Option<String>,
    pub ports: Vec<ServicePort>,
}

/// The address of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterIp {
    /// One address per family, the primary one first.
    Addresses(Vec<IpAddr>),
    /// `clusterIP: None`: dialled by endpoint.
    Headless,
    /// Not (yet) given: a folder, or an ExternalName Service.
    None,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    pub name: String,
    pub port: u16,
    pub app_protocol: Option<String>,
    /// TCP; anything else cannot be routed to by HTTP.
    pub tcp: bool,
}

/// The addresses behind a Service, for one family and a list of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// The Service's name, from the label `kubernetes.io/service-name`.
    pub service: Arc<str>,
    /// Port name and number.
    pub ports: Vec<(String, u16)>,
    /// Addresses of the endpoints that are ready.
    pub ready: Vec<IpAddr>,
    /// Addresses of those that end and still serve: used while no other endpoint of the Service is ready.
    pub draining: Vec<IpAddr>,
    /// Addresses of the rest: nothing is sent to them, people are told of them.
    pub not_ready: Vec<IpAddr>,
    /// The zones that an address is meant for (`hints.forZones`).
    pub zones: BTreeMap<IpAddr, Vec<Arc<str>>>,
}

/// What a Secret holds. Never printed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SecretData {
    /// The `type`, `Opaque` when absent.
    pub kind: String,
    pub data: BTreeMap<String, SecretBytes>,
}

/// Bytes that no log, status or error may show.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretBytes(pub Arc<[u8]>);

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A ReferenceGrant: who may refer to what in the grant's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Grant {
    /// Group, kind and namespace of those who may refer.
    pub from: Vec<(String, String, String)>,
    /// Group, kind and, if it is only one, name of what may be referred to.
    pub to: Vec<(String, String, Option<String>)>,
}
