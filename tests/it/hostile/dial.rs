//! Attempts to make the gateway dial itself, what is behind it, or what belongs to others. The list is data: the tests
//! against a real API server run the same one.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use postern::{
    compile::{self, Environment, Options},
    graph::{Action, AddressSource, Graph, Target, Upstream},
    resource::{
        Origin, ResourceSet,
        decode::{self, Decoded},
    },
    source::yaml,
};

/// The own pod.
pub(crate) const OWN: &str = "10.244.0.9";

/// What is there before every attempt: two teams, Postern itself, and Kubernetes' own Service.
pub(crate) const CLUSTER: &str = r#"
{apiVersion: v1, kind: Namespace, metadata: {name: default}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: kube-system}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: postern}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: apps}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: other}}
---
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1], ports: [{name: https, port: 443}]}
---
apiVersion: v1
kind: Service
metadata: {name: postern, namespace: postern}
spec: {clusterIP: 10.96.0.9, clusterIPs: [10.96.0.9], ports: [{name: http, port: 80}, {name: admin, port: 8877}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: apps}
spec: {clusterIP: 10.96.0.30, clusterIPs: [10.96.0.30], ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: other}
spec: {clusterIP: 10.96.0.20, clusterIPs: [10.96.0.20, "fd00:96::20"], ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: other, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: http, port: 5432}]
endpoints: [{addresses: [10.244.1.20], conditions: {ready: true}}]
---
apiVersion: v1
kind: Service
metadata: {name: shared, namespace: other}
spec: {clusterIP: 10.96.0.40, clusterIPs: [10.96.0.40], ports: [{name: http, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: shared, namespace: other}
spec:
  from: [{group: postern.dev, kind: Mapping, namespace: apps}]
  to: [{group: "", kind: Service, name: shared}]
---
"#;

/// One attempt: what a Mapping in the namespace `apps` names as its service.
pub(crate) struct Attempt {
    pub(crate) id: &'static str,
    pub(crate) service: &'static str,
    /// Objects that `apps` may write, beside the Mapping.
    pub(crate) objects: &'static str,
    /// What a DNS server that the attacker owns says about the name.
    pub(crate) dns: &'static [&'static str],
}

const fn names(id: &'static str, service: &'static str) -> Attempt {
    Attempt {
        id,
        service,
        objects: "",
        dns: &[],
    }
}

const fn answers(id: &'static str, service: &'static str, dns: &'static [&'static str]) -> Attempt {
    Attempt {
        id,
        service,
        objects: "",
        dns,
    }
}

const fn writes(id: &'static str, service: &'static str, objects: &'static str) -> Attempt {
    Attempt {
        id,
        service,
        objects,
        dns: &[],
    }
}

/// An ExternalName Service `door` of `apps` that stands for this name.
macro_rules! door {
    ($name:literal) => {
        concat!(
            "apiVersion: v1\nkind: Service\nmetadata: {name: door, namespace: apps}\n",
            "spec: {type: ExternalName, externalName: \"",
            $name,
            "\"}\n"
        )
    };
}

/// A headless Service `door` of `apps`, with an endpoint that `apps` has written.
macro_rules! endpoint {
    ($kind:literal, $address:literal) => {
        concat!(
            "apiVersion: v1\nkind: Service\nmetadata: {name: door, namespace: apps}\n",
            "spec: {clusterIP: None, ports: [{port: 8878}]}\n---\n",
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n",
            "metadata: {name: door-1, namespace: apps, labels: {kubernetes.io/service-name: door}}\n",
            "addressType: ", $kind, "\nports: [{port: 8878}]\n",
            "endpoints: [{addresses: [\"", $address, "\"], conditions: {ready: true}}]\n"
        )
    };
}

