//! The sockets that workers accept from: one for each worker and Listener, all of a Listener on one address.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::Arc,
};

use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry::Registry,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::limits;
use crate::{
    config::Bind,
    telemetry::health::{Health, Part},
};

/// Where the Listeners are bound. Shared by the workers, who come here only when Listeners come and go.
#[derive(Debug)]
pub(super) struct Bindings {
    binds: Vec<Bind>,
    workers: usize,
    health: Health,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ports: BTreeMap<u16, Port>,
    /// Workers that have tried to bind all that their first snapshot asked for.
    tried: BTreeSet<usize>,
}

#[derive(Debug, Default)]
struct Port {
    /// The address in use; it stays with the port, so that a Listener that comes back is found where it was.
    address: Option<SocketAddr>,
    workers: BTreeSet<usize>,
    failed: BTreeMap<usize, String>,
}

impl State {
    /// What could not be bound, and why; empty if everything was.
    fn failed(&self) -> String {
        let failed = self
            .ports
            .values()
            .filter_map(|at| at.failed.values().next());
        failed.cloned().collect::<Vec<_>>().join("; ")
    }
}

impl Port {
    /// Whether it was tried, and nobody has it.
    fn is_unbound(&self) -> bool {
        self.workers.is_empty() && !self.failed.is_empty()
    }
}

/// Counts at a scrape what is not bound.
#[derive(Debug)]
struct Unbound(Arc<Bindings>);

impl Collector for Unbound {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let count = u64::try_from(self.0.unbound().len()).unwrap_or(u64::MAX);
        let gauge = ConstGauge::new(count);
        let help = "Listeners whose port could not be bound: the log says why";
        let metric =
            encoder.encode_descriptor("listeners_unbound", help, None, gauge.metric_type())?;
        gauge.encode(metric)
    }
}

/// A Listener that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub(super) struct BindError {
    address: SocketAddr,
    #[source]
    source: io::Error,
}

impl BindError {
    /// What to do about it; Postern itself tries again all the time.
    fn next(&self, port: u16) -> String {
        let elsewhere = port.checked_add(10_000).unwrap_or(0);
        let flag =
            format!("serve the Listener elsewhere with `--bind {port}=127.0.0.1:{elsewhere}`");
        match self.source.kind() {
            io::ErrorKind::AddrInUse => format!(
                "Another program has port {}, perhaps another Postern (`ss -ltnp` tells): end it, or {flag}",
                self.address.port()
            ),
            io::ErrorKind::PermissionDenied => {
                format!(
                    "Not everybody may listen on port {}: {flag}",
                    self.address.port()
                )
            }
            _ => format!("Correct the address of `--bind`, or {flag}"),
        }
    }
}

impl Bindings {
    pub(super) fn new(binds: Vec<Bind>, workers: usize, health: Health) -> Arc<Self> {
        Arc::new(Self {
            binds,
            workers,
            health,
            state: Mutex::default(),
        })
    }

    pub(super) fn register(self: &Arc<Self>, registry: &mut Registry) {
        registry.register_collector(Box::new(Unbound(self.clone())));
    }

    /// The addresses in use, by the port of the Listener.
    pub(super) fn addresses(&self) -> BTreeMap<u16, SocketAddr> {
        let state = self.state.lock();
        let bound = state.ports.iter().filter(|(_, at)| !at.workers.is_empty());
        bound
            .filter_map(|(port, at)| Some((*port, at.address?)))
            .collect()
    }

