use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

async fn start() -> SocketAddr {
    let echo = Echo::bind(EMBEDDED, "echo").await.unwrap();
    let address = echo.address();
    tokio::spawn(echo.run());
    address
}

/// Sends the bytes on a connection of their own, and reads to its end.
async fn exchange(request: &str) -> String {
    let mut stream = TcpStream::connect(start().await).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn json(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn tells_what_it_was_sent() {
    let answer = exchange(
        "POST /a/b?c=d HTTP/1.1\r\nhost: example.com\r\nX-Team: one\r\nx-team: two\r\n\
         x-postern-stand-in: apps/quote:80\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
    )
    .await;
    let told = json(&answer);
    assert_eq!(told["service"], "apps/quote:80");
    assert_eq!(told["method"], "POST");
    assert_eq!(told["path"], "/a/b?c=d");
    assert_eq!(told["host"], "example.com");
    assert_eq!(told["protocol"], "HTTP/1.1");
    assert_eq!(told["headers"]["x-team"], serde_json::json!(["one", "two"]));
    assert_eq!(told["headers"].get("x-postern-stand-in"), None);
    assert_eq!(told["body"]["bytes"], 5);
    assert_eq!(told["body"]["text"], "hello");
    assert_eq!(
        told["body"]["sha256"],
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    );
}

#[tokio::test]
async fn answers_in_its_own_name_when_none_is_given() {
    let told = json(&exchange("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await);
    assert_eq!(told["service"], "echo");
}

#[tokio::test]
async fn the_query_changes_status_and_size() {
    let answer = exchange("GET /?status=503&size=40000 HTTP/1.0\r\nhost: a\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 503 "), "{head}");
    assert_eq!(body.len(), 40_000);
    assert!(body.bytes().all(|byte| byte == b'x'));
}

#[tokio::test]
async fn an_upgraded_connection_returns_every_byte() {
    let mut stream = TcpStream::connect(start().await).await.unwrap();
    stream
        .write_all(
            b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        )
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("upgrade: websocket"), "{head}");
    stream.write_all(b"ping").await.unwrap();
    let mut back = [0; 4];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"ping");
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_answered() {
    let stream = TcpStream::connect(start().await).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://example.com/x")
        .body(Full::<Bytes>::default())
        .unwrap();
    let response = client.send_request(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let told: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(told["protocol"], "HTTP/2.0");
    assert_eq!(told["host"], "example.com");
}

#[test]
fn controls_that_mean_nothing_are_ignored() {
    assert_eq!(
        Controls::of("status=99&delay_ms=soon&size=-1&other=1"),
        Controls::default()
    );
    assert_eq!(Controls::of("delay_ms=86400000").delay, Some(MAX_DELAY));
}
