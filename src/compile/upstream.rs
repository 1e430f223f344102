//! From the `service` of a Mapping to what is dialled: the rules of design D2.

mod balance;
mod dials;
mod endpoints;
mod folder;
mod foreign;
mod health;
mod name;
mod tls;
mod zone;

use std::{collections::HashMap, net::IpAddr, net::SocketAddr, sync::Arc, time::Duration};

use super::{
    Environment, Options,
    cluster::{Cluster, ServiceName},
    context::Contexts,
    dependents::Dependency,
    finding::Findings,
    mapping::{BalancePlan, DialPlan, Routing},
    service::{PortText, ServiceHost},
    settings::Settings,
};
use crate::{
    graph::{
        Target, Terms, Upstream, UpstreamId, UpstreamProtocol, UpstreamTls, dial::stands_for,
        health::Health, tls::Roots, zone::Hints,
    },
    report::Code,
    resource::{ClusterIp, Kind, ObjectKey, Service, ServicePort},
};
pub(super) use dials::{Dialled, Dials};
use name::Place;

/// HTTP/2 through a ClusterIP stays on one pod: a connection takes no new requests after this, so that pods share the load.
const HTTP2_MAX_AGE: Duration = Duration::from_mins(5);

const FIELD: &str = "spec.service";

/// Where references lead.
pub(super) struct Resolver<'c> {
    pub(super) options: &'c Options,
    pub(super) settings: &'c Settings,
    pub(super) cluster: &'c Cluster,
    pub(super) contexts: &'c Contexts,
}

/// A target, and what follows from it.
struct Dial {
    target: Target,
    /// In ids and logs: `apps/quote:80`, `dns/example.org:443`.
    name: String,
    /// For SNI, certificate and `autoHostRewrite`.
    host: Arc<str>,
    http2: bool,
    /// Whether one address stands for many pods.
    balanced_behind: bool,
    /// Whether the addresses are those of endpoints, or stand for them in a folder.
    by_endpoint: bool,
}

