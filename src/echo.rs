//! The echo server: answers every request with what it was sent. It stands in for every Service in a folder run with
//! `--echo`, and is a backend for tests as `postern echo`.
//!
//! Parameters in the query change the answer: `?status=503`, `?delay_ms=100`, `?size=1000` (a body of that many `x`). A
//! request for an upgrade is answered with 101 and gets back every byte it sends after that.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tracing::{Instrument, debug, debug_span};

use crate::config::STAND_IN;

/// Bytes of a request body that are told as text.
const TOLD_TEXT: usize = 4096;
/// The longest `delay_ms`: nobody waits longer for a test server.
const MAX_DELAY: Duration = Duration::from_mins(10);
/// Time between looks at a connection whose protocol cannot be told yet.
const PEEK_PAUSE: Duration = Duration::from_millis(1);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// An echo server that has its address, and does not answer yet.
#[derive(Debug)]
pub struct Echo {
    listener: TcpListener,
    address: SocketAddr,
    name: Arc<str>,
}

/// What a request is answered with.
#[derive(Debug, Serialize)]
struct Told {
    service: String,
    method: String,
    path: String,
    host: String,
    protocol: String,
    headers: BTreeMap<String, Vec<String>>,
    body: ToldBody,
    remote: SocketAddr,
}

