//! Where the installation is reachable: the addresses of the Service that leads to it.

use std::{collections::BTreeSet, net::IpAddr, pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use tracing::{info, warn};

use super::{
    backoff::WatchBackoff,
    condition::{Address, MAX_ADDRESSES},
    elector::WATCH_SECONDS,
};
use crate::config::ObjectName;

type Events = Pin<Box<dyn Stream<Item = watcher::Result<Event<Service>>> + Send>>;

/// A Service, watched for its addresses.
pub(super) struct Published {
    name: ObjectName,
    events: Events,
    told: Option<Arc<[Address]>>,
    /// Of a list that has begun.
    listed: Option<Service>,
}

// === impl Published ===

impl Published {
    pub(super) fn new(client: Client, name: &ObjectName) -> Self {
        let services: Api<Service> = Api::namespaced(client, &name.namespace);
        let config = watcher::Config::default()
            .fields(&format!("metadata.name={}", name.name))
            .timeout(WATCH_SECONDS);
        Self {
            name: name.clone(),
            events: Box::pin(watcher(services, config).backoff(WatchBackoff::default())),
            told: None,
            listed: None,
        }
    }

    /// The addresses, once they are known, and whenever they are others. A Service that cannot be read has none until it can.
    /// Nothing is lost when this is dropped.
    pub(super) async fn next(&mut self) -> Arc<[Address]> {
        loop {
            let Some(event) = self.events.next().await else {
                // The watch does not end.
                return std::future::pending().await;
            };
            let Some(addresses) = self.take(event) else {
                continue;
            };
            if self.told.as_deref() != Some(&addresses) {
                let addresses: Arc<[Address]> = addresses.into();
                info!(service = %self.name, addresses = addresses.len(), "Addresses of Hosts and Listeners");
                self.told = Some(addresses.clone());
                return addresses;
            }
        }
    }

    fn take(&mut self, event: watcher::Result<Event<Service>>) -> Option<Vec<Address>> {
        match event {
            Ok(Event::Init) => {
                self.listed = None;
                None
            }
            Ok(Event::InitApply(service)) => {
                self.listed = Some(service);
                None
            }
            Ok(Event::InitDone) => {
                let service = self.listed.take();
                if service.is_none() {
                    warn!(service = %self.name, "The Service whose addresses are to be told does not exist");
                }
                Some(service.as_ref().map(addresses).unwrap_or_default())
            }
            Ok(Event::Apply(service)) => Some(addresses(&service)),
            Ok(Event::Delete(_)) => Some(Vec::new()),
            // What was told stays, and so does nothing at all: status is more than addresses.
            Err(error) if self.told.is_none() => {
                warn!(%error, service = %self.name, "The Service whose addresses are to be told cannot be read");
                Some(Vec::new())
            }
            Err(_) => None,
        }
    }
}

/// Of a load balancer, those that it has been given; of any other Service, the addresses outside of the cluster that lead to it, or
/// else those inside of it.
fn addresses(service: &Service) -> Vec<Address> {
    let spec = service.spec.as_ref();
    let outside = spec.and_then(|spec| spec.external_ips.clone());
    let outside = outside.unwrap_or_default();
    let found = if spec.and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer") {
        let status = service.status.as_ref();
        let balancer = status.and_then(|status| status.load_balancer.as_ref());
        let given = balancer.and_then(|balancer| balancer.ingress.as_ref());
        let given = given.into_iter().flatten();
        let given = given.filter_map(|one| one.ip.clone().or_else(|| one.hostname.clone()));
        given.chain(outside).collect()
    } else if outside.is_empty() {
        let inside = spec.and_then(|spec| spec.cluster_ips.clone());
        inside.unwrap_or_default()
    } else {
        outside
    };
    let found: BTreeSet<_> = found.into_iter().filter_map(address).collect();
    found.into_iter().take(MAX_ADDRESSES).collect()
}

/// None for `None`, which a headless Service has.
fn address(value: String) -> Option<Address> {
    let kind = if value.parse::<IpAddr>().is_ok() {
        "IPAddress"
    } else {
        "Hostname"
    };
    let is_one = !value.is_empty() && value != "None";
    is_one.then(|| Address {
        kind: kind.to_owned(),
        value,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_addresses_of_a_service_are_those_that_lead_to_it_from_farthest_away() {
        let balancer = json!({"loadBalancer": {"ingress": [
            {"ip": "192.0.2.2"}, {"ip": "192.0.2.1"}, {"hostname": "lb.example.com"}]}});
        let cases = [
            (
                json!({"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"]}),
                balancer,
                "Hostname lb.example.com, IPAddress 192.0.2.1, IPAddress 192.0.2.2",
            ),
            (
                json!({"type": "LoadBalancer", "clusterIPs": ["10.0.0.1"]}),
                json!({}),
                "",
            ),
            (
                json!({"type": "NodePort", "clusterIPs": ["10.0.0.1"], "externalIPs": ["192.0.2.9"]}),
                json!({}),
                "IPAddress 192.0.2.9",
            ),
            (
                json!({"type": "ClusterIP", "clusterIPs": ["10.0.0.1", "fd00::1"]}),
                json!({}),
                "IPAddress 10.0.0.1, IPAddress fd00::1",
            ),
            (json!({"clusterIPs": ["None"]}), json!({}), ""),
        ];
        for (spec, status, wanted) in cases {
            let service = json!({"spec": spec, "status": status});
            let service: Service = serde_json::from_value(service).unwrap();
            let found = addresses(&service);
            let found = found.iter().map(|a| format!("{} {}", a.kind, a.value));
            assert_eq!(found.collect::<Vec<_>>().join(", "), wanted, "{spec}");
        }
    }
}