impl Resolver<'_> {
    /// Where a Mapping forwards to, or None with a finding.
    pub(super) fn dialled(
        &self,
        from: &ObjectKey,
        plan: &DialPlan,
        known: &HashMap<UpstreamId, Arc<Upstream>>,
        findings: &mut Findings,
    ) -> Option<Dialled> {
        let dial = self.dial(from, plan, findings);
        let tls = self.tls(from, plan, dial.as_ref(), findings);
        let balance = balance::plan(plan, dial.as_ref(), findings);
        let errors = findings.0.len();
        let health = health::plan(plan, dial.as_ref(), findings);
        if findings.0.len() > errors {
            return None;
        }
        let (dial, tls, balance) = (dial?, tls?, balance?);
        let zones = self.zones(from, plan, &dial, &balance);
        Some(Dialled {
            host: Arc::clone(&dial.host),
            upstream: Arc::new(upstream(plan, dial, tls, (balance, health, zones), known)),
            on: Arc::new(self.dependency(from, plan)),
        })
    }

    /// What of the cluster decides where a plan leads, beside namespaces and grants.
    pub(super) fn dependency(&self, from: &ObjectKey, plan: &DialPlan) -> Dependency {
        let ServiceHost::Name(name) = plan.dialled() else {
            return Dependency::Anything;
        };
        let Place::Service(service) = self.place(name, &from.namespace) else {
            return Dependency::Nothing;
        };
        match self.cluster.service(&service) {
            Some(found) if found.external_name.is_some() => Dependency::Anything,
            Some(_) => Dependency::Service(service),
            None => Dependency::Missing(service),
        }
    }

    fn dial(&self, from: &ObjectKey, plan: &DialPlan, findings: &mut Findings) -> Option<Dial> {
        let port = plan.port();
        match plan.dialled() {
            ServiceHost::Address(address) => self.address(from, *address, &port, findings),
            ServiceHost::Name(name) => match self.place(name, &from.namespace) {
                Place::Service(service) => {
                    let mut found = Findings::default();
                    let routing = plan.endpoints.routing;
                    let dial = self.service(from, &service, &port, routing, &mut found);
                    foreign::tell(from, &service, found, findings);
                    dial
                }
                Place::Outside => self.outside(name, &port, findings),
                Place::Local => {
                    refused(name, "names this pod", findings);
                    None
                }
                Place::NoService => {
                    findings.push(
                        Code::ServiceNotFound,
                        FIELD,
                        format!("{name} is a name of the cluster, but not that of a Service"),
                        "Write `name.namespace`",
                    );
                    None
                }
            },
        }
    }

    fn in_cluster(&self) -> bool {
        matches!(self.options.environment, Environment::Cluster { .. })
    }

    fn address(
        &self,
        from: &ObjectKey,
        address: IpAddr,
        port: &PortText,
        findings: &mut Findings,
    ) -> Option<Dial> {
        let PortText::Number(number) = *port else {
            port_not_found(
                &address.to_string(),
                port,
                "an address has no named ports",
                findings,
            );
            return None;
        };
        if self.in_cluster() {
            if let Some(why) = self.refusal(address) {
                refused(&address.to_string(), why, findings);
                return None;
            }
            let mut owners = self.cluster.owners(address).peekable();
            if owners.peek().is_some() {
                if let Some(owner) = owners.find(|owner| !self.may_refer(from, owner)) {
                    self.not_granted(from, owner, findings);
                    return None;
                }
            } else if !self.settings.external.allows(&address.to_string()) {
                external_not_allowed(&address.to_string(), findings);
                return None;
            }
        }
        let socket = SocketAddr::new(address, number);
        Some(Dial {
            target: Target::Addresses([socket].into()),
            name: format!("address/{socket}"),
            host: address.to_string().into(),
            http2: false,
            balanced_behind: false,
            by_endpoint: false,
        })
    }

    /// Why an address is never dialled from a cluster.
    fn refusal(&self, address: IpAddr) -> Option<&'static str> {
        let Environment::Cluster { own_addresses, .. } = &self.options.environment else {
            return None;
        };
        let address = stands_for(address);
        let link_local = match address {
            IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
            IpAddr::V6(address) => address.is_unicast_link_local(),
        };
        let unspecified = match address {
            IpAddr::V4(address) => address.octets()[0] == 0,
            IpAddr::V6(address) => address.is_unspecified(),
        };
        if address.is_loopback() {
            Some("is a loopback address")
        } else if link_local {
            Some("is a link-local address")
        } else if unspecified {
            Some("is an unspecified address")
        } else if address.is_multicast() {
            Some("is a multicast address")
        } else if own_addresses.iter().any(|own| stands_for(*own) == address) {
            Some("is an address of Postern's own pod")
        } else {
            None
        }
    }

    fn outside(&self, name: &Arc<str>, port: &PortText, findings: &mut Findings) -> Option<Dial> {
        let PortText::Number(number) = *port else {
            port_not_found(
                name,
                port,
                "a name outside of the cluster has no named ports",
                findings,
            );
            return None;
        };
        if !self.settings.external.allows(name) {
            external_not_allowed(name, findings);
            return None;
        }
        Some(Dial {
            target: Target::Dns {
                name: Arc::clone(name),
                port: number,
            },
            name: format!("dns/{name}:{number}"),
            host: Arc::clone(name),
            http2: false,
            balanced_behind: false,
            by_endpoint: false,
        })
    }

    fn not_granted(&self, from: &ObjectKey, to: &ServiceName, findings: &mut Findings) {
        findings.push(
            Code::ReferenceNotGranted,
            FIELD,
            format!(
                "No ReferenceGrant in namespace {} lets {from} refer to Service {to}",
                to.namespace
            ),
            self.cluster.next_for_grant(&to.namespace),
        );
    }

    fn service(
        &self,
        from: &ObjectKey,
        name: &ServiceName,
        port: &PortText,
        routing: Routing,
        findings: &mut Findings,
    ) -> Option<Dial> {
        if !self.may_refer(from, name) {
            self.not_granted(from, name, findings);
            return None;
        }
        let echo = match &self.options.environment {
            Environment::Folder { backends, echo } => {
                return self.folder_service(name, port, routing, (backends, *echo), findings);
            }
            Environment::Cluster { echo, .. } => *echo,
        };
        let Some(service) = self.cluster.service(name) else {
            self.service_not_found(name, findings);
            return None;
        };
        if let Some(external) = service.external_name.as_deref() {
            return self.external_name(from, name, external, port, findings);
        }
        let found = find_port(name, service, port, findings)?;
        let by_endpoint = is_by_endpoint(Some(service), routing);
        if let Some(address) = echo {
            let stands_for = format!("{name}:{}", found.port);
            return Some(Dial {
                target: Target::Echo {
                    address,
                    name: stands_for.as_str().into(),
                },
                name: named(stands_for, Some(service), routing),
                host: host_name(name),
                http2: is_http2(found),
                balanced_behind: false,
                by_endpoint,
            });
        }
        let has_address = matches!(service.cluster_ip, ClusterIp::Addresses(_));
        let balanced_behind = has_address && !by_endpoint;
        let addresses = match &service.cluster_ip {
            ClusterIp::Addresses(addresses) if balanced_behind => {
                let primary = addresses.first().map(|ip| SocketAddr::new(*ip, found.port));
                primary.into_iter().collect()
            }
            ClusterIp::Addresses(_) | ClusterIp::Headless | ClusterIp::None => {
                self.endpoints(name, Some(service), &found.name)
            }
        };
        if addresses.is_empty() {
            let why = match &service.cluster_ip {
                ClusterIp::Addresses(_) => "it has no ready endpoint for this port",
                ClusterIp::Headless | ClusterIp::None => {
                    "it has no ClusterIP and no ready endpoint for this port"
                }
            };
            no_address(name, why, findings);
            return None;
        }
        Some(Dial {
            target: Target::Addresses(addresses.into()),
            name: named(format!("{name}:{}", found.port), Some(service), routing),
            host: host_name(name),
            http2: is_http2(found),
            balanced_behind,
            by_endpoint,
        })
    }

    /// A Service that stands for a name: what that name may lead to is decided as if the Mapping had written it.
    fn external_name(
        &self,
        from: &ObjectKey,
        name: &ServiceName,
        external: &str,
        port: &PortText,
        findings: &mut Findings,
    ) -> Option<Dial> {
        let external: Arc<str> = external.trim_end_matches('.').to_ascii_lowercase().into();
        match self.place(&external, &name.namespace) {
            // One label is a name of DNS here, and what the cluster's DNS makes of it is not known.
            Place::Outside if !external.contains('.') => {
                refused(&external, "is not a full name", findings);
                None
            }
            Place::Outside => {
                if let Ok(address) = external.parse() {
                    return self.address(from, address, port, findings);
                }
                self.outside(&external, port, findings)
            }
            Place::Local => {
                refused(&external, "names this pod", findings);
                None
            }
            Place::NoService | Place::Service(_) => {
                findings.push(
                    Code::InvalidService,
                    FIELD,
                    format!("Service {name} stands for {external}, a name inside of the cluster"),
                    "Name that Service itself",
                );
                None
            }
        }
    }

    fn may_refer(&self, from: &ObjectKey, to: &ServiceName) -> bool {
        from.namespace == to.namespace
            || self.settings.services_allowed
            || self
                .cluster
                .grants(from, Kind::Service, &to.namespace, &to.name)
    }

    fn service_not_found(&self, name: &ServiceName, findings: &mut Findings) {
        let nearest = self
            .cluster
            .names_in(&name.namespace)
            .map(|other| (strsim::damerau_levenshtein(other, &name.name), other))
            .filter(|(distance, _)| *distance <= 2)
            .min();
        let next = match nearest {
            Some((_, other)) => format!("Did you mean {other}?"),
            None => "Create the Service, or correct its name or namespace".to_owned(),
        };
        findings.push(
            Code::ServiceNotFound,
            FIELD,
            format!("Service {name} does not exist"),
            next.trim_end_matches('?'),
        );
    }
}

