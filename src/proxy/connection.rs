//! One connection of a client: what it speaks, and how long it may say nothing.

mod clock;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::Poll,
};

use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::{
    drain::Pass,
    exchange,
    forward::Upstreams,
    guard::{Guard, Watch},
    limits,
    peer::{Peer, PeerParts, Transport},
    prefixed::Prefixed,
    site::{Site, Snapshot},
    tcp, tls,
};
use crate::graph::ClientPolicy;
use clock::{Http1Clock, Http2Clock, Verdict};

/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: &[u8] = &[22];

/// No HTTP/1 method begins so: it is the preface of HTTP/2 (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI ";

/// Serves a connection to its end.
pub(super) async fn serve<U, IO>(site: Rc<Site<U>>, parts: PeerParts, io: IO, mut pass: Pass)
where
    U: Upstreams,
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let graph = site.graph();
    let Some(listener) = graph.listener(parts.port) else {
        return;
    };
    if !listener.http {
        return Box::pin(tcp::serve(site, parts, graph, io, pass)).await;
    }
    let mut io = Prefixed::new(io);
    let encrypted = listener.tls
        && (!listener.cleartext
            || begins_with(&mut io, TLS_HANDSHAKE, &mut pass).await == Some(true));
    // Boxed: what waits for its next HTTP/1 request, as most connections do, keeps no room for the others.
    if encrypted {
        if !listener.tcp.by_name.is_empty()
            && let Some(wanted) = Box::pin(tcp::wanted(&mut io, listener, &mut pass)).await
        {
            return Box::pin(tcp::run(site, parts, graph, wanted, io, pass)).await;
        }
        return Box::pin(serve_encrypted(site, parts, graph, io, pass)).await;
    }
    let streams = listener.http2_max_concurrent_streams;
    drop(graph);
    match begins_with(&mut io, HTTP2_PREFACE, &mut pass).await {
        Some(true) => {
            let transport = Transport::Cleartext;
            Box::pin(http2(site, parts, transport, io, pass, streams)).await;
        }
        Some(false) => http1(site, parts, Transport::Cleartext, io, pass).await,
        None => {}
    }
}

async fn serve_encrypted<U, IO>(
    site: Rc<Site<U>>,
    parts: PeerParts,
    graph: Rc<Snapshot>,
    io: Prefixed<IO>,
    mut pass: Pass,
) where
    U: Upstreams,
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Some(listener) = graph.listener(parts.port) else {
        return;
    };
    let handshake = tls::handshake(io, listener, &site.certificates);
    let handshake = tokio::select! {
        biased;
        ended = Box::pin(handshake) => ended,
        () = pass.drained(limits::DRAIN_BEGUN) => return,
    };
    let encrypted = match handshake {
        Ok(encrypted) => encrypted,
        Err(error) => {
            parts.counters.handshakes_failed.add(1);
            let error = &error as &dyn std::error::Error;
            tracing::debug!(client.addr = %parts.client, error, "TLS handshake failed");
            return;
        }
    };
    let streams = listener.http2_max_concurrent_streams;
    drop(graph);
    let transport = Transport::Tls {
        sni: encrypted.sni,
        shown: encrypted.shown,
    };
    let stream = encrypted.stream;
    if encrypted.is_http2 {
        Box::pin(http2(site, parts, transport, stream, pass, streams)).await;
    } else {
        Box::pin(http1(site, parts, transport, stream, pass)).await;
    }
}

/// None when the client does not say in time what it speaks.
async fn begins_with<IO>(io: &mut Prefixed<IO>, expected: &[u8], pass: &mut Pass) -> Option<bool>
where
    IO: AsyncRead + Unpin,
{
    tokio::select! {
        biased;
        known = timeout(limits::HEAD, io.begins_with(expected)) => known.ok()?.ok(),
        () = pass.drained(limits::DRAIN_IDLE) => None,
    }
}

