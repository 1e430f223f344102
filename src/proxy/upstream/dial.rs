//! Opening a connection: from a target to addresses, from those to one that answers, and TLS over it.

use std::{
    cell::Cell,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::ClientConfig;
use smallvec::SmallVec;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::{
    error::UpstreamError,
    shared::Shared,
    stream::Transport,
    tls::{self, TlsError},
};
use crate::graph::{AddressSource, DialPolicy, Target, Upstream, UpstreamTls, upstream::Keepalive};

/// Addresses that are tried for one connection.
const MAX_ATTEMPTS: usize = 3;

pub(super) type Candidates = SmallVec<[SocketAddr; MAX_ATTEMPTS]>;

/// Where a connection is wanted to.
pub(super) struct Whither<'u> {
    pub(super) upstream: &'u Upstream,
    pub(super) policy: &'u DialPolicy,
    /// Which of the addresses comes first.
    pub(super) turn: usize,
    /// These addresses of the target, in this order; none for all of them in turn.
    pub(super) candidates: Option<Candidates>,
}

/// An open connection, and whereto.
#[derive(Debug)]
pub(super) struct Dialled {
    pub(super) transport: Transport,
    pub(super) address: SocketAddr,
}

/// What the connections of one upstream have in common.
#[derive(Default)]
pub(super) struct Dialler {
    /// The configuration that was last used, and for which settings.
    tls: Cell<Option<(Arc<UpstreamTls>, Arc<ClientConfig>)>>,
}

impl Dialler {
    /// Connects to the address whose turn it is; to another address of the target if that one does not answer. `failed` is told
    /// of each that did not.
    pub(super) async fn dial(
        &self,
        shared: &Shared,
        whither: Whither<'_>,
        failed: &dyn Fn(SocketAddr),
    ) -> Result<Dialled, UpstreamError> {
        let Whither {
            upstream,
            policy,
            turn,
            candidates: chosen,
        } = whither;
        let trying = Cell::new(None);
        let limit = upstream.connect_timeout;
        let deadline = Instant::now() + limit;
        let connecting = async {
            let candidates = match chosen {
                Some(chosen) => permitted(chosen.into_iter(), policy, AddressSource::Graph)?,
                None => candidates(shared, &upstream.target, policy, turn).await?,
            };
            let attempts = Attempts {
                trying: &trying,
                failed,
            };
            let (tcp, address) = connect(&candidates, upstream, deadline, attempts).await?;
            let transport = match &upstream.tls {
                None => Transport::Plain(tcp),
                Some(settings) => {
                    let config = self.tls(shared, settings, upstream).await;
                    let config = config.map_err(UpstreamError::Tls)?;
                    let connected = tls::connect(config, settings, upstream.protocol, tcp).await;
                    Transport::Tls(Box::new(connected.map_err(UpstreamError::Tls)?))
                }
            };
            Ok(Dialled { transport, address })
        };
        let dialled = timeout_at(deadline, connecting)
            .await
            .unwrap_or(Err(UpstreamError::ConnectTimeout(limit)));
        if let (Err(_), Some(address)) = (&dialled, trying.get()) {
            failed(address);
        }
        dialled
    }

    async fn tls(
        &self,
        shared: &Shared,
        settings: &Arc<UpstreamTls>,
        upstream: &Upstream,
    ) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some((of, config)) = self.tls.take()
            && (Arc::ptr_eq(&of, settings) || of == *settings)
        {
            self.tls.set(Some((of, config.clone())));
            return Ok(config);
        }
        let config = shared.tls.get(settings, upstream.protocol).await?;
        self.tls.set(Some((settings.clone(), config.clone())));
        Ok(config)
    }
}

