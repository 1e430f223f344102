//! The upstream of every proxy: a process of its own that answers each request with the same bytes.
//!
//! A path that ends in `/seen` is answered with the head of the request instead, so that it can be checked that every proxy
//! sends the same.

use std::{process::Stdio, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::harness::process::{self, Owned};

/// The core of load and backend; the proxy has the other.
pub(super) const CORE: usize = 1;

const SMALL_BODY: &[u8] = b"{\"message\":\"hello from a small, fast service\"}";
const LARGE_BODY: usize = 100 * 1024;
/// Bytes of JSON that can be compressed.
pub(super) const TEXT_BODY: usize = 20 * 1024;
/// A message with the five bytes that gRPC puts before it.
pub(super) const GRPC_MESSAGE: &[u8] = b"\0\0\0\0\x20thirty-two bytes, as calls go...";
/// A request head may be this long; more than any of the proxies makes of ours.
const MAX_HEAD: usize = 64 * 1024;

/// The running backend.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) small: u16,
    pub(super) large: u16,
    pub(super) text: u16,
    pub(super) grpc: u16,
    _process: Owned,
}

impl Backend {
    pub(super) fn start() -> Result<Self> {
        let mut ports = [0; 4];
        for port in &mut ports {
            *port = process::free_port()?;
        }
        let [small, large, text, grpc] = ports;
        let program = std::env::current_exe().context("finding this program")?;
        let mut command = process::pinned(CORE, program);
        command
            .arg("--backend")
            .args(ports.map(|port| port.to_string()))
            .stdin(Stdio::null());
        let mut process = Owned::start("the backend", &mut command)?;
        for port in ports {
            process.wait_for(process::local(port), Duration::from_secs(10))?;
        }
        Ok(Self {
            small,
            large,
            text,
            grpc,
            _process: process,
        })
    }
}

/// Answers on these ports until the process is ended.
pub(super) fn run([small, large, text, grpc]: [u16; 4]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let small = serve(small, answer(SMALL_BODY));
        let large = serve(large, answer(&vec![b'x'; LARGE_BODY]));
        let text = serve(text, answer(&json()));
        let all = async { tokio::try_join!(small, large, text).map(drop) };
        tokio::try_join!(all, serve_grpc(grpc)).map(drop)
    })
}

/// As services answer it: the same names again and again, with other values.
fn json() -> Vec<u8> {
    let mut text = Vec::with_capacity(TEXT_BODY);
    let mut number: u64 = 42;
    while text.len() < TEXT_BODY {
        // Knuth's generator: always the same numbers.
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let item = format!(
            "{{\"id\":{},\"name\":\"item {}\",\"price\":{}.{:02},\"tags\":[\"new\",\"shop-{}\"]}},",
            number >> 32,
            number >> 48,
            (number >> 20) % 1000,
            (number >> 12) % 100,
            number % 7
        );
        text.extend_from_slice(item.as_bytes());
    }
    text.truncate(TEXT_BODY);
    text
}

/// Answers each call with a message.
async fn serve_grpc(port: u16) -> Result<()> {
    let listener = TcpListener::bind(process::local(port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            // A client that goes away is not worth a word.
            let _gone = converse_grpc(stream).await;
        });
    }
}

async fn converse_grpc(stream: TcpStream) -> Result<()> {
    let mut connection = h2::server::Builder::new()
        .max_concurrent_streams(1000)
        .handshake(stream)
        .await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        tokio::spawn(call(request.into_body(), respond));
    }
    Ok(())
}

fn answer(body: &[u8]) -> Arc<[u8]> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(body);
    answer.into()
}

async fn serve(port: u16, answer: Arc<[u8]>) -> Result<()> {
    let listener = TcpListener::bind(process::local(port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        tokio::spawn(async move {
            // A client that goes away is not worth a word.
            let _gone = converse(stream, &answer).await;
        });
    }
}

/// Answers every head on a connection. No request of ours has a body.
async fn converse(mut stream: TcpStream, fixed: &[u8]) -> std::io::Result<()> {
    const END: &[u8] = b"\r\n\r\n";
    let mut seen = Vec::with_capacity(4096);
    while seen.len() < MAX_HEAD && stream.read_buf(&mut seen).await? > 0 {
        let mut done = 0;
        while let Some(length) = find(seen.get(done..).unwrap_or_default(), END) {
            let head = seen.get(done..done + length + END.len());
            let head = head.unwrap_or_default();
            if is_question(head) {
                stream.write_all(&answer(head)).await?;
            } else {
                stream.write_all(fixed).await?;
            }
            done += head.len();
        }
        seen.drain(..done);
    }
    Ok(())
}

async fn call(mut body: h2::RecvStream, mut respond: SendResponse<Bytes>) -> Result<()> {
    while let Some(data) = body.data().await {
        body.flow_control().release_capacity(data?.len())?;
    }
    let head = Response::builder().header("content-type", "application/grpc");
    let mut answer = respond.send_response(head.body(())?, false)?;
    answer.send_data(Bytes::from_static(GRPC_MESSAGE), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    Ok(answer.send_trailers(trailers)?)
}

fn is_question(head: &[u8]) -> bool {
    let path = head.split(|byte| *byte == b' ').nth(1);
    path.is_some_and(|path| path.ends_with(b"/seen"))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}
