//! WebSocket over HTTP/2 (RFC 8441), to an upstream of HTTP/1.1.

use std::{net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::ext::Protocol;
use http::{Method, Request, Response, StatusCode};
use prometheus_client::registry::Registry;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::spawn_local,
    time::timeout,
};

use crate::{
    graph::{Action, Target, Upstream, UpstreamId},
    proxy::{
        body::RequestBody,
        site::Site,
        testing::{connect, forward, route, serving, site},
        upstream::{Pools, Shared},
    },
};

type Worker = Rc<Site<Pools<RequestBody>>>;

const PATIENCE: Duration = Duration::from_secs(10);
const AGREES: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n";

/// A backend that answers a request like this, tells the head that it was sent, and then returns every byte.
async fn backend(answer: &'static str) -> (SocketAddr, tokio::sync::oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, head) = tokio::sync::oneshot::channel();
    spawn_local(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = head_of(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
        told.send(asked).unwrap();
        let (mut reads, mut writes) = stream.split();
        let _ = tokio::io::copy(&mut reads, &mut writes).await;
    });
    (address, head)
}

async fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

fn worker(address: SocketAddr, allowed: &[&str]) -> Worker {
    let mut forward = forward("chat");
    forward.upstream = Arc::new(Upstream {
        id: UpstreamId("chat".into()),
        target: Target::Addresses([address].into()),
        ..(*forward.upstream).clone()
    });
    forward.upgrades = allowed.iter().map(|name| (*name).into()).collect();
    let graph = serving(vec![route("/", Action::Forward(forward.into()))]);
    let pools = Pools::new(Shared::new(None, &mut Registry::default()).unwrap());
    site(graph, pools)
}

/// The answer to an extended CONNECT, and the stream to write to.
async fn ask(worker: &Worker) -> (Response<h2::RecvStream>, h2::SendStream<Bytes>) {
    let (mut client, connection) = h2::client::handshake(connect(worker)).await.unwrap();
    spawn_local(connection);
    // The settings of the server must have arrived.
    while !client.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    client = client.ready().await.unwrap();
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://a.com/chat?room=1")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .extension(Protocol::from_static("websocket"))
        .body(())
        .unwrap();
    let (response, stream) = client.send_request(request, false).unwrap();
    (response.await.unwrap(), stream)
}

#[tokio::test(flavor = "local")]
async fn a_stream_becomes_a_tunnel_to_a_websocket_of_http1() {
    let (address, head) = backend(AGREES).await;
    let worker = worker(address, &["websocket"]);
    let talk = async {
        let (response, mut stream) = ask(&worker).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
        for gone in ["sec-websocket-accept", "upgrade", "connection"] {
            assert!(!response.headers().contains_key(gone), "{gone}");
        }
        let head = head.await.unwrap().to_lowercase();
        assert!(head.starts_with("get /chat?room=1 http/1.1\r\n"), "{head}");
        for line in ["host: a.com", "upgrade: websocket", "connection: upgrade"] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
        }
        let key = head.split("sec-websocket-key: ").nth(1).unwrap();
        assert_eq!(key.split("\r\n").next().unwrap().len(), 24, "{head}");
        let mut body = response.into_body();
        for word in ["hello", "again"] {
            stream
                .send_data(Bytes::from_static(word.as_bytes()), false)
                .unwrap();
            assert_eq!(body.data().await.unwrap().unwrap(), word);
        }
        stream.send_data(Bytes::new(), true).unwrap();
        while let Some(data) = body.data().await {
            assert!(data.unwrap().is_empty(), "only the end comes back");
        }
    };
    timeout(PATIENCE, talk).await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn it_is_refused_where_the_route_or_the_upstream_does_not_take_it() {
    const NOT_CHANGED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    for (answer, allowed, status) in [
        (AGREES, &[][..], 501),
        (AGREES, &["other"], 501),
        (NOT_CHANGED, &["websocket"], 502),
        (FORBIDDEN, &["websocket"], 403),
    ] {
        let (address, _head) = backend(answer).await;
        let worker = worker(address, allowed);
        let (response, _stream) = timeout(PATIENCE, ask(&worker)).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{allowed:?}");
    }
}