#[derive(Debug, Default, Serialize)]
struct ToldBody {
    bytes: u64,
    sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// What the query asks for.
#[derive(Debug, Default, PartialEq)]
struct Controls {
    status: Option<StatusCode>,
    delay: Option<Duration>,
    size: Option<u64>,
}

impl Echo {
    /// Takes the address. `name` is the service it answers as, unless a request names another.
    pub async fn bind(address: SocketAddr, name: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            name: name.into(),
        })
    }

    /// The address, with the port that the system chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the task is dropped.
    pub async fn run(self) {
        loop {
            match self.listener.accept().await {
                Ok((stream, remote)) => {
                    let name = self.name.clone();
                    let span = debug_span!("echo", client.addr = %remote);
                    tokio::spawn(serve(stream, remote, name).instrument(span));
                }
                // Out of file descriptors, mostly: the connection stays in the queue, so give others time to close.
                Err(error) => {
                    debug!(%error, "Cannot accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

async fn serve(stream: TcpStream, remote: SocketAddr, name: Arc<str>) {
    let Ok(http2) = speaks_http2(&stream).await else {
        return;
    };
    // Echo answers are small, and those who measure latency with it mean their own.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "Cannot turn Nagle's algorithm off");
    }
    let service = service_fn(move |request| {
        let name = name.clone();
        async move { Ok::<_, Infallible>(answer(request, remote, &name).await) }
    });
    let io = TokioIo::new(stream);
    let ended = if http2 {
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .serve_connection(io, service)
            .await
    } else {
        http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(io, service)
            .with_upgrades()
            .await
    };
    if let Err(error) = ended {
        debug!(%error, "Connection ended early");
    }
}

/// HTTP/2 with prior knowledge begins with `PRI `, which no HTTP/1 request does (RFC 9113, section 3.4).
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    const START: &[u8] = b"PRI ";
    let mut seen = [0; START.len()];
    loop {
        let length = stream.peek(&mut seen).await?;
        let seen = seen.get(..length).unwrap_or_default();
        if seen.is_empty() || !START.starts_with(seen) {
            return Ok(false);
        }
        if seen == START {
            return Ok(true);
        }
        tokio::time::sleep(PEEK_PAUSE).await;
    }
}

async fn answer(mut request: Request<Incoming>, remote: SocketAddr, name: &str) -> Response<Body> {
    let controls = Controls::of(request.uri().query().unwrap_or_default());
    if let Some(delay) = controls.delay {
        tokio::time::sleep(delay).await;
    }
    if let Some(protocol) = request.headers().get(header::UPGRADE).cloned() {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(return_bytes(upgrade).in_current_span());
        return switching(protocol);
    }
    let (head, body) = request.into_parts();
    let Ok(body) = read(body).await else {
        return text(StatusCode::BAD_REQUEST, "the request body broke off\n");
    };
    let mut response = match controls.size {
        Some(size) => Response::new(filler(size, &head.method)),
        None => told(&head, body, remote, name),
    };
    if let Some(status) = controls.status {
        *response.status_mut() = status;
    }
    response
}

fn told(
    head: &http::request::Parts,
    body: ToldBody,
    remote: SocketAddr,
    name: &str,
) -> Response<Body> {
    let told = Told {
        service: head
            .headers
            .get(STAND_IN)
            .map_or_else(|| name.to_owned(), lossy),
        method: head.method.to_string(),
        path: head
            .uri
            .path_and_query()
            .map_or_else(|| head.uri.to_string(), ToString::to_string),
        host: head
            .uri
            .authority()
            .map(ToString::to_string)
            .or_else(|| head.headers.get(header::HOST).map(lossy))
            .unwrap_or_default(),
        protocol: format!("{:?}", head.version),
        headers: told_headers(&head.headers),
        body,
        remote,
    };
    let mut json = serde_json::to_vec_pretty(&told).expect("names and texts must become JSON");
    json.push(b'\n');
    let mut response = Response::new(Full::new(json.into()).boxed_unsync());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

fn told_headers(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut told = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in headers {
        if name != STAND_IN {
            told.entry(name.to_string()).or_default().push(lossy(value));
        }
    }
    told
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Reads a body of any size, keeping only its beginning.
async fn read(mut body: Incoming) -> Result<ToldBody, hyper::Error> {
    let mut bytes = 0;
    let mut digest = Sha256::new();
    let mut start = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        bytes += data.len() as u64;
        digest.update(&data);
        let room = TOLD_TEXT - start.len();
        start.extend_from_slice(data.get(..room).unwrap_or(&data));
    }
    Ok(ToldBody {
        bytes,
        sha256: format!("{:x}", Bytes::from_owner(digest.finalize())),
        text: String::from_utf8(start).ok(),
    })
}

/// A body of `size` times `x`, made while it is sent.
fn filler(size: u64, method: &Method) -> Body {
    static CHUNK: &[u8] = &[b'x'; 16 * 1024];
    let size = if method == Method::HEAD { 0 } else { size };
    let chunks = stream::unfold(size, |left| async move {
        let length = usize::try_from(left).map_or(CHUNK.len(), |left| left.min(CHUNK.len()));
        let chunk = CHUNK.get(..length).filter(|chunk| !chunk.is_empty())?;
        let frame = Frame::data(Bytes::from_static(chunk));
        Some((Ok(frame), left - length as u64))
    });
    StreamBody::new(chunks).boxed_unsync()
}

fn switching(protocol: HeaderValue) -> Response<Body> {
    let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = response.headers_mut();
    headers.clear();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
    response
}

async fn return_bytes(upgrade: hyper::upgrade::OnUpgrade) {
    match upgrade.await {
        Ok(stream) => {
            let (mut read, mut write) = tokio::io::split(TokioIo::new(stream));
            if let Err(error) = tokio::io::copy(&mut read, &mut write).await {
                debug!(%error, "Upgraded connection ended early");
            }
        }
        Err(error) => debug!(%error, "Upgrade failed"),
    }
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::from(text).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

impl Controls {
    /// A value that means nothing counts as absent.
    fn of(query: &str) -> Self {
        let mut controls = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "status" => {
                    controls.status = value
                        .parse::<u16>()
                        .ok()
                        .filter(|status| *status >= 200)
                        .and_then(|status| StatusCode::from_u16(status).ok());
                }
                "delay_ms" => {
                    let delay = value.parse().ok().map(Duration::from_millis);
                    controls.delay = delay.map(|delay| delay.min(MAX_DELAY));
                }
                "size" => controls.size = value.parse().ok(),
                _ => {}
            }
        }
        controls
    }
}

/// The address that an embedded echo server takes: this machine only, a port of the system's choice.
pub const EMBEDDED: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

#[cfg(test)]
mod tests;