pub(crate) const ATTEMPTS: &[Attempt] = &[
    names("loopback", "127.0.0.1:8878"),
    names("loopback-other", "127.8.7.6:8878"),
    names("loopback-url", "http://127.0.0.1:8877"),
    names("loopback-https", "https://127.0.0.1:8443"),
    names("loopback-v6", "[::1]:8878"),
    names("loopback-mapped", "[::ffff:127.0.0.1]:8878"),
    names("loopback-mapped-hex", "[::ffff:7f00:1]:8878"),
    names("loopback-compatible", "[::127.0.0.1]:8878"),
    names("loopback-nat64", "[64:ff9b::7f00:1]:8878"),
    names("loopback-6to4", "[2002:7f00:1::]:8878"),
    answers("loopback-short", "127.1:8878", &["127.0.0.1"]),
    answers("loopback-octal", "0177.0.0.1:8878", &["127.0.0.1"]),
    answers("loopback-hex", "0x7f.0.0.1:8878", &["127.0.0.1"]),
    names("loopback-decimal", "2130706433:8878"),
    names("loopback-hex-number", "0x7f000001:8878"),
    names("localhost", "localhost:8878"),
    names("localhost-upper", "LOCALHOST:8878"),
    names("localhost-dot", "localhost.:8878"),
    names("localhost-below", "x.localhost:8878"),
    names("nobody", "0.0.0.0:8878"),
    names("nobody-v6", "[::]:8878"),
    names("this-network", "0.1.2.3:8878"),
    names("zero", "0:8878"),
    names("link-local", "169.254.1.1:80"),
    names("metadata", "http://169.254.169.254"),
    names("metadata-mapped", "[::ffff:169.254.169.254]:80"),
    answers("metadata-hex", "0xa9fea9fe.x:80", &["169.254.169.254"]),
    names("link-local-v6", "[fe80::1]:80"),
    names("multicast", "224.0.0.1:80"),
    names("broadcast", "255.255.255.255:80"),
    names("own-pod", "10.244.0.9:8878"),
    names("own-pod-mapped", "[::ffff:10.244.0.9]:8878"),
    names("own-pod-nat64", "[64:ff9b::10.244.0.9]:8878"),
    names("own-pod-6to4", "[2002:af4:9::1]:8878"),
    names("own-service", "postern.postern:8877"),
    names("own-service-address", "10.96.0.9:8877"),
    names("service", "db.other"),
    names("service-port", "db.other:80"),
    names("service-port-name", "db.other:http"),
    names("service-url", "http://db.other:80"),
    names("service-svc", "db.other.svc:80"),
    names("service-whole-name", "db.other.svc.cluster.local:80"),
    names("service-dot", "db.other.svc.cluster.local.:80"),
    names("service-upper", "DB.OTHER.SVC.CLUSTER.LOCAL:80"),
    names("service-mixed", "Db.Other:80"),
    names("service-user", "user@db.other:80"),
    names("service-path", "http://db.other/x"),
    names("service-address", "10.96.0.20:80"),
    names("service-address-v6", "[fd00:96::20]:80"),
    names("service-address-mapped", "[::ffff:10.96.0.20]:80"),
    names("service-address-nat64", "[64:ff9b::a60:14]:80"),
    names("service-address-6to4", "[2002:a60:14::]:80"),
    names("service-address-compatible", "[::10.96.0.20]:80"),
    names("endpoint-address-nat64", "[64:ff9b::10.244.1.20]:5432"),
    names("endpoint-address-6to4", "[2002:af4:114::9]:5432"),
    names("endpoint-address", "10.244.1.20:5432"),
    names("pod-name", "10-244-1-20.other.pod.cluster.local:5432"),
    names("pod-of-service", "db-0.db.other.svc.cluster.local:5432"),
    names("srv-name", "_http._tcp.db.other.svc.cluster.local:80"),
    names("below-namespace", "x.other.y:80"),
    names("api-server", "https://kubernetes.default.svc:443"),
    names("api-server-address", "10.96.0.1:443"),
    answers("dns-loopback", "evil.example.com:8878", &["127.0.0.1"]),
    answers("dns-loopback-v6", "evil.example.com:8878", &["::1"]),
    answers("dns-mapped", "evil.example.com:8878", &["::ffff:127.0.0.1"]),
    answers("dns-nobody", "evil.example.com:8878", &["0.0.0.0"]),
    answers("dns-own-pod", "evil.example.com:8878", &["10.244.0.9"]),
    answers(
        "dns-own-pod-mapped",
        "evil.example.com:8878",
        &["::ffff:10.244.0.9"],
    ),
    answers("dns-metadata", "evil.example.com:80", &["169.254.169.254"]),
    answers("dns-service", "evil.example.com:80", &["10.96.0.20"]),
    answers("dns-service-v6", "evil.example.com:80", &["fd00:96::20"]),
    answers(
        "dns-service-mapped",
        "evil.example.com:80",
        &["::ffff:10.96.0.20"],
    ),
    answers(
        "dns-service-nat64",
        "evil.example.com:80",
        &["64:ff9b::10.96.0.20"],
    ),
    answers(
        "dns-service-6to4",
        "evil.example.com:80",
        &["2002:a60:14::1"],
    ),
    answers("dns-endpoint", "evil.example.com:5432", &["10.244.1.20"]),
    answers("dns-api-server", "evil.example.com:443", &["10.96.0.1"]),
    answers(
        "dns-many",
        "evil.example.com:80",
        &["127.0.0.1", "10.96.0.20", "::1"],
    ),
    answers("dns-in-name", "127.0.0.1.example.com:8878", &["127.0.0.1"]),
    writes("door-service", "door", door!("db.other.svc.cluster.local")),
    writes("door-service-short", "door", door!("db.other")),
    writes("door-localhost", "door", door!("localhost")),
    writes("door-loopback", "door", door!("127.0.0.1")),
    writes("door-metadata", "door", door!("169.254.169.254")),
    writes("door-own-pod", "door", door!("10.244.0.9")),
    writes("door-service-address", "door", door!("10.96.0.20")),
    writes("door-service-nat64", "door", door!("64:ff9b::10.96.0.20")),
    writes("door-api-server", "door", door!("kubernetes.default.svc")),
    Attempt {
        id: "door-dns",
        service: "door",
        objects: door!("evil.example.com"),
        dns: &["127.0.0.1"],
    },
    writes(
        "endpoint-loopback",
        "door:8878",
        endpoint!("IPv4", "127.0.0.1"),
    ),
    writes(
        "endpoint-metadata",
        "door:8878",
        endpoint!("IPv4", "169.254.169.254"),
    ),
    writes(
        "endpoint-own-pod",
        "door:8878",
        endpoint!("IPv4", "10.244.0.9"),
    ),
    writes(
        "endpoint-loopback-v6",
        "door:8878",
        endpoint!("IPv6", "::1"),
    ),
    writes(
        "endpoint-mapped",
        "door:8878",
        endpoint!("IPv6", "::ffff:127.0.0.1"),
    ),
    writes(
        "endpoint-own-pod-nat64",
        "door:8878",
        endpoint!("IPv6", "64:ff9b::10.244.0.9"),
    ),
    writes(
        "endpoint-service-6to4",
        "door:8878",
        endpoint!("IPv6", "2002:a60:14::1"),
    ),
    writes(
        "endpoint-service",
        "door:8878",
        endpoint!("IPv4", "10.96.0.20"),
    ),
    writes(
        "endpoint-api-server",
        "door:8878",
        endpoint!("IPv4", "10.96.0.1"),
    ),
    // An EndpointSlice of one's own does not make the address of another Service one's own.
    writes(
        "claimed-service",
        "10.96.0.20:80",
        endpoint!("IPv4", "10.96.0.20"),
    ),
    writes(
        "claimed-endpoint",
        "10.244.1.20:5432",
        endpoint!("IPv4", "10.244.1.20"),
    ),
    writes(
        "claimed-api-server",
        "10.96.0.1:443",
        endpoint!("IPv4", "10.96.0.1"),
    ),
];