async fn http1<U, IO>(
    site: Rc<Site<U>>,
    parts: PeerParts,
    transport: Transport,
    io: IO,
    mut pass: Pass,
) where
    U: Upstreams,
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let watch = Arc::new(Watch::default());
    let peer = Peer::new(parts, transport, Some(watch.clone()));
    let graph = site.graph();
    let builder = http1_builder(&graph.clients);
    drop(graph);
    let io = TokioIo::new(Guard::new(io, watch.clone()));
    let service = {
        let peer = peer.clone();
        service_fn(move |request| exchange::serve(site.clone(), peer.clone(), request))
    };
    let mut connection = pin!(builder.serve_connection(io, service).with_upgrades());
    let mut clock = Http1Clock::new(&peer);
    let mut closing = false;
    let result = poll_fn(|context| {
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            if pass.is_closing(context) {
                clock.drain(&peer);
            }
            match clock.poll(context, &peer, &watch) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Verdict::Cut) => return Poll::Ready(Ok(())),
                Poll::Ready(Verdict::Finish) if closing => {}
                Poll::Ready(Verdict::Finish) => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    });
    if let Err(error) = result.await {
        let error = &error as &dyn std::error::Error;
        tracing::debug!(client.addr = %peer.client, error, "A connection ended with an error");
    }
}

fn http1_builder(clients: &ClientPolicy) -> http1::Builder {
    let most = clients.max_head.and_then(|most| usize::try_from(most).ok());
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        .title_case_headers(clients.title_case)
        // Held back, the last response is lost when the client has sent more and the connection closes.
        .pipeline_flush(false)
        .writev(false)
        .max_buf_size(limits::HTTP1_BUFFER)
        .max_header_size(most.unwrap_or(limits::HEAD_BYTES))
        // The connection's own clock does what this would do with a timer for each request.
        .header_read_timeout(None);
    builder
}

async fn http2<U, IO>(
    site: Rc<Site<U>>,
    parts: PeerParts,
    transport: Transport,
    io: IO,
    mut pass: Pass,
    streams: u32,
) where
    U: Upstreams,
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let peer = Peer::new(parts, transport, None);
    let graph = site.graph();
    let builder = http2_builder(streams, &graph.clients);
    drop(graph);
    let service = {
        let peer = peer.clone();
        service_fn(move |request| exchange::serve(site.clone(), peer.clone(), request))
    };
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut clock = Http2Clock::new(&peer);
    let mut closing = false;
    let result = poll_fn(|context| {
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            if pass.is_closing(context) {
                peer.close();
            }
            let is_done = closing || !peer.is_closing();
            match clock.poll(context, &peer) {
                Poll::Ready(Verdict::Cut) => return Poll::Ready(Ok(())),
                Poll::Pending if is_done => return Poll::Pending,
                Poll::Ready(Verdict::Finish) if closing => {}
                Poll::Ready(Verdict::Finish) | Poll::Pending => {
                    closing = true;
                    clock.closing();
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    });
    if let Err(error) = result.await {
        let error = &error as &dyn std::error::Error;
        tracing::debug!(client.addr = %peer.client, error, "A connection ended with an error");
    }
}

fn http2_builder(streams: u32, clients: &ClientPolicy) -> http2::Builder<Spawn> {
    let most = u32::try_from(limits::HEAD_BYTES).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(Spawn);
    builder
        .timer(TokioTimer::new())
        // For WebSocket (RFC 8441).
        .enable_connect_protocol()
        .max_concurrent_streams(streams)
        .initial_stream_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_send_buf_size(limits::STREAM_SEND_BUFFER)
        .max_header_list_size(clients.max_head.unwrap_or(most))
        .max_pending_accept_reset_streams(limits::PENDING_RESETS)
        .max_local_error_reset_streams(limits::LOCAL_RESETS)
        .keep_alive_interval(limits::PING)
        .keep_alive_timeout(limits::PING);
    builder
}

/// Streams are tasks of the connection's own thread.
#[derive(Clone, Copy, Debug)]
struct Spawn;

impl<F: Future + 'static> hyper::rt::Executor<F> for Spawn {
    fn execute(&self, stream: F) {
        tokio::task::spawn_local(async move {
            stream.await;
        });
    }
}
