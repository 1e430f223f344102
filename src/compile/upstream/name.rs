//! Whose a name is: the cluster's, or one for DNS (design D2).

use std::sync::Arc;

use super::{Environment, Resolver, ServiceName};

/// Where a name leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Service(ServiceName),
    /// A name of the cluster that cannot be a Service's: never looked up.
    NoService,
    /// For DNS.
    Outside,
    /// This machine or pod itself.
    Local,
}

impl Resolver<'_> {
    /// Whose a name is, when an object of `namespace` writes it.
    pub(super) fn place(&self, name: &str, namespace: &Arc<str>) -> Place {
        if name == "localhost" || name.ends_with(".localhost") {
            return if self.in_cluster() {
                Place::Local
            } else {
                Place::Outside
            };
        }
        let labels: Vec<&str> = name.split('.').collect();
        if let [name] = *labels {
            return service(name, namespace);
        }
        if let Some(inside) = self.without_cluster_suffix(name) {
            return match inside.split_once('.') {
                Some((name, namespace)) if !namespace.contains('.') => service(name, namespace),
                _ => Place::NoService,
            };
        }
        let exists = |second: &str| *second == **namespace || self.cluster.has_namespace(second);
        match *labels {
            [name, namespace] if exists(namespace) => service(name, namespace),
            [_, namespace, ..] if exists(namespace) => Place::NoService,
            _ => Place::Outside,
        }
    }

    /// `name.namespace` of a name that ends in `.svc` or in the cluster domain.
    fn without_cluster_suffix<'n>(&self, name: &'n str) -> Option<&'n str> {
        if let Some(inside) = name.strip_suffix(".svc") {
            return Some(inside);
        }
        let domain = match &self.options.environment {
            Environment::Cluster { domain, .. } => &**domain,
            Environment::Folder { .. } => "cluster.local",
        };
        let inside = name.strip_suffix(domain)?.strip_suffix('.')?;
        // Whatever is in the cluster domain and no Service (`10-0-0-1.apps.pod`) has more or fewer labels than one.
        Some(inside.strip_suffix(".svc").unwrap_or_default())
    }
}

fn service(name: &str, namespace: &str) -> Place {
    Place::Service(ServiceName {
        namespace: namespace.into(),
        name: name.into(),
    })
}