    /// Binds a socket of its own for a worker.
    pub(super) fn bind(
        &self,
        worker: usize,
        port: u16,
        name: &str,
    ) -> Result<TcpListener, BindError> {
        let mut state = self.state.lock();
        let at = state.ports.entry(port).or_default();
        let first = at.workers.is_empty();
        let wanted = at.address.or_else(|| self.asked_for(port));
        match open(wanted, port, first) {
            Ok((listener, address)) => {
                at.failed.remove(&worker);
                at.address = Some(address);
                at.workers.insert(worker);
                if first {
                    tracing::info!(listener.name = name, listener.port = port, server.addr = %address, "Listening");
                }
                Ok(listener)
            }
            Err(error) => {
                let reason = format!("Listener {name}, port {port}: {error}: {}", error.source);
                if at.failed.is_empty() {
                    tracing::error!(
                        listener.name = name,
                        port,
                        reason,
                        next = error.next(port),
                        "A Listener cannot be bound"
                    );
                }
                self.health.waiting(Part::Listeners, reason.clone());
                at.failed.insert(worker, reason);
                Err(error)
            }
        }
    }

    /// A worker has closed its socket, or gives up binding it: the Listener is gone.
    pub(super) fn release(&self, worker: usize, port: u16) {
        let mut state = self.state.lock();
        if let Some(at) = state.ports.get_mut(&port) {
            at.workers.remove(&worker);
            at.failed.remove(&worker);
        }
    }

    /// A worker does not try any longer to bind Listeners that are gone.
    pub(super) fn forget(&self, worker: usize, is_wanted: impl Fn(u16) -> bool) {
        for (port, at) in &mut self.state.lock().ports {
            if !is_wanted(*port) {
                at.failed.remove(&worker);
            }
        }
    }

    /// A worker has tried to bind everything that it has not. What could not be bound keeps no replica from serving the rest; one
    /// that can serve nothing at all does not begin.
    pub(super) fn tried(&self, worker: usize) {
        let mut state = self.state.lock();
        state.tried.insert(worker);
        let failed = state.failed();
        let have_all_tried = state.tried.len() == self.workers;
        if failed.is_empty() {
            if have_all_tried {
                self.health.satisfied(Part::Listeners);
            }
            return;
        }
        self.health.degraded(Part::Listeners, failed);
        let serves = state.ports.values().any(|at| !at.workers.is_empty());
        if have_all_tried && serves {
            self.health.begun(Part::Listeners);
        }
    }

    /// The ports of Listeners that no worker could bind.
    pub(super) fn unbound(&self) -> BTreeSet<u16> {
        let state = self.state.lock();
        let unbound = state.ports.iter().filter(|(_, at)| at.is_unbound());
        unbound.map(|(port, _)| *port).collect()
    }

    fn asked_for(&self, port: u16) -> Option<SocketAddr> {
        let bind = self.binds.iter().find(|bind| bind.port == port)?;
        Some(bind.address)
    }
}

/// Binds to an address; without one to every address of both families, or of IPv4 where there is no IPv6.
fn open(
    address: Option<SocketAddr>,
    port: u16,
    first: bool,
) -> Result<(TcpListener, SocketAddr), BindError> {
    if let Some(address) = address {
        return open_at(address, first);
    }
    let any: SocketAddr = (Ipv6Addr::UNSPECIFIED, port).into();
    match open_at(any, first) {
        Err(BindError { source, .. }) if is_no_ipv6(&source) => {
            open_at((Ipv4Addr::UNSPECIFIED, port).into(), first)
        }
        result => result,
    }
}

/// The machine has no IPv6, or it is switched off.
fn is_no_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || matches!(error.kind(), io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(AF_NOT_SUPPORTED)
}

/// `EAFNOSUPPORT`, for which there is no kind.
const AF_NOT_SUPPORTED: i32 = if cfg!(target_os = "linux") { 97 } else { 47 };

fn open_at(address: SocketAddr, first: bool) -> Result<(TcpListener, SocketAddr), BindError> {
    let listen = || {
        // The kernel lets any process of the same user share a port like this. The first socket must find it free, or two
        // Posterns on one machine would take each other's connections.
        if first && address.port() != 0 {
            drop(socket(address, false)?);
        }
        let listener: TcpListener = socket(address, true)?.into();
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    listen().map_err(|source| BindError { address, source })
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if shared {
        socket.listen(limits::BACKLOG)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests;