/// The first few addresses that may be dialled, in the order in which they are to be tried.
async fn candidates(
    shared: &Shared,
    target: &Target,
    policy: &DialPolicy,
    turn: usize,
) -> Result<Candidates, UpstreamError> {
    match target {
        Target::Addresses(addresses) => {
            permitted(in_turn(addresses, turn), policy, AddressSource::Graph)
        }
        Target::Dns { name, port } => {
            let addresses = match name.parse::<IpAddr>() {
                Ok(literal) => Arc::new([literal]),
                Err(_) => shared
                    .resolver
                    .addresses(name)
                    .await
                    .map_err(UpstreamError::Dns)?,
            };
            let addresses: SmallVec<[_; 8]> = addresses
                .iter()
                .map(|address| SocketAddr::new(*address, *port))
                .collect();
            permitted(in_turn(&addresses, turn), policy, AddressSource::Dns)
        }
        // Our own server, which no resource can name.
        Target::Echo { address, .. } => Ok(SmallVec::from_slice(&[*address])),
    }
}

/// All addresses, beginning with the one whose turn it is among those of the first one's family. The other family comes last:
/// a mesh that intercepts one family only must see all there is to see.
fn in_turn(addresses: &[SocketAddr], turn: usize) -> impl Iterator<Item = SocketAddr> {
    let primary = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let of_family = move |primary: bool| {
        let family = addresses.iter().copied();
        family.filter(move |address| address.is_ipv4() == primary)
    };
    let count = of_family(primary).count();
    let first = turn.checked_rem(count).unwrap_or(0);
    of_family(primary)
        .skip(first)
        .chain(of_family(primary).take(first))
        .chain(of_family(!primary))
}

/// The first few that may be dialled.
fn permitted(
    addresses: impl Iterator<Item = SocketAddr>,
    policy: &DialPolicy,
    source: AddressSource,
) -> Result<Candidates, UpstreamError> {
    let mut refused = None;
    let permitted: Candidates = addresses
        .filter(|address| {
            let permitted = policy.permits(address.ip(), source);
            if !permitted {
                refused.get_or_insert(address.ip());
            }
            permitted
        })
        .take(MAX_ATTEMPTS)
        .collect();
    match refused {
        _ if !permitted.is_empty() => Ok(permitted),
        Some(address) => Err(UpstreamError::DialRefused(address)),
        None => Err(UpstreamError::NoAddress),
    }
}

/// Whom the attempts at a connection are told.
#[derive(Clone, Copy)]
struct Attempts<'a> {
    /// What is connected to, or being connected to.
    trying: &'a Cell<Option<SocketAddr>>,
    failed: &'a dyn Fn(SocketAddr),
}

/// Tries one after the other; each has an equal share of the time that is left.
async fn connect(
    candidates: &[SocketAddr],
    upstream: &Upstream,
    deadline: Instant,
    attempts: Attempts<'_>,
) -> Result<(TcpStream, SocketAddr), UpstreamError> {
    let mut last = UpstreamError::NoAddress;
    for (tried, address) in candidates.iter().enumerate() {
        let left = u32::try_from(candidates.len() - tried).unwrap_or(1);
        let share = deadline.saturating_duration_since(Instant::now()) / left;
        attempts.trying.set(Some(*address));
        match timeout(share, open(*address, upstream.keepalive)).await {
            Ok(Ok(tcp)) => return Ok((tcp, *address)),
            Ok(Err(error)) => last = UpstreamError::Connect(error),
            Err(_) => last = UpstreamError::ConnectTimeout(upstream.connect_timeout),
        }
        attempts.trying.set(None);
        (attempts.failed)(*address);
    }
    Err(last)
}

async fn open(address: SocketAddr, keepalive: Option<Keepalive>) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(address).await?;
    // A head goes out in one write, and must not wait for the acknowledgement of the one before it.
    tcp.set_nodelay(true)?;
    if let Some(keepalive) = keepalive {
        SockRef::from(&tcp).set_tcp_keepalive(&probes(keepalive))?;
    }
    Ok(tcp)
}

fn probes(keepalive: Keepalive) -> TcpKeepalive {
    let seconds = |count: u32| Duration::from_secs(count.into());
    let mut probes = TcpKeepalive::new();
    if let Some(idle) = keepalive.idle {
        probes = probes.with_time(seconds(idle));
    }
    if let Some(interval) = keepalive.interval {
        probes = probes.with_interval(seconds(interval));
    }
    if let Some(count) = keepalive.probes {
        probes = probes.with_retries(count);
    }
    probes
}

#[cfg(test)]
mod tests;
