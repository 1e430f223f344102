//! Connections that are not HTTP: the TCPMapping that takes one, and its bytes both ways.
//!
//! ```text
//! Listener ─ TCP ──────────────────────────────┐
//!          ─ TLS ─> hello: the name, bounded ──┴─> TcpRoute ─> member ─┬ TLS ends here ─┐
//!                     └ none has it: alert, or HTTP                    └────────────────┴─> upstream ─> relay
//! ```

mod end;
mod hello;
pub(super) mod relay;

use std::{cell::Cell, rc::Rc, sync::Arc};

use jiff::Timestamp;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    access_log::{self, Line},
    drain::Pass,
    forward::Upstreams,
    peer::PeerParts,
    prefixed::Prefixed,
    site::{Site, Snapshot},
    tls,
    upstream::Reached,
};
use crate::graph::{ClientTls, Listener, TcpAction, TcpForward, TcpMember, TcpRoute};
pub(super) use end::End;

/// A connection, and what its handshake asked for.
struct Incoming<'c, U, IO> {
    site: &'c Site<U>,
    graph: Rc<Snapshot>,
    io: Prefixed<IO>,
    name: Option<Box<str>>,
}

/// The route for a handshake on a Listener that serves HTTP, too; none when HTTP has it. Nothing of the handshake is lost.
pub(super) async fn wanted<IO>(
    io: &mut Prefixed<IO>,
    listener: &Listener,
    pass: &mut Pass,
) -> Option<(Arc<TcpRoute>, Option<Box<str>>)>
where
    IO: AsyncRead + Unpin,
{
    // What is no handshake is refused where handshakes are made.
    let name = hello::name(io, pass).await.ok()?;
    let route = listener.tcp.named(name.as_deref())?;
    Some((route.clone(), name))
}

/// Serves a connection of a Listener that serves no HTTP.
pub(super) async fn serve<U, IO>(
    site: Rc<Site<U>>,
    parts: PeerParts,
    graph: Rc<Snapshot>,
    io: IO,
    mut pass: Pass,
) where
    U: Upstreams,
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let Some(listener) = graph.listener(parts.port).cloned() else {
        return;
    };
    let mut io = Prefixed::new(io);
    let (mut route, mut name) = (listener.tcp.any.as_ref(), None);
    if listener.tls {
        match hello::name(&mut io, &mut pass).await {
            Ok(found) => name = found,
            Err(error) => {
                parts.counters.handshakes_failed.add(1);
                Record::new(parts, None, true).end = error;
                return;
            }
        }
        route = listener.tcp.route(name.as_deref());
    }
    if let Some(route) = route.cloned() {
        return run(site, parts, graph, (route, name), io, pass).await;
    }
    let mut record = Record::new(parts, name, listener.tls);
    record.end = End::NoRoute;
    if listener.tls {
        record.parts.counters.handshakes_failed.add(1);
        tls::refuse_name(io).await;
    }
}

/// Sends a connection on as its route says, to its end.
pub(super) async fn run<U, IO>(
    site: Rc<Site<U>>,
    parts: PeerParts,
    graph: Rc<Snapshot>,
    (route, name): (Arc<TcpRoute>, Option<Box<str>>),
    io: Prefixed<IO>,
    // Held until the end: a worker that drains waits for it.
    _pass: Pass,
) where
    U: Upstreams,
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let is_tls = graph.listener(parts.port).is_some_and(|at| at.tls);
    let mut record = Record::new(parts, name.clone(), is_tls);
    let _running = Running::new(&record.parts.running);
    let member = route.member(fastrand::u64(..));
    let Some(TcpMember { id, action, .. }) = member else {
        record.end = End::RouteFailed;
        return;
    };
    record.route = Some(id.0.clone());
    let TcpAction::Forward(forward) = action else {
        record.end = End::RouteFailed;
        return;
    };
    record.upstream = Some(forward.upstream.id.0.clone());
    let incoming = Incoming {
        site: &site,
        graph,
        io,
        name,
    };
    record.end = match route.client_tls {
        ClientTls::Untouched => incoming.forward(forward, &record).await,
        ClientTls::Terminate => incoming.terminate(&route, forward, &record).await,
    };
}