fn upstream(
    plan: &DialPlan,
    dial: Dial,
    tls: Option<UpstreamTls>,
    (balance, health, zones): (BalancePlan, Option<Arc<Health>>, Option<Hints>),
    known: &HashMap<UpstreamId, Arc<Upstream>>,
) -> Upstream {
    let protocol = if plan.tcp {
        UpstreamProtocol::Tcp
    } else if plan.http2 || dial.http2 {
        UpstreamProtocol::Http2
    } else {
        UpstreamProtocol::Http1
    };
    let is_http2 = protocol == UpstreamProtocol::Http2;
    // The echo server has no certificates: what TLS would have been spoken with is judged, and cleartext spoken.
    let tls = tls.filter(|_| !matches!(dial.target, Target::Echo { .. }));
    let mut id = upstream_id(&dial.name, protocol, tls.as_ref(), plan.connect_timeout);
    balance::name(&balance, &mut id);
    if let Some(breakers) = &plan.breakers {
        id.push_str(" breakers=");
        id.push_str(&breakers.to_string());
    }
    plan.connections.name(&mut id);
    if let Some(health) = &health {
        health::name(health, &mut id);
    }
    let id = UpstreamId(id.into());
    Upstream {
        balance: balance::tabulate(balance, &dial.target, known.get(&id)),
        id,
        target: dial.target,
        protocol,
        tls: tls.map(Arc::new),
        connect_timeout: plan.connect_timeout,
        breakers: plan.breakers,
        health,
        zones,
        idle_timeout: plan.connections.idle_timeout(),
        max_age: max_age(plan.connections.max_age(), is_http2 && dial.balanced_behind),
        keepalive: plan.connections.keepalive,
    }
}

fn max_age(asked: Option<Duration>, stays_on_one_pod: bool) -> Option<Duration> {
    let most = stays_on_one_pod.then_some(HTTP2_MAX_AGE);
    match (asked, most) {
        (Some(asked), Some(most)) => Some(asked.min(most)),
        (asked, most) => asked.or(most),
    }
}

