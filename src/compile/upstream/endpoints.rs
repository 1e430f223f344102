//! The addresses behind a Service: of its EndpointSlices those that may take requests.

use std::net::SocketAddr;

use super::{Resolver, ServiceName};
use crate::resource::{ClusterIp, EndpointSlice, Service};

impl Resolver<'_> {
    /// The endpoints of a Service for its port of this name, sorted.
    pub(super) fn endpoints(
        &self,
        name: &ServiceName,
        service: Option<&Service>,
        port_name: &str,
    ) -> Vec<SocketAddr> {
        let slices = self.cluster.slices(name).filter_map(|slice| {
            let mut ports = slice.ports.iter();
            let (_, port) = ports.find(|(name, _)| name == port_name)?;
            Some((slice, *port))
        });
        let mut addresses = serving(slices);
        addresses.retain(|socket| {
            self.refusal(socket.ip()).is_none()
                // No endpoint has the address of a Service; a slice that says so would lead around the grant for it.
                && !self.cluster.is_cluster_ip(socket.ip())
        });
        of_one_family(addresses, service)
    }
}

/// Those that are ready; where there is none, those that end and still serve, as kube-proxy has it.
pub(super) fn serving<'s>(
    slices: impl Iterator<Item = (&'s EndpointSlice, u16)>,
) -> Vec<SocketAddr> {
    let slices: Vec<_> = slices.collect();
    let sockets = |of: fn(&EndpointSlice) -> &[std::net::IpAddr]| {
        let slices = slices.iter();
        let found = slices.flat_map(|(slice, port)| {
            let addresses = of(slice).iter();
            addresses.map(|ip| SocketAddr::new(*ip, *port))
        });
        let mut found: Vec<_> = found.collect();
        found.sort_unstable();
        found.dedup();
        found
    };
    let ready = sockets(|slice| &slice.ready);
    if ready.is_empty() {
        sockets(|slice| &slice.draining)
    } else {
        ready
    }
}

/// A pod of a cluster with two families has an endpoint in each, and takes its share once: that of the Service's own first
/// family, else IPv4.
pub(super) fn of_one_family(
    mut addresses: Vec<SocketAddr>,
    service: Option<&Service>,
) -> Vec<SocketAddr> {
    let primary = match service.map(|service| &service.cluster_ip) {
        Some(ClusterIp::Addresses(addresses)) => addresses.first().map(std::net::IpAddr::is_ipv4),
        Some(ClusterIp::Headless | ClusterIp::None) | None => None,
    };
    let is_ipv4 = primary.unwrap_or(true);
    if addresses.iter().any(|address| address.is_ipv4() == is_ipv4) {
        addresses.retain(|address| address.is_ipv4() == is_ipv4);
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(ready: &[&str], draining: &[&str]) -> EndpointSlice {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        EndpointSlice {
            service: "quote".into(),
            ports: Vec::new(),
            ready: addresses(ready),
            not_ready: Vec::new(),
            draining: addresses(draining),
            zones: std::collections::BTreeMap::default(),
        }
    }

    fn shown(addresses: &[SocketAddr]) -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn endpoints_that_end_serve_while_no_other_is_ready() {
        let ends = slice(&[], &["10.1.0.2", "10.1.0.1"]);
        let ready = slice(&["10.1.0.3"], &["10.1.0.4"]);
        let only = serving([(&ends, 80)].into_iter());
        assert_eq!(shown(&only), ["10.1.0.1:80", "10.1.0.2:80"]);
        let both = serving([(&ends, 80), (&ready, 81)].into_iter());
        assert_eq!(shown(&both), ["10.1.0.3:81"]);
    }

    #[test]
    fn a_pod_with_two_families_counts_once() {
        let both = slice(&["10.1.0.1", "2001:db8::1"], &[]);
        let service = |cluster_ip| Service {
            cluster_ip,
            external_name: None,
            ports: Vec::new(),
        };
        let of = |service: Option<&Service>| {
            shown(&of_one_family(serving([(&both, 80)].into_iter()), service))
        };
        assert_eq!(of(None), ["10.1.0.1:80"]);
        assert_eq!(of(Some(&service(ClusterIp::Headless))), ["10.1.0.1:80"]);
        let v6 = ClusterIp::Addresses(vec!["2001:db8:1::1".parse().unwrap()]);
        assert_eq!(of(Some(&service(v6))), ["[2001:db8::1]:80"]);
        let v6_only = serving([(&slice(&["2001:db8::1"], &[]), 80)].into_iter());
        assert_eq!(shown(&of_one_family(v6_only, None)), ["[2001:db8::1]:80"]);
    }
}
