//! An endpoint that gives everything back: bytes after an upgrade, messages of gRPC streams. It says its name first.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use http::Response;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A request head is shorter.
const MAX_HEAD: usize = 16 * 1024;

/// Where an endpoint listens, as long as the runtime lives.
#[derive(Debug)]
pub(super) struct Endpoint {
    tunnels: SocketAddr,
    streams: SocketAddr,
}

impl Endpoint {
    pub(super) async fn start(name: &'static str) -> Result<Self> {
        let (tunnels, streams) = (listen().await?, listen().await?);
        let endpoint = Self {
            tunnels: tunnels.local_addr()?,
            streams: streams.local_addr()?,
        };
        tokio::spawn(accept(tunnels, move |stream| tunnel(stream, name)));
        tokio::spawn(accept(streams, move |stream| connection(stream, name)));
        Ok(endpoint)
    }

    /// The Services have this endpoint and no other.
    pub(super) fn slices(&self) -> String {
        let slice = |service: &str, at: SocketAddr| {
            format!(
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {service}-1, labels: \
                 {{kubernetes.io/service-name: {service}}}}}\naddressType: IPv4\nports: [{{name: http, port: {}}}]\nendpoints: \
                 [{{addresses: [{}], conditions: {{ready: true}}}}]\n",
                at.port(),
                at.ip()
            )
        };
        slice("tunnels", self.tunnels) + &slice("streams", self.streams)
    }
}

async fn listen() -> Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    listener.context("binding an endpoint")
}

async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        // What goes wrong here, its client sees.
        tokio::spawn(serve(stream));
    }
}

async fn tunnel(mut stream: TcpStream, name: &str) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(head.len() < MAX_HEAD, "the head has no end");
        head.push(stream.read_u8().await?);
    }
    let answer =
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(answer.as_bytes()).await?;
    stream.write_all(name.as_bytes()).await?;
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await?;
    Ok(to.shutdown().await?)
}

async fn connection(stream: TcpStream, name: &'static str) -> Result<()> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        tokio::spawn(echo(request.into_body(), respond, name));
    }
    Ok(())
}

async fn echo(
    mut body: h2::RecvStream,
    mut respond: h2::server::SendResponse<bytes::Bytes>,
    name: &str,
) -> Result<()> {
    let head = Response::builder()
        .header("content-type", "application/grpc")
        .header("x-endpoint", name);
    let mut answer = respond.send_response(head.body(())?, false)?;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        answer.send_data(data, false)?;
    }
    let trailers = [("grpc-status", "0")].map(|(name, value)| {
        (
            http::HeaderName::from_static(name),
            http::HeaderValue::from_static(value),
        )
    });
    Ok(answer.send_trailers(trailers.into_iter().collect())?)
}