/// Whether endpoints are dialled: as asked, or because there is nothing else.
fn is_by_endpoint(service: Option<&Service>, routing: Routing) -> bool {
    let headless = service.is_some_and(|service| service.cluster_ip == ClusterIp::Headless);
    routing == Routing::Endpoints || headless
}

/// The name of a target in ids: that by endpoints is another than that by ClusterIP.
fn named(mut name: String, service: Option<&Service>, routing: Routing) -> String {
    let is_headless = service.is_some_and(|service| service.cluster_ip == ClusterIp::Headless);
    if routing == Routing::Endpoints && !is_headless {
        name.push_str(" endpoints");
    }
    name
}

/// All that a connection depends on, but the addresses: those change while the upstream stays the same.
fn upstream_id(
    name: &str,
    protocol: UpstreamProtocol,
    tls: Option<&UpstreamTls>,
    connect: Duration,
) -> String {
    use std::fmt::Write as _;
    let mut id = name.to_owned();
    id.push_str(match protocol {
        UpstreamProtocol::Http1 => "",
        UpstreamProtocol::Http2 => " h2",
        UpstreamProtocol::Tcp => " tcp",
    });
    if let Some(tls) = tls {
        // Writing to a String cannot fail.
        let _ = write!(id, " tls={}", tls.server_name);
        if !tls.verify {
            id.push_str(" unverified");
        }
        if let Roots::Only(roots) = &tls.roots {
            let _ = write!(id, " roots={}", roots_digest(roots));
        }
        if let Some(client) = &tls.client {
            let _ = write!(id, " client={}", client.digest);
        }
        if tls.terms != Terms::default() {
            let _ = write!(id, " terms={}", tls.terms.told().join("; "));
        }
        if !tls.revoked.is_empty() {
            let _ = write!(id, " revoked={}", roots_digest(&tls.revoked));
        }
    }
    if connect != Duration::from_secs(3) {
        let _ = write!(id, " connect={connect:?}");
    }
    id
}

fn roots_digest(roots: &[Arc<[u8]>]) -> String {
    use bytes::Bytes;
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    for root in roots {
        digest.update(root);
    }
    format!("{:x}", Bytes::from_owner(digest.finalize()))
}

/// The name that a Service's certificate is for.
fn host_name(name: &ServiceName) -> Arc<str> {
    format!("{}.{}.svc", name.name, name.namespace).into()
}

/// What Linkerd reads the same way: mesh.md, section 1.5.
fn is_http2(port: &ServicePort) -> bool {
    port.app_protocol.as_deref() == Some("kubernetes.io/h2c")
}

/// A port of a Service by number or name, or None with a finding.
fn find_port<'s>(
    name: &ServiceName,
    service: &'s Service,
    port: &PortText,
    findings: &mut Findings,
) -> Option<&'s ServicePort> {
    let found = service.ports.iter().find(|candidate| match port {
        PortText::Number(number) => candidate.port == *number,
        PortText::Name(name) => *candidate.name == **name,
    });
    match found {
        Some(found) if found.tcp => Some(found),
        Some(_) => {
            port_not_found(
                &format!("Service {name}"),
                port,
                "that port is not TCP",
                findings,
            );
            None
        }
        None => {
            let ports = service.ports.iter().filter(|port| port.tcp);
            let ports: Vec<_> = ports
                .map(|port| match &*port.name {
                    "" => port.port.to_string(),
                    name => format!("{} ({name})", port.port),
                })
                .collect();
            let has = format!("it has {}", ports.join(", "));
            port_not_found(&format!("Service {name}"), port, &has, findings);
            None
        }
    }
}

fn port_not_found(of: &str, port: &PortText, why: &str, findings: &mut Findings) {
    findings.push(
        Code::PortNotFound,
        FIELD,
        format!("{of} has no port {port}: {why}"),
        "Write one of the ports that it has",
    );
}

fn external_not_allowed(name: &str, findings: &mut Findings) {
    findings.push(
        Code::ExternalNotAllowed,
        FIELD,
        format!("{name} is outside of the cluster, and the GatewaySettings do not allow it"),
        "Have it added to `references.external` of the GatewaySettings",
    );
}

fn refused(name: &str, why: &str, findings: &mut Findings) {
    findings.push(
        Code::AddressRefused,
        FIELD,
        format!("{name} {why}, and is never dialled from a cluster"),
        "Name a Service",
    );
}

fn no_address(name: &ServiceName, why: &str, findings: &mut Findings) {
    findings.push(
        Code::NoAddress,
        FIELD,
        format!("Service {name} has no address to dial: {why}"),
        "Look at the pods of the Service",
    );
}

#[cfg(test)]
mod tests;