impl<U, IO> Incoming<'_, U, IO>
where
    U: Upstreams,
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
{
    /// With every byte as it comes.
    async fn forward(self, forward: &TcpForward, record: &Record) -> End {
        let Self {
            site, graph, io, ..
        } = self;
        let opened = site
            .upstreams
            .open(&forward.upstream, &graph.dial, &record.reached)
            .await;
        // A graph is large, and connections live long.
        drop(graph);
        match opened {
            Ok(upstream) => relay::join(io, upstream, forward.idle_timeout, record).await,
            Err(error) => error.into(),
        }
    }

    /// With what is in the TLS of the client. An upstream is dialled for those who have gone through with the handshake.
    async fn terminate(self, route: &TcpRoute, forward: &TcpForward, record: &Record) -> End {
        let Self {
            site,
            graph,
            io,
            name,
        } = self;
        let Some(listener) = graph.listener(record.parts.port).cloned() else {
            return End::NoRoute;
        };
        let certificates = &site.certificates;
        let handshake = tls::handshake_for_tcp(io, &listener, route, name.as_deref(), certificates);
        let client = match Box::pin(handshake).await {
            Ok(client) => client,
            Err(error) => {
                record.parts.counters.handshakes_failed.add(1);
                let error = &error as &dyn std::error::Error;
                tracing::debug!(client.addr = %record.parts.client, error, "TLS handshake failed");
                return End::HandshakeFailed;
            }
        };
        let opened = site
            .upstreams
            .open(&forward.upstream, &graph.dial, &record.reached)
            .await;
        drop((graph, listener));
        match opened {
            Ok(upstream) => relay::join(client, upstream, forward.idle_timeout, record).await,
            Err(error) => error.into(),
        }
    }
}

/// Counts as something that a drain waits for.
struct Running(Rc<Cell<u64>>);

impl Running {
    fn new(running: &Rc<Cell<u64>>) -> Self {
        running.set(running.get() + 1);
        Self(running.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What is kept of a connection until it has ended, for the metrics and the access log.
struct Record {
    parts: PeerParts,
    name: Option<Box<str>>,
    is_tls: bool,
    started: Instant,
    received: Cell<u64>,
    sent: Cell<u64>,
    route: Option<Arc<str>>,
    upstream: Option<Arc<str>>,
    reached: Reached,
    /// Cut off by a drain, until something else is known.
    end: End,
}

impl Record {
    fn new(parts: PeerParts, name: Option<Box<str>>, is_tls: bool) -> Self {
        parts.counters.tcp.open.add(1);
        Self {
            parts,
            name,
            is_tls,
            started: Instant::now(),
            received: Cell::default(),
            sent: Cell::default(),
            route: None,
            upstream: None,
            reached: Reached::default(),
            end: End::Drained,
        }
    }
}

impl relay::Meter for Record {
    fn received(&self, bytes: u64) {
        self.received.set(self.received.get() + bytes);
        self.parts.counters.tcp.received.add(bytes);
    }

    fn sent(&self, bytes: u64) {
        self.sent.set(self.sent.get() + bytes);
        self.parts.counters.tcp.sent.add(bytes);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let counters = &self.parts.counters.tcp;
        counters.open.subtract(1);
        counters.ended(self.end);
        if let Some(log) = &self.parts.log {
            log.write(&Line {
                time: Timestamp::now(),
                method: "TCP",
                authority: self.name.as_deref().unwrap_or_default(),
                path: "",
                protocol: if self.is_tls { "TLS" } else { "TCP" },
                status: 0,
                reason: self.end.as_str(),
                duration_ms: access_log::milliseconds(self.started.elapsed()),
                bytes_in: self.received.get(),
                bytes_out: self.sent.get(),
                route: self.route.as_deref(),
                upstream: self.upstream.as_deref(),
                upstream_address: self.reached.get(),
                client: self.parts.client,
                listener: &self.parts.listener,
                request_id: "",
            });
        }
    }
}

#[cfg(test)]
mod tests;
