//! The sockets that workers accept from: one for each worker and Listener, all of a Listener on one address.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::Arc,
};

use parking_lot::Mutex;
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
    /// Workers that have bound all that their first snapshot asked for.
    settled: BTreeSet<usize>,
}

#[derive(Debug, Default)]
struct Port {
    /// The address in use; it stays with the port, so that a Listener that comes back is found where it was.
    address: Option<SocketAddr>,
    workers: BTreeSet<usize>,
    failed: BTreeMap<usize, String>,
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
                self.health.degraded(Part::Listeners, reason.clone());
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

    /// A worker has bound everything that there is.
    pub(super) fn settled(&self, worker: usize) {
        let mut state = self.state.lock();
        state.settled.insert(worker);
        let failed = state.ports.values().any(|at| !at.failed.is_empty());
        if state.settled.len() == self.workers && !failed {
            self.health.satisfied(Part::Listeners);
        }
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
mod tests {
    use super::*;

    fn bindings(bind: &str, workers: usize) -> Arc<Bindings> {
        Bindings::new(vec![bind.parse().unwrap()], workers, Health::new())
    }

    #[test]
    fn the_port_that_the_system_chose_is_shared_by_the_workers() {
        let bindings = bindings("80=127.0.0.1:0", 2);
        let first = bindings.bind(0, 80, "web").unwrap();
        let second = bindings.bind(1, 80, "web").unwrap();
        let address = first.local_addr().unwrap();
        assert_eq!(second.local_addr().unwrap(), address);
        assert_eq!(bindings.addresses(), BTreeMap::from([(80, address)]));
        bindings.release(0, 80);
        bindings.release(1, 80);
        assert!(bindings.addresses().is_empty());
    }

    #[test]
    fn a_port_of_another_process_is_not_shared_and_readiness_waits() {
        let other = bindings("80=127.0.0.1:0", 1);
        let theirs = other.bind(0, 80, "web").unwrap();
        let address = theirs.local_addr().unwrap();

        let bindings = bindings(&format!("80={address}"), 1);
        bindings.bind(0, 80, "web").unwrap_err();
        let readiness = bindings.health.readiness();
        assert!(
            readiness.missing[&Part::Listeners].contains("web, port 80"),
            "{readiness:?}"
        );

        drop(theirs);
        bindings.bind(0, 80, "web").unwrap();
        bindings.settled(0);
        let readiness = bindings.health.readiness();
        assert!(!readiness.missing.contains_key(&Part::Listeners));
        assert!(readiness.degraded.is_empty());
    }

    #[test]
    fn ready_when_every_worker_is() {
        let bindings = bindings("80=127.0.0.1:0", 2);
        let _first = bindings.bind(0, 80, "web").unwrap();
        bindings.settled(0);
        assert!(
            bindings
                .health
                .readiness()
                .missing
                .contains_key(&Part::Listeners)
        );
        bindings.settled(1);
        assert!(
            !bindings
                .health
                .readiness()
                .missing
                .contains_key(&Part::Listeners)
        );
    }
}
