//! Services in a folder of manifests: `--backend`, EndpointSlices, then the echo server (design, section 9).

use std::{net::SocketAddr, sync::Arc};

use super::{
    Dial, Findings, PortText, Resolver, ServiceName,
    endpoints::{of_one_family, serving},
    find_port, host_name, is_by_endpoint, is_http2, named, no_address,
};
use crate::{
    compile::{Backend, mapping::Routing},
    graph::Target,
    resource::{EndpointSlice, Service},
};

impl Resolver<'_> {
    pub(super) fn folder_service(
        &self,
        name: &ServiceName,
        port: &PortText,
        routing: Routing,
        (backends, echo): (&[Backend], Option<SocketAddr>),
        findings: &mut Findings,
    ) -> Option<Dial> {
        let service = self.cluster.service(name);
        let found = match service.filter(|service| !service.ports.is_empty()) {
            Some(service) => Some(find_port(name, service, port, findings)?),
            None => None,
        };
        let number = match (found, port) {
            (Some(found), _) => Some(found.port),
            (None, PortText::Number(number)) => Some(*number),
            (None, PortText::Name(_)) => None,
        };
        let shown = number.map_or_else(|| port.to_string(), |number| number.to_string());
        let target = backend(backends, name, number)
            .or_else(|| {
                let port_name = found.map(|found| &*found.name);
                let service = service.filter(|_| found.is_some());
                self.folder_endpoints(name, service, port_name, port)
            })
            .or_else(|| {
                echo.map(|address| Target::Echo {
                    address,
                    name: format!("{name}:{shown}").into(),
                })
            });
        let Some(target) = target else {
            if service.is_some() {
                let why = "a folder needs a `--backend` for it, EndpointSlices or `--echo`";
                no_address(name, why, findings);
            } else {
                self.service_not_found(name, findings);
            }
            return None;
        };
        Some(Dial {
            target,
            name: named(format!("{name}:{shown}"), service, routing),
            host: host_name(name),
            http2: found.is_some_and(is_http2),
            balanced_behind: false,
            by_endpoint: is_by_endpoint(service, routing),
        })
    }

    /// By the name of the Service's port; without a Service by the name or number that the Mapping says, or by the only one.
    fn folder_endpoints(
        &self,
        name: &ServiceName,
        service: Option<&Service>,
        port_name: Option<&str>,
        port: &PortText,
    ) -> Option<Target> {
        let addresses = if let Some(port_name) = port_name {
            self.endpoints(name, service, port_name)
        } else {
            let slices = self.cluster.slices(name);
            let found = slices.filter_map(|slice| Some((slice, slice_port(slice, port)?)));
            of_one_family(serving(found), service)
        };
        (!addresses.is_empty()).then(|| Target::Addresses(addresses.into()))
    }
}

/// The port of a slice that has this name or number, or is the only one.
fn slice_port(slice: &EndpointSlice, port: &PortText) -> Option<u16> {
    let fits = |candidate: &&(String, u16)| match port {
        PortText::Number(number) => candidate.1 == *number,
        PortText::Name(name) => *candidate.0 == **name,
    };
    let only = match &*slice.ports {
        [only] => Some(only),
        _ => None,
    };
    let found = slice.ports.iter().find(fits).or(only);
    found.map(|(_, port)| *port)
}

/// The backend of a port before that of every port.
fn backend(backends: &[Backend], name: &ServiceName, port: Option<u16>) -> Option<Target> {
    let of_service = || {
        backends
            .iter()
            .filter(|backend| backend.namespace == name.namespace && backend.name == name.name)
    };
    let found = of_service()
        .find(|backend| backend.port.is_some() && backend.port == port)
        .or_else(|| of_service().find(|backend| backend.port.is_none()))?;
    let host = found.host.trim_start_matches('[').trim_end_matches(']');
    Some(match host.parse() {
        Ok(address) => Target::Addresses([SocketAddr::new(address, found.host_port)].into()),
        Err(_) => Target::Dns {
            name: Arc::clone(&found.host),
            port: found.host_port,
        },
    })
}
