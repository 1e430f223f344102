//! From resources to a routing graph and a report: pure, total and deterministic. No clock, no files, no randomness.
//!
//! ```text
//!                lower, object by object            link, over all
//! ResourceSet ─────────────────────────────> plan ─────────────────> Graph
//!              front ends (mapping/, ...)           claims, grouping,   └> Report
//!                                                   order, hosts, tls
//! ```

mod access;
mod claim;
mod client_certificate;
mod cluster;
mod compression;
mod context;
mod dependents;
mod few;
mod finding;
mod host;
mod installation;
mod intern;
mod listener;
mod mapping;
mod ownership;
mod pattern;
mod policies;
mod preset;
mod region;
mod reports;
mod routing;
mod safety;
mod secret;
mod seen;
mod selector;
mod service;
mod settings;
mod settled;
mod slot;
mod state;
mod tcp;
mod terms;
mod touched;
mod twin;
mod upstream;
mod virtual_host;
mod walls;
mod weight;

use std::{net::IpAddr, net::SocketAddr, sync::Arc};

use crate::{
    crd::gateway_settings::Preset,
    graph::Graph,
    report::Report,
    resource::{Kind, Object, Origin, ResourceSet},
};
pub use policies::{ModuleKey, module_keys};
pub use secret::holds_certificate;
use state::{MappingState, State};

/// Where health, metrics and diagnostics are served, unless the process is told otherwise.
pub const OWN_PORTS: [u16; 2] = [8877, 8878];

/// What the compiler must know besides the resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Postern's own namespace: where what is global to the installation is read from.
    pub namespace: Arc<str>,
    /// The name of this installation (`ambassadorId`).
    pub installation: Arc<str>,
    /// Ports on which the process itself listens, so that no Listener can: [`OWN_PORTS`], unless it was told others.
    pub own_ports: Vec<u16>,
    pub environment: Environment,
}

/// Where the Services are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Environment {
    Cluster {
        /// The domain after `.svc.`, `cluster.local` as a rule.
        domain: Arc<str>,
        /// Addresses of the own pod: never dialled.
        own_addresses: Vec<IpAddr>,
        /// Where the echo server listens, if it stands in for every Service that may be referred to: on a machine that
        /// cannot reach ClusterIPs.
        echo: Option<SocketAddr>,
    },
    /// A folder of manifests: design.md, section 9.
    Folder {
        backends: Vec<Backend>,
        /// Where the echo server listens, if it stands in for Services.
        echo: Option<SocketAddr>,
    },
}

/// A Service that is served at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    /// Without one, every port of the Service.
    pub port: Option<u16>,
    /// An address, or a name for DNS.
    pub host: Arc<str>,
    pub host_port: u16,
}

/// Compiles again and again, and reuses what did not change: the result is that of a fresh one, to the byte.
#[derive(Debug)]
pub struct Compiler {
    options: Options,
    state: State,
}

impl Compiler {
    pub fn new(options: Options) -> Self {
        Self {
            state: State::new(&options),
            options,
        }
    }

    /// Begins with a preset, where the GatewaySettings name none.
    #[must_use]
    pub fn with_preset(mut self, preset: Preset) -> Self {
        self.state.preset(preset);
        self
    }

    pub fn compile(&mut self, resources: &ResourceSet) -> (Arc<Graph>, Arc<Report>) {
        self.state.compile(resources, &self.options)
    }
}

/// Compiles once: what a compile means.
pub fn compile(resources: &ResourceSet, options: &Options) -> (Arc<Graph>, Arc<Report>) {
    Compiler::new(options.clone()).compile(resources)
}

/// Whose object is older: created, then namespace and name. In a folder nothing says when it was created. What an annotation
/// carries has no age of its own, so it is younger than every real object: a Service may be older than the text in it.
type Age<'o> = (bool, Option<i64>, &'o str, &'o str, &'static str, Kind);

fn age<T>(object: &Object<T>) -> Age<'_> {
    let key = &object.key;
    (
        matches!(object.origin, Origin::Annotation { .. }),
        object.meta.revision.created,
        &key.namespace,
        &key.name,
        // `postern.dev` before `getambassador.io`, which may be an older spelling of the same object.
        if key.group == crate::resource::Group::Postern {
            ""
        } else {
            key.group.name()
        },
        key.kind,
    )
}

#[cfg(test)]
mod tests;
