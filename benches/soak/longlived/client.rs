//! Clients that keep one connection, and say something on it from time to time.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::timeout,
};

use super::HOSTNAME;

/// The longest that a message may take to come back.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two messages.
const PAUSE: Duration = Duration::from_millis(250);
/// What went wrong that is told; the others are only counted.
const TOLD: usize = 5;

/// What a connection is used for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Life {
    Tunnel,
    /// Streams of gRPC.
    Streams {
        count: usize,
    },
}

/// What the clients have seen.
#[derive(Debug, Default)]
pub(super) struct Tally {
    open: AtomicU64,
    messages: AtomicU64,
    ended: AtomicU64,
    broken: AtomicU64,
    told: Mutex<Vec<String>>,
}

// === impl Life ===

impl Life {
    pub(super) fn size(self) -> u64 {
        match self {
            Self::Tunnel => 1,
            Self::Streams { count } => count as u64,
        }
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Relaxed)
    }

    /// Those that the client ended, and whose end came back as it should.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Relaxed)
    }

    pub(super) fn broken(&self) -> u64 {
        self.broken.load(Relaxed)
    }

    /// The first that went wrong, for people.
    pub(super) fn told(&self) -> String {
        self.told.lock().join("; ")
    }

    fn count(&self, outcome: Result<()>, what: &dyn fmt::Display) {
        match outcome {
            Ok(()) => self.ended.fetch_add(1, Relaxed),
            Err(error) => {
                let mut told = self.told.lock();
                if told.len() < TOLD {
                    told.push(format!("{what}: {error:#}"));
                }
                self.broken.fetch_add(1, Relaxed)
            }
        };
    }
}

/// Lives until it is stopped. It must reach the endpoint with this name.
pub(super) async fn run(
    life: Life,
    place: SocketAddr,
    endpoint: &'static str,
    tally: Arc<Tally>,
    stop: watch::Receiver<bool>,
) {
    match life {
        Life::Tunnel => {
            let outcome = tunnel(place, endpoint, &tally, &stop).await;
            tally.count(outcome, &"a WebSocket");
        }
        Life::Streams { count } => {
            let outcome = streams(count, place, endpoint, &tally, &stop).await;
            if let Err(error) = outcome {
                tally.count(Err(error), &"a connection for streams");
            }
        }
    }
}

async fn tunnel(
    place: SocketAddr,
    endpoint: &str,
    tally: &Tally,
    stop: &watch::Receiver<bool>,
) -> Result<()> {
    let mut stream = TcpStream::connect(place).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET /tunnels/a HTTP/1.1\r\nhost: {HOSTNAME}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(PATIENCE, stream.read_u8()).await??);
    }
    let head = String::from_utf8_lossy(&head);
    ensure!(head.starts_with("HTTP/1.1 101 "), "answered {head}");
    let mut name = vec![0; endpoint.len()];
    timeout(PATIENCE, stream.read_exact(&mut name)).await??;
    ensure!(name == endpoint.as_bytes(), "another endpoint answers");
    tally.open.fetch_add(1, Relaxed);
    let mut number: u64 = 0;
    while !*stop.borrow() {
        number += 1;
        stream.write_all(&number.to_be_bytes()).await?;
        let back = timeout(PATIENCE, stream.read_u64()).await;
        let back = back.context("no message came back")??;
        ensure!(back == number, "{back} came back for {number}");
        tally.messages.fetch_add(1, Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    stream.shutdown().await?;
    let rest = timeout(PATIENCE, stream.read_u8()).await;
    let rest = rest.context("the end did not come back")?;
    ensure!(rest.is_err(), "something came after the end");
    Ok(())
}

async fn streams(
    count: usize,
    place: SocketAddr,
    endpoint: &str,
    tally: &Tally,
    stop: &watch::Receiver<bool>,
) -> Result<()> {
    let stream = TcpStream::connect(place).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = h2::client::handshake(stream).await?;
    let driver = tokio::spawn(connection);
    let all = (0..count).map(|_| converse(sender.clone(), endpoint, tally, stop));
    for outcome in join_all(all).await {
        tally.count(outcome, &"a gRPC stream");
    }
    drop(sender);
    timeout(PATIENCE, driver).await???;
    Ok(())
}

async fn converse(
    sender: h2::client::SendRequest<Bytes>,
    endpoint: &str,
    tally: &Tally,
    stop: &watch::Receiver<bool>,
) -> Result<()> {
    let request = Request::post(format!("http://{HOSTNAME}/echo.Echo/Both"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (response, mut up) = sender.ready().await?.send_request(request, false)?;
    // The head of an answer need not come before there is something to answer.
    up.send_data(Bytes::copy_from_slice(&0_u64.to_be_bytes()), false)?;
    let response = timeout(PATIENCE, response).await??;
    ensure!(response.status() == 200, "answered {}", response.status());
    let name = response.headers().get("x-endpoint");
    ensure!(
        name.is_some_and(|name| name == endpoint),
        "{name:?} answers"
    );
    let mut down = response.into_body();
    take(&mut down, 0).await?;
    tally.open.fetch_add(1, Relaxed);
    let mut number: u64 = 0;
    while !*stop.borrow() {
        number += 1;
        up.send_data(Bytes::copy_from_slice(&number.to_be_bytes()), false)?;
        take(&mut down, number).await?;
        tally.messages.fetch_add(1, Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    up.send_data(Bytes::new(), true)?;
    let rest = timeout(PATIENCE, down.data()).await?;
    ensure!(rest.is_none(), "something came after the end");
    let trailers = timeout(PATIENCE, down.trailers()).await??;
    let status = trailers.as_ref().and_then(|all| all.get("grpc-status"));
    ensure!(
        status.is_some_and(|status| status == "0"),
        "ended with {trailers:?}"
    );
    Ok(())
}

/// The next message, which must be this one.
async fn take(down: &mut h2::RecvStream, number: u64) -> Result<()> {
    let mut message = Vec::new();
    while message.len() < size_of::<u64>() {
        let data = timeout(PATIENCE, down.data()).await;
        let data = data.context("no message came back")?;
        let data = data.context("the stream ended")??;
        down.flow_control().release_capacity(data.len())?;
        message.extend_from_slice(&data);
    }
    ensure!(message == number.to_be_bytes(), "another message came back");
    Ok(())
}