/// What must work, so that refusing everything does not pass.
const ALLOWED: &[(&str, &str, &[&str], &str)] = &[
    ("own Service", "web", &[], "10.96.0.30"),
    (
        "own Service by its whole name",
        "web.apps.svc.cluster.local:80",
        &[],
        "10.96.0.30",
    ),
    ("granted Service", "shared.other", &[], "10.96.0.40"),
    (
        "name outside",
        "api.example.com:443",
        &["203.0.113.9"],
        "203.0.113.9",
    ),
    (
        "one good answer of two",
        "api.example.com:443",
        &["127.0.0.1", "203.0.113.9"],
        "203.0.113.9",
    ),
];

/// The Mapping of an attempt, in either spelling.
pub(crate) fn mapping(service: &str, api: &str) -> String {
    format!(
        "apiVersion: {api}\nkind: Mapping\nmetadata: {{name: attempt, namespace: apps}}\n\
         spec: {{hostname: \"*\", prefix: /, service: '{service}'}}\n"
    )
}

#[test]
fn no_attempt_leads_to_where_it_must_not() {
    assert!(ATTEMPTS.len() >= 30, "{} attempts", ATTEMPTS.len());
    let mut succeeded = Vec::new();
    for attempt in ATTEMPTS {
        for api in ["postern.dev/v1alpha1", "getambassador.io/v3alpha1"] {
            let manifests = format!(
                "{}\n---\n{}",
                attempt.objects,
                mapping(attempt.service, api)
            );
            let graph = compiled(&manifests);
            let dialled = dialled(&graph, attempt.dns);
            if !dialled.is_empty() {
                succeeded.push(format!("{} ({api}): {dialled:?}", attempt.id));
            }
        }
    }
    assert!(
        succeeded.is_empty(),
        "{} succeeded:\n{}",
        succeeded.len(),
        succeeded.join("\n")
    );
}

