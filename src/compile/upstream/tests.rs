use std::sync::Arc;

use serde_json::json;

use super::{super::tests as fixture, *};
use crate::{
    compile::Backend,
    resource::{Group, ResourceSet},
};

fn cluster(options: &Options) -> Cluster {
    let mut set = ResourceSet::default();
    for (namespace, name) in [("apps", "quote"), ("other", "db")] {
        set.insert(fixture::object(&json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": { "namespace": namespace, "name": name },
            "spec": { "clusterIP": "10.96.0.1", "ports": [{ "name": "http", "port": 80 }] },
        })));
    }
    Cluster::new(&set, options)
}

fn in_cluster() -> Options {
    Options {
        environment: Environment::Cluster {
            domain: "cluster.local".into(),
            own_addresses: vec![[10, 1, 0, 1].into()],
            echo: None,
        },
        ..fixture::options()
    }
}

fn with<T>(options: &Options, look: impl FnOnce(&Resolver<'_>) -> T) -> T {
    let (cluster, contexts) = (cluster(options), Contexts::default());
    look(&Resolver {
        options,
        settings: &Settings::new(options),
        cluster: &cluster,
        contexts: &contexts,
    })
}

#[test]
fn a_name_is_the_clusters_by_its_form_or_an_existing_namespace() {
    let service = |namespace: &str, name: &str| {
        Place::Service(ServiceName {
            namespace: namespace.into(),
            name: name.into(),
        })
    };
    with(&in_cluster(), |resolver| {
        for (name, expected) in [
            ("quote", service("apps", "quote")),
            ("quote.apps", service("apps", "quote")),
            ("db.other", service("other", "db")),
            ("x.nowhere.svc", service("nowhere", "x")),
            ("x.nowhere.svc.cluster.local", service("nowhere", "x")),
            ("a.b.c.svc", Place::NoService),
            ("10-0-0-1.apps.pod.cluster.local", Place::NoService),
            ("x.cluster.local", Place::NoService),
            ("db.other.example", Place::NoService),
            ("api.example.org", Place::Outside),
            ("x.nowhere", Place::Outside),
            ("localhost", Place::Local),
            ("a.localhost", Place::Local),
        ] {
            assert_eq!(resolver.place(name, &"apps".into()), expected, "{name}");
        }
    });
}

#[test]
fn addresses_that_lead_to_the_gateway_or_its_machine_are_refused() {
    with(&in_cluster(), |resolver| {
        for address in [
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "::ffff:127.0.0.1",
            "169.254.169.254",
            "fe80::1",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "10.1.0.1",
            "::ffff:10.1.0.1",
        ] {
            let refused = resolver.refusal(address.parse().unwrap());
            assert!(refused.is_some(), "{address} must be refused");
        }
        for address in ["10.1.0.2", "192.0.2.1", "2001:db8::1"] {
            assert_eq!(
                resolver.refusal(address.parse().unwrap()),
                None,
                "{address}"
            );
        }
    });
}

#[test]
fn a_folder_asks_backends_before_the_echo_server() {
    let backend = |port, host: &str, host_port| Backend {
        namespace: "apps".into(),
        name: "quote".into(),
        port,
        host: host.into(),
        host_port,
    };
    let echo = Some(([127, 0, 0, 1], 9).into());
    let any = backend(None, "localhost", 1);
    let one = backend(Some(80), "[::1]", 2);
    for (backends, port, expected) in [
        (vec![any.clone(), one.clone()], 80, "[::1]:2"),
        (vec![any], 80, "localhost:1"),
        (vec![one], 80, "[::1]:2"),
        (Vec::new(), 80, "echo apps/quote:80"),
    ] {
        let options = Options {
            environment: Environment::Folder { backends, echo },
            ..fixture::options()
        };
        let from = ObjectKey::new(Group::Postern, Kind::Mapping, "apps", "m");
        let name = ServiceName {
            namespace: "apps".into(),
            name: "quote".into(),
        };
        let mut findings = Findings::default();
        let port = PortText::Number(port);
        let dial = with(&options, |resolver| {
            resolver.service(&from, &name, &port, Routing::Service, &mut findings)
        });
        let shown = match dial.unwrap().target {
            Target::Addresses(addresses) => addresses[0].to_string(),
            Target::Dns { name, port } => format!("{name}:{port}"),
            Target::Echo { name, .. } => format!("echo {name}"),
        };
        assert_eq!(shown, expected);
        assert_eq!(findings, Findings::default());
    }
}

#[test]
fn an_id_says_what_a_connection_depends_on() {
    use UpstreamProtocol::{Http1, Http2, Tcp};
    let tls = UpstreamTls {
        server_name: "a.example".into(),
        verify: true,
        roots: Roots::System,
        client: None,
        terms: crate::graph::Terms::default(),
        revoked: Arc::default(),
    };
    let lax = UpstreamTls {
        verify: false,
        ..tls.clone()
    };
    let own = UpstreamTls {
        roots: Roots::Only(Arc::from([Arc::from([1_u8].as_slice())])),
        ..tls.clone()
    };
    let three = Duration::from_secs(3);
    let ids = [
        upstream_id("a:80", Http1, None, three),
        upstream_id("a:80", Http2, None, three),
        upstream_id("a:80", Tcp, None, three),
        upstream_id("a:80", Http1, Some(&tls), three),
        upstream_id("a:80", Http1, Some(&lax), three),
        upstream_id("a:80", Http1, Some(&own), three),
        upstream_id("a:80", Http1, None, Duration::from_secs(1)),
    ];
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "{ids:?}");
}
