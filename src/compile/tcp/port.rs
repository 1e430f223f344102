//! Ports that TCPMappings open themselves: those of namespaces that may write a Listener, where no Listener has the port. So it is
//! in Emissary-ingress for every namespace; elsewhere a TCPMapping needs a Listener (docs/design/ports-of-tcpmappings.md).

use std::collections::BTreeMap;

use crate::{
    compile::{Options, installation, listener::LoweredListener, settings::Settings},
    resource::ResourceSet,
};

/// The ports, each with whether TLS is looked at there.
pub(super) type Ports = BTreeMap<u16, bool>;

/// Adds what TCPMappings open.
pub(in crate::compile) fn open(
    resources: &ResourceSet,
    options: &Options,
    settings: &Settings,
    listeners: &mut Vec<LoweredListener>,
) {
    let mut ports = Ports::new();
    for object in resources.tcp_mappings.values() {
        let ids = object.spec.ambassador_id.as_deref();
        let is_ours = installation::includes(ids, &object.problems, options);
        if !is_ours || !settings.may_settle(&object.key.namespace) {
            continue;
        }
        let port = object.spec.port.and_then(|port| u16::try_from(port).ok());
        let is_free = |port: &u16| *port > 0 && !options.own_ports.contains(port);
        if let Some(port) = port.filter(is_free) {
            let host = object.spec.host.as_deref();
            *ports.entry(port).or_default() |= host.is_some_and(|host| !host.is_empty());
        }
    }
    for plan in listeners
        .iter()
        .filter_map(|listener| listener.plan.as_ref())
    {
        ports.remove(&plan.port);
    }
    let opened = ports.into_iter();
    listeners.extend(opened.map(|(port, tls)| LoweredListener::for_tcp(port, tls)));
}
