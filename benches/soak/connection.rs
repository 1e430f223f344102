//! One connection of a client, over HTTP/1 or HTTP/2, with or without TLS.

use std::{io, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinHandle,
};

use super::tls;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Speech {
    pub(super) tls: bool,
    pub(super) http2: bool,
}

/// Where a client finds the gateway.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) hostname: String,
    pub(super) cleartext: SocketAddr,
    /// The same as `cleartext` where nobody speaks TLS.
    pub(super) tls: SocketAddr,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: Sender,
    /// Ends with the connection: without an error when the server said goodbye.
    pub(super) driver: JoinHandle<hyper::Result<()>>,
}

/// The end of a connection that takes requests. Of HTTP/2, whose requests name their scheme, there may be clones.
#[derive(Debug)]
pub(super) enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(&'static str, http2::SendRequest<Empty<Bytes>>),
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A whole answer: its status, and whether the server ends the connection after it.
    Answered { status: u16, last: bool },
    /// The connection was closed before the request went out: nothing is lost, another connection will do.
    Unsent,
    /// The request went out and no whole answer came.
    Lost(hyper::Error),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

// === impl Connection ===

impl Connection {
    pub(super) async fn open(place: &Place, speech: Speech) -> io::Result<Self> {
        let stream: Box<dyn Stream> = if speech.tls {
            let protocol: &[u8] = if speech.http2 { b"h2" } else { b"http/1.1" };
            Box::new(tls::connect(place.tls, &place.hostname, protocol).await?)
        } else {
            let stream = TcpStream::connect(place.cleartext).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        };
        let stream = TokioIo::new(stream);
        if speech.http2 {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), stream)
                .await
                .map_err(io::Error::other)?;
            Ok(Self {
                sender: Sender::Http2(if speech.tls { "https" } else { "http" }, sender),
                driver: tokio::spawn(driver),
            })
        } else {
            let (sender, driver) = http1::handshake(stream).await.map_err(io::Error::other)?;
            Ok(Self {
                sender: Sender::Http1(sender),
                driver: tokio::spawn(driver),
            })
        }
    }
}

// === impl Sender ===

impl Sender {
    /// Sends a GET and reads the whole answer.
    pub(super) async fn send(&mut self, place: &Place, path: &str) -> Outcome {
        let sent = match self {
            Self::Http1(sender) => {
                if sender.ready().await.is_err() {
                    return Outcome::Unsent;
                }
                let request = Request::get(path).header(header::HOST, &place.hostname);
                let request = request.body(Empty::new());
                sender
                    .try_send_request(request.expect("a path of ours must be one"))
                    .await
            }
            Self::Http2(scheme, sender) => {
                if sender.ready().await.is_err() {
                    return Outcome::Unsent;
                }
                let url = format!("{scheme}://{}{path}", place.hostname);
                let request = Request::get(url).body(Empty::new());
                sender
                    .try_send_request(request.expect("a URL of ours must be one"))
                    .await
            }
        };
        received(sent).await
    }

    /// Another sender on the same connection, where the protocol has streams.
    pub(super) fn another(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(scheme, sender) => Some(Self::Http2(scheme, sender.clone())),
        }
    }
}

async fn received(
    sent: Result<Response<Incoming>, TrySendError<Request<Empty<Bytes>>>>,
) -> Outcome {
    let response = match sent {
        Ok(response) => response,
        Err(error) if error.message().is_some() => return Outcome::Unsent,
        Err(error) => {
            let error = error.into_error();
            return if is_refusal(&error) {
                Outcome::Unsent
            } else {
                Outcome::Lost(error)
            };
        }
    };
    let status = response.status().as_u16();
    let connection = response.headers().get(header::CONNECTION);
    let last = connection.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
    let mut body = response.into_body();
    while let Some(frame) = body.frame().await {
        if let Err(error) = frame {
            return Outcome::Lost(error);
        }
    }
    Outcome::Answered { status, last }
}

/// Whether a stream came after the last one that a GOAWAY promises to answer: it was not looked at, and has its place on
/// another connection (RFC 9113, section 6.8). The client gives the same error where it did not even send it.
fn is_refusal(error: &hyper::Error) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR)
    })
}
