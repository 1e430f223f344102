//! The whole proxy on loopback: workers, sockets, TLS, pools, drain.

mod client_certificate;

use std::{io, net::SocketAddr, num::NonZeroUsize, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    config::AccessLog,
    graph::{
        Action, Certificate, Fail, Graph, HostTls, PrivateKey, ServerTls, Target, Upstream,
        UpstreamId, tls::KeyFormat,
    },
    proxy::{
        Options, Proxy,
        testing::{PORT, forward, graph, host, listener, route},
    },
    telemetry::{health::Health, metrics},
};

/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A proxy with two workers on a port that the system chose.
struct Running {
    proxy: Proxy,
    graphs: watch::Sender<Option<Arc<Graph>>>,
    health: Health,
    registry: Registry,
    address: SocketAddr,
}

async fn start(graph: Graph) -> Running {
    let options = Options {
        zone: None,
        workers: NonZeroUsize::new(2).unwrap(),
        binds: vec![format!("{PORT}=127.0.0.1:0").parse().unwrap()],
        drain_delay: Duration::ZERO,
        drain_timeout: Duration::from_secs(5),
        access_log: AccessLog::Off,
        route_metrics: 10,
        hostname: "pod".into(),
    };
    let health = Health::new();
    let (graphs, receiver) = watch::channel(None);
    let mut registry = metrics::registry();
    let proxy = Proxy::start(options, receiver, health.clone(), &mut registry).unwrap();
    assert!(proxy.addresses().is_empty());
    graphs.send_replace(Some(Arc::new(graph)));
    let is_bound = async {
        while health.readiness().missing.len() > 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, is_bound).await.unwrap();
    let address = proxy.addresses()[&PORT];
    Running {
        proxy,
        graphs,
        health,
        registry,
        address,
    }
}

/// A backend that answers every request on a connection as `answer` says, then closes if that says so.
async fn backend(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn to(address: SocketAddr) -> Action {
    let mut forward = forward("quote");
    let upstream = Upstream {
        id: UpstreamId(address.to_string().into()),
        target: Target::Addresses([address].into()),
        ..(*forward.upstream).clone()
    };
    forward.upstream = Arc::new(upstream);
    forward.upgrades = vec!["websocket".into()];
    Action::Forward(forward.into())
}

async fn read(stream: &mut (impl AsyncReadExt + Unpin), end: &str) -> String {
    let mut text = String::new();
    let read = async {
        let mut buffer = [0; 4096];
        while !text.contains(end) {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
            }
        }
    };
    timeout(PATIENCE, read).await.unwrap();
    text
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";
const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn every_worker_serves_what_the_newest_snapshot_says() {
    let backend = backend(HELLO).await;
    let serving = |action| {
        graph(
            listener(),
            vec![host("*", HostTls::None, vec![route("/", action)])],
        )
    };
    let running = start(serving(to(backend))).await;
    let mut kept = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(GET).await.unwrap();
        let reply = read(&mut stream, "hello").await;
        assert!(reply.starts_with("HTTP/1.1 200 OK"), "{reply}");
        kept.push(stream);
    }
    let fail = Action::Fail(Fail { code: 42 });
    running.graphs.send_replace(Some(Arc::new(serving(fail))));
    // Connections live on, and see the new snapshot soon.
    for stream in &mut kept {
        let new = async {
            loop {
                stream.write_all(GET).await.unwrap();
                let reply = read(stream, "\r\n\r\n").await;
                assert!(!reply.is_empty(), "the connection was closed");
                if reply.contains("503") {
                    break;
                }
            }
        };
        timeout(PATIENCE, new).await.unwrap();
    }
    // Without its Listener the port is closed, and what is connected is told so.
    running.graphs.send_replace(Some(Arc::default()));
    let closed = async {
        while TcpStream::connect(running.address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, closed).await.unwrap();
    drop(kept);
    assert_eq!(running.proxy.drain().await, 0);
}

#[tokio::test]
async fn requests_are_counted_by_the_route_that_takes_them() {
    let backend = backend(HELLO).await;
    let routes = vec![route("/", to(backend))];
    let running = start(graph(listener(), vec![host("*", HostTls::None, routes)])).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(GET).await.unwrap();
        read(&mut stream, "hello").await;
    }
    drop(stream);
    assert_eq!(running.proxy.drain().await, 0);
    let text = metrics::render(&running.registry);
    let line = "postern_route_requests_total{route=\"mapping/apps/quote\",code=\"2xx\"} 3\n";
    assert!(text.contains(line), "no {line:?} in\n{text}");
}

