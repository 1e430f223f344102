use tokio::{net::TcpListener, time::pause};

use super::*;
use crate::proxy::upstream::tests::{Backend, Bench, Reply, get, local, to, upstream};

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn addresses_of_the_first_family_take_turns_and_the_others_wait() {
    let (a, b, c) = ("192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80");
    let (v6, w6) = ("[2001:db8::1]:80", "[2001:db8::2]:80");
    let cases: [(&[&str], usize, &[&str]); 8] = [
        (&[], 0, &[]),
        (&[a], 7, &[a]),
        (&[a, b, c], 0, &[a, b, c]),
        (&[a, b, c], 1, &[b, c, a]),
        (&[a, b, c], 5, &[c, a, b]),
        (&[a, v6, b, w6], 1, &[b, a, v6, w6]),
        (&[v6, a, w6, b], 1, &[w6, v6, a, b]),
        (&[a, b], usize::MAX, &[b, a]),
    ];
    for (given, turn, expected) in cases {
        let given = addresses(given);
        let got: Vec<_> = in_turn(&given, turn).collect();
        assert_eq!(got, addresses(expected), "{given:?} in turn {turn}");
    }
}

#[test]
fn few_addresses_are_tried_and_only_those_that_may_be() {
    let policy = DialPolicy {
        in_cluster: true,
        ..DialPolicy::default()
    };
    let permitted = |texts: &[&str]| {
        permitted(addresses(texts).into_iter(), &policy, AddressSource::Graph)
            .map(|addresses| addresses.len())
    };
    let many = [
        "127.0.0.1:1",
        "10.0.0.1:1",
        "10.0.0.2:1",
        "10.0.0.3:1",
        "10.0.0.4:1",
    ];
    assert_eq!(permitted(&many).unwrap(), MAX_ATTEMPTS);
    let refused = permitted(&["127.0.0.1:1", "[::1]:1"]).unwrap_err();
    assert!(
        matches!(refused, UpstreamError::DialRefused(address) if address.is_ipv4()),
        "the first one is named: {refused:?}"
    );
    assert!(matches!(permitted(&[]), Err(UpstreamError::NoAddress)));
}

/// An address at which nobody listens.
async fn closed() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn another_address_is_tried_when_one_does_not_answer() {
    local(async {
        let backend = Backend::always(Reply::ok("here")).await;
        let bench = Bench::new();
        let upstream = to(&[closed().await, backend.address]);
        for _ in 0..3 {
            assert_eq!(bench.get(&upstream).await.unwrap(), "200 here");
        }
        let nobody = to(&[closed().await, closed().await]);
        let failed = bench.get(&nobody).await.unwrap_err();
        assert!(matches!(failed, UpstreamError::Connect(_)), "{failed:?}");
        assert!(failed.is_retryable() && failed.is_before_head());
    })
    .await;
}

#[tokio::test]
async fn a_cluster_does_not_dial_itself() {
    local(async {
        let backend = Backend::always(Reply::ok("")).await;
        let port = backend.address.port();
        let policy = DialPolicy {
            in_cluster: true,
            ..DialPolicy::default()
        };
        let bench = Bench::new();
        let dns = |name: &str| Target::Dns {
            name: name.into(),
            port,
        };
        let targets = [
            Target::Addresses([backend.address].into()),
            dns("127.0.0.1"),
            dns("::ffff:127.0.0.1"),
            dns("localhost"),
        ];
        for target in targets {
            let upstream = Arc::new(upstream(target));
            let sent = bench.send_within(&policy, &upstream, get("/"));
            let failed = sent.await.unwrap_err();
            assert!(
                matches!(failed, UpstreamError::DialRefused(_)),
                "{upstream:?}: {failed:?}"
            );
        }
        assert_eq!(backend.accepted.get(), 0);
        let laptop = DialPolicy::default();
        let upstream = Arc::new(upstream(dns("127.0.0.1")));
        let sent = bench.send_within(&laptop, &upstream, get("/"));
        sent.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn who_does_not_answer_in_time_is_given_up() {
    local(async {
        // Takes connections, and never answers a handshake.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut upstream = upstream(Target::Addresses([address].into()));
        upstream.tls = Some(Arc::new(UpstreamTls {
            server_name: "shop.example".into(),
            verify: false,
            roots: crate::graph::tls::Roots::System,
            client: None,
            terms: crate::graph::Terms::default(),
            revoked: Arc::default(),
        }));
        let bench = Bench::new();
        pause();
        let started = Instant::now();
        let failed = bench.get(&Arc::new(upstream)).await.unwrap_err();
        assert!(
            matches!(failed, UpstreamError::ConnectTimeout(limit) if limit.as_secs() == 5),
            "{failed:?}"
        );
        assert!(failed.is_timeout());
        assert_eq!(started.elapsed().as_secs(), 5);
    })
    .await;
}