#[test]
fn what_is_allowed_is_dialled() {
    for (what, service, dns, address) in ALLOWED {
        let graph = compiled(&mapping(service, "postern.dev/v1alpha1"));
        assert_eq!(dialled(&graph, dns), [*address], "{what}");
    }
}

/// The manifests in the cluster, compiled as a replica in it does.
fn compiled(manifests: &str) -> Arc<Graph> {
    let text = format!("{CLUSTER}{manifests}");
    let reading = yaml::read(text.as_bytes());
    assert!(
        reading.errors.is_empty(),
        "{:?} in {manifests}",
        reading.errors
    );
    let mut set = ResourceSet::default();
    for document in reading.documents {
        let decoded = decode::object(
            &document.value,
            Origin::Cluster,
            "default",
            document.positions.into(),
        );
        let Decoded::Object(object) = decoded else {
            panic!("{decoded:?} in {manifests}");
        };
        set.insert(object);
    }
    let options = Options {
        namespace: "postern".into(),
        installation: "default".into(),
        own_ports: postern::compile::OWN_PORTS.to_vec(),
        environment: Environment::Cluster {
            domain: "cluster.local".into(),
            own_addresses: vec![OWN.parse().unwrap()],
            echo: None,
        },
    };
    compile::compile(&set, &options).0
}

/// Every address that some route of the graph may make the proxy dial, given what DNS says.
fn dialled(graph: &Graph, dns: &[&str]) -> Vec<String> {
    let mut dialled: Vec<String> = upstreams(graph)
        .iter()
        .flat_map(|upstream| {
            let (addresses, source) = addresses(upstream, dns);
            let permitted = addresses
                .into_iter()
                .filter(move |ip| graph.dial.permits(*ip, source));
            permitted.map(|ip| ip.to_string()).collect::<Vec<_>>()
        })
        .collect();
    dialled.sort();
    dialled.dedup();
    dialled
}

fn addresses(upstream: &Upstream, dns: &[&str]) -> (Vec<IpAddr>, AddressSource) {
    match &upstream.target {
        Target::Addresses(addresses) => (
            addresses.iter().map(SocketAddr::ip).collect(),
            AddressSource::Graph,
        ),
        Target::Dns { name, .. } => {
            assert!(
                !dns.is_empty() || name.parse::<IpAddr>().is_ok(),
                "{name} must not be looked up"
            );
            let literal = name.parse().map(|ip| vec![ip]);
            let answers = || dns.iter().map(|text| text.parse().unwrap()).collect();
            (literal.unwrap_or_else(|_| answers()), AddressSource::Dns)
        }
        Target::Echo { .. } => panic!("there is no echo server in a cluster"),
    }
}

fn upstreams(graph: &Graph) -> Vec<Arc<Upstream>> {
    let hosts = graph
        .listeners
        .iter()
        .flat_map(|listener| listener.hosts.iter());
    let regions = hosts.flat_map(|host| host.routes.regions.iter());
    let tables = regions.flat_map(|region| {
        let by_regex = region.regex_hosts.iter().map(|(_, table)| table);
        region.tables.iter().chain(by_regex)
    });
    let members = tables
        .flat_map(|table| table.iter())
        .flat_map(|route| &route.members);
    let forwards = members.filter_map(|member| match &member.action {
        Action::Forward(forward) => Some(forward.upstream.clone()),
        Action::Redirect(_) | Action::Fail(_) => None,
    });
    forwards.collect()
}
