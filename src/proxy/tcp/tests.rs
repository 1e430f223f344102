use std::{rc::Rc, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, sleep},
};

use super::*;
use crate::{
    graph::{
        Fail, Graph, HostTable, HostTls, RouteId, TcpForward, TcpMember, TcpTable, Upstream,
        UpstreamProtocol,
    },
    proxy::{
        error::ProxyError,
        testing::{self, Script, connect, rest},
    },
};

const IDLE: Duration = Duration::from_mins(10);

fn route(members: Vec<(u32, TcpAction)>) -> Arc<TcpRoute> {
    let members = members.into_iter().enumerate();
    let members = members.map(|(number, (share, action))| TcpMember {
        id: RouteId(format!("tcpmapping/db/{number}").into()),
        share,
        action,
    });
    Arc::new(TcpRoute {
        client_tls: ClientTls::Untouched,
        tls: None,
        members: members.collect(),
    })
}

fn to(upstream: &str) -> TcpAction {
    let upstream = Upstream::clone(&testing::forward(upstream).upstream);
    TcpAction::Forward(TcpForward {
        upstream: Arc::new(Upstream {
            protocol: UpstreamProtocol::Tcp,
            ..upstream
        }),
        idle_timeout: IDLE,
    })
}

fn graph(tls: bool, tcp: TcpTable) -> Graph {
    let mut listener = testing::listener();
    (listener.http, listener.tls, listener.cleartext) = (false, tls, !tls);
    listener.tcp = tcp;
    testing::graph(listener, Vec::new())
}

fn any(route: Arc<TcpRoute>) -> TcpTable {
    TcpTable {
        any: Some(route),
        ..TcpTable::default()
    }
}

fn named(name: &str, route: Arc<TcpRoute>) -> TcpTable {
    TcpTable {
        by_name: HostTable::from_iter([(name.parse().unwrap(), Some(route))]),
        any: None,
    }
}

/// A worker with one upstream connection, and the other end of that.
fn one(graph: Graph) -> (Rc<Site<Script>>, DuplexStream) {
    let (ours, theirs) = duplex(1 << 16);
    let site = testing::site(graph, Script::for_connections([Ok(ours)]));
    (site, theirs)
}

/// How connections have ended.
fn ends(site: &Rc<Site<Script>>) -> Vec<&'static str> {
    let counters = site.counters(&"web".into());
    let all = End::ALL.into_iter();
    let ended = all.filter(|(end, _)| counters.tcp.count(*end) > 0);
    ended.map(|(_, word)| word).collect()
}

async fn ended(site: &Rc<Site<Script>>) -> &'static str {
    while site.gate.connections() > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let ends = ends(site);
    assert_eq!(ends.len(), 1, "{ends:?}");
    ends[0]
}

