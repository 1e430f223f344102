//! From resources to a routing graph and a report: pure, total and deterministic. No clock, no files, no randomness.
//!
//! ```text
//!                lower, object by object            link, over all
//! ResourceSet ─────────────────────────────> plan ─────────────────> Graph
//!              front ends (mapping/, ...)           claims, grouping,   └> Report
//!                                                   order, hosts, tls
//! ```

use std::{net::IpAddr, net::SocketAddr, sync::Arc};

use crate::{graph::Graph, report::Report, resource::ResourceSet};

/// What the compiler must know besides the resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Postern's own namespace: where what is global to the installation is read from.
    pub namespace: Arc<str>,
    /// The name of this installation (`ambassadorId`).
    pub installation: Arc<str>,
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
}

impl Compiler {
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    pub fn compile(&mut self, _resources: &ResourceSet) -> (Arc<Graph>, Arc<Report>) {
        let _ = &self.options;
        (Arc::default(), Arc::default())
    }
}

/// Compiles once: what a compile means.
pub fn compile(resources: &ResourceSet, options: &Options) -> (Arc<Graph>, Arc<Report>) {
    Compiler::new(options.clone()).compile(resources)
}