#[tokio::test]
async fn a_drain_finishes_what_runs_and_counts_what_it_cuts_off() {
    let silent = backend("").await;
    let hosts = vec![host("*", HostTls::None, vec![route("/", to(silent))])];
    let running = start(graph(listener(), hosts)).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    let drained = tokio::spawn(running.proxy.drain());
    // The head timeout of the route ends it within the drain timeout.
    let reply = read(&mut stream, "request id").await;
    assert!(reply.starts_with("HTTP/1.1 504 "), "{reply}");
    assert!(reply.contains("connection: close"), "{reply}");
    assert_eq!(timeout(PATIENCE, drained).await.unwrap().unwrap(), 0);
    assert!(running.health.readiness().draining);
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_tunnel_begins_with_the_upstreams_consent() {
    let agrees = backend(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    )
    .await;
    let refuses = backend("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    let routes = vec![route("/yes", to(agrees)), route("/no", to(refuses))];
    let running = start(graph(listener(), vec![host("*", HostTls::None, routes)])).await;
    let ask = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nEARLY"
        )
    };
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(ask("/yes").as_bytes()).await.unwrap();
    // The backend answers each read with the same bytes: those after the head come through the tunnel, for EARLY.
    let reply = read(&mut stream, "\r\n\r\nHTTP/1.1 101").await;
    assert!(reply.contains("upgrade: websocket\r\n"), "{reply}");
    drop(stream);

    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(ask("/no").as_bytes()).await.unwrap();
    let reply = read(&mut stream, "never").await;
    assert!(reply.starts_with("HTTP/1.1 403 "), "{reply}");
    assert_eq!(reply.matches("HTTP/1.1").count(), 1, "{reply}");
    assert_eq!(running.proxy.drain().await, 0);
}

// === TLS ===

fn certificate(name: &str) -> (Arc<ServerTls>, rustls::RootCertStore) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let der = made.cert.der().clone();
    let certificate = Certificate {
        digest: name.into(),
        chain: vec![der.to_vec().into()],
        key: PrivateKey {
            format: KeyFormat::Pkcs8,
            der: made.signing_key.serialize_der().into(),
        },
        staple: None,
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der).unwrap();
    (Arc::new(certificate.into()), roots)
}

async fn handshake(
    address: SocketAddr,
    name: &str,
    roots: &rustls::RootCertStore,
    protocols: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

#[tokio::test]
async fn a_name_gets_its_certificate_or_an_alert_and_speaks_for_its_own_host_only() {
    let backend = backend(HELLO).await;
    let (certificate, roots) = certificate("a.example.com");
    let routes = || vec![route("/", to(backend))];
    let hosts = vec![
        host("a.example.com", HostTls::Certificate(certificate), routes()),
        host("b.example.com", HostTls::None, routes()),
        host(
            "broken.example.com",
            HostTls::Broken(Fail { code: 1 }),
            routes(),
        ),
    ];
    let mut both = listener();
    both.tls = true;
    let running = start(graph(both, hosts)).await;

    for (name, alert) in [
        ("b.example.com", "UnrecognisedName"),
        ("unknown.example.com", "UnrecognisedName"),
        ("broken.example.com", "InternalError"),
    ] {
        let error = handshake(running.address, name, &roots, &[])
            .await
            .unwrap_err();
        assert!(format!("{error:?}").contains(alert), "{name}: {error:?}");
    }

    let connect = || handshake(running.address, "a.example.com", &roots, &["http/1.1"]);
    let mut stream = connect().await.unwrap();
    let ask = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream
        .write_all(ask("a.example.com").as_bytes())
        .await
        .unwrap();
    assert!(read(&mut stream, "hello").await.starts_with("HTTP/1.1 200"));
    stream
        .write_all(ask("b.example.com").as_bytes())
        .await
        .unwrap();
    assert!(
        read(&mut stream, "request id")
            .await
            .starts_with("HTTP/1.1 421")
    );

    let stream = handshake(
        running.address,
        "a.example.com",
        &roots,
        &["h2", "http/1.1"],
    )
    .await
    .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get("https://a.example.com/")
        .body(())
        .unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    assert_eq!(response.await.unwrap().status(), 200);
    drop(client);
    connection.await.unwrap().unwrap();

    // The same port takes cleartext, and so does HTTP/2 there.
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(GET).await.unwrap();
    assert!(
        read(&mut stream, "request id")
            .await
            .starts_with("HTTP/1.1 404")
    );
    assert_eq!(running.proxy.drain().await, 0);
}