/// What a client of TLS says first.
fn hello(name: &'static str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = name.try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn bytes_go_both_ways_and_each_side_ends_by_itself() {
    let (site, mut upstream) = one(graph(false, any(route(vec![(1, to("orders"))]))));
    let mut client = connect(&site);
    // The upstream may speak first.
    upstream.write_all(b"hello").await.unwrap();
    let mut said = [0; 5];
    client.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"hello");
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = String::new();
    upstream.read_to_string(&mut question).await.unwrap();
    assert_eq!(question, "question");
    // What comes after the client has ended still reaches it.
    upstream.write_all(b"answer").await.unwrap();
    upstream.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, "answer");
    assert_eq!(ended(&site).await, "closed");
    assert_eq!(site.upstreams.opened(), ["orders"]);
    let tcp = &site.counters(&"web".into()).tcp;
    assert_eq!(
        (tcp.received.get(), tcp.sent.get(), tcp.open.get()),
        (8, 11, 0)
    );
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn silence_ends_a_connection_and_a_byte_in_either_direction_does_not() {
    let (site, mut upstream) = one(graph(false, any(route(vec![(1, to("orders"))]))));
    let mut client = connect(&site);
    let started = Instant::now();
    let almost = Duration::from_secs(599);
    sleep(almost).await;
    upstream.write_all(b".").await.unwrap();
    let mut byte = [0; 1];
    client.read_exact(&mut byte).await.unwrap();
    assert_eq!(rest(&mut client).await, "");
    assert_eq!(started.elapsed(), almost + IDLE);
    assert_eq!(ended(&site).await, "idle");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_connection_without_an_upstream_is_closed_and_counted_by_its_reason() {
    for (action, error, expected) in [
        (to("a"), ProxyError::Connect, "connect_failed"),
        (to("a"), ProxyError::ConnectTimeout, "connect_timeout"),
        (to("a"), ProxyError::DialRefused, "dial_refused"),
        (to("a"), ProxyError::CircuitOpen, "circuit_open"),
        (
            TcpAction::Fail(Fail { code: 3002 }),
            ProxyError::Connect,
            "route_failed",
        ),
    ] {
        let graph = graph(false, any(route(vec![(1, action)])));
        let site = testing::site(graph, Script::for_connections([Err(error)]));
        assert_eq!(rest(&mut connect(&site)).await, "");
        assert_eq!(ended(&site).await, expected);
        assert_eq!(site.running.get(), 0);
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_name_has_its_route_and_the_upstream_gets_the_handshake_as_it_came() {
    let (site, mut upstream) = one(graph(
        true,
        named("*.example.com", route(vec![(1, to("db"))])),
    ));
    let mut client = connect(&site);
    let bytes = hello("db.example.com");
    // In pieces, as a network may have it.
    for piece in bytes.chunks(100) {
        client.write_all(piece).await.unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    client.shutdown().await.unwrap();
    let mut got = Vec::new();
    upstream.read_to_end(&mut got).await.unwrap();
    assert!(got == bytes, "{} of {} bytes", got.len(), bytes.len());
    drop(upstream);
    assert_eq!(ended(&site).await, "closed");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_name_that_nobody_has_gets_an_alert() {
    let site = testing::site(
        graph(true, named("db.example.com", route(vec![(1, to("db"))]))),
        Script::default(),
    );
    let mut client = connect(&site);
    client.write_all(&hello("other.example.com")).await.unwrap();
    let mut alert = Vec::new();
    client.read_to_end(&mut alert).await.unwrap();
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 112]);
    assert_eq!(ended(&site).await, "no_route");
    assert!(site.upstreams.opened().is_empty());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_is_no_handshake_reaches_nobody_where_tls_is_looked_at() {
    for (bytes, patience, expected) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], 1, "handshake_failed"),
        (&b""[..], 11, "handshake_failed"),
        (&b"\x16\x03\x01"[..], 11, "handshake_failed"),
    ] {
        let mut table = named("db.example.com", route(vec![(1, to("db"))]));
        table.any = Some(route(vec![(1, to("any"))]));
        let site = testing::site(graph(true, table), Script::default());
        let mut client = connect(&site);
        client.write_all(bytes).await.unwrap();
        let started = Instant::now();
        rest(&mut client).await;
        assert!(
            started.elapsed() < Duration::from_secs(patience),
            "{bytes:?}"
        );
        assert_eq!(ended(&site).await, expected, "{bytes:?}");
        assert!(site.upstreams.opened().is_empty());
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_handshake_without_end_takes_no_more_room_than_there_is() {
    let site = testing::site(
        graph(true, named("db.example.com", route(vec![(1, to("db"))]))),
        Script::default(),
    );
    let mut client = connect(&site);
    // A message of 60,000 bytes is announced, in records that are as they should be.
    let mut record = vec![0x16, 3, 1, 0x10, 0, 1, 0, 0xea, 0x60];
    record.resize(5 + 0x1000, 0);
    for _ in 0..12 {
        if client.write_all(&record).await.is_err() {
            break;
        }
        sleep(Duration::from_millis(1)).await;
    }
    rest(&mut client).await;
    assert_eq!(ended(&site).await, "handshake_failed");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_listener_of_https_serves_its_hosts_beside_a_name_of_tcp() {
    let mut listener = testing::listener();
    listener.tls = true;
    listener.tcp = named("db.example.com", route(vec![(1, to("db"))]));
    let hosts = vec![testing::host("*", HostTls::None, Vec::new())];
    let (site, mut upstream) = one(testing::graph(listener, hosts));
    // Cleartext is HTTP.
    let answer = testing::exchange(
        &site,
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    );
    assert!(answer.await.starts_with("HTTP/1.1 404"));
    // Another name is that of a Host, which has no certificate.
    let mut other = connect(&site);
    other.write_all(&hello("other.example.com")).await.unwrap();
    let mut alert = [0; 7];
    other.read_exact(&mut alert).await.unwrap();
    assert_eq!(alert[6], 112);
    let mut client = connect(&site);
    client.write_all(&hello("db.example.com")).await.unwrap();
    let mut first = [0; 1];
    upstream.read_exact(&mut first).await.unwrap();
    assert_eq!(first, [22]);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_drain_waits_for_connections_that_run_and_not_for_those_that_say_nothing() {
    let mut table = named("db.example.com", route(vec![(1, to("db"))]));
    table.any = None;
    let site = testing::site(graph(true, table), Script::default());
    let _silent = connect(&site);
    sleep(Duration::from_secs(1)).await;
    let started = Instant::now();
    site.gate.close();
    site.gate.emptied().await;
    assert!(started.elapsed() <= Duration::from_secs(3));

    let (site, mut upstream) = one(graph(false, any(route(vec![(1, to("orders"))]))));
    let mut client = connect(&site);
    client.write_all(b"a").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    site.gate.close();
    sleep(Duration::from_secs(20)).await;
    assert_eq!((site.gate.connections(), site.running.get()), (1, 1));
    upstream.write_all(b"b").await.unwrap();
    let mut byte = [0; 1];
    client.read_exact(&mut byte).await.unwrap();
    drop((client, upstream));
    site.gate.emptied().await;
    assert_eq!(site.running.get(), 0);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn connections_are_shared_by_weight() {
    let members = vec![(10, to("canary")), (90, to("stable")), (0, to("none"))];
    let site = testing::site(graph(false, any(route(members))), Script::default());
    for _ in 0..2000 {
        rest(&mut connect(&site)).await;
    }
    let opened = site.upstreams.opened();
    let canary = opened.iter().filter(|name| **name == "canary").count();
    assert!((120..280).contains(&canary), "{canary} of 2000");
    assert!(opened.iter().all(|name| name != "none"));
}
