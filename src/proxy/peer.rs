//! A connection of a client, as its requests see it.

use std::{cell::Cell, net::SocketAddr, rc::Rc, sync::Arc};

use http::HeaderValue;
use tokio::time::Instant;

use super::{
    access_log::Logger, alarm::Alarm, client_certificate::Shown, guard::Watch, limits,
    metrics::Counters, tcp::relay,
};

/// One connection. Its requests share it; all of them run on one thread.
#[derive(Debug)]
pub(super) struct Peer {
    /// The port of the Listener, as the graph names it.
    pub(super) port: u16,
    pub(super) listener: Arc<str>,
    pub(super) client: SocketAddr,
    /// The IP address of the client, as an upstream is told it.
    pub(super) address: HeaderValue,
    pub(super) local: SocketAddr,
    pub(super) transport: Transport,
    /// What the bytes of an HTTP/1 connection were seen to be.
    pub(super) watch: Option<Arc<Watch>>,
    /// The timer of an HTTP/1 connection, whose requests follow each other; each HTTP/2 stream has its own.
    pub(super) alarm: Option<Rc<Alarm>>,
    pub(super) counters: Arc<Counters>,
    pub(super) log: Option<Logger>,
    /// Requests of the whole worker that run.
    pub(super) running: Rc<Cell<u64>>,
    pub(super) started: Instant,
    activity: Activity,
}

#[derive(Debug)]
struct Activity {
    requests: Cell<u64>,
    running: Cell<u64>,
    idle_since: Cell<Instant>,
    progress: Cell<u64>,
    closing: Cell<bool>,
}

/// What is under the HTTP of a connection.
#[derive(Debug)]
pub(super) enum Transport {
    Cleartext,
    Tls {
        /// As the client named it in the handshake: lower case, without a trailing dot.
        sni: Option<Box<str>>,
        /// None when nothing was asked for.
        shown: Option<Box<Shown>>,
    },
}

impl Transport {
    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls { .. })
    }

    pub(super) fn sni(&self) -> Option<&str> {
        match self {
            Self::Cleartext => None,
            Self::Tls { sni, .. } => sni.as_deref(),
        }
    }

    /// What the client has shown of itself.
    pub(super) fn shown(&self) -> Option<&Shown> {
        match self {
            Self::Cleartext => None,
            Self::Tls { shown, .. } => shown.as_deref(),
        }
    }

    /// Whether the client has shown a certificate that was asked for.
    pub(super) fn has_certificate(&self) -> bool {
        self.shown().is_some_and(Shown::has_certificate)
    }
}

/// What a [`Peer`] is made of.
#[derive(Debug)]
pub(super) struct PeerParts {
    pub(super) port: u16,
    pub(super) listener: Arc<str>,
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) counters: Arc<Counters>,
    pub(super) log: Option<Logger>,
    pub(super) running: Rc<Cell<u64>>,
}

impl Peer {
    pub(super) fn new(
        parts: PeerParts,
        transport: Transport,
        watch: Option<Arc<Watch>>,
    ) -> Rc<Self> {
        let now = Instant::now();
        let alarm = watch.is_some().then(Rc::default);
        Rc::new(Self {
            port: parts.port,
            listener: parts.listener,
            client: parts.client,
            address: address(parts.client),
            local: parts.local,
            transport,
            watch,
            alarm,
            counters: parts.counters,
            log: parts.log,
            running: parts.running,
            started: now,
            activity: Activity {
                requests: Cell::new(0),
                running: Cell::new(0),
                idle_since: Cell::new(now),
                progress: Cell::new(0),
                closing: Cell::new(false),
            },
        })
    }

    pub(super) fn is_http1(&self) -> bool {
        self.watch.is_some()
    }

    /// The number of the request that is next, from 1.
    pub(super) fn next_request(&self) -> u64 {
        let number = self.activity.requests.get() + 1;
        self.activity.requests.set(number);
        number
    }

    pub(super) fn request_began(&self) {
        self.activity.running.set(self.activity.running.get() + 1);
        self.running.set(self.running.get() + 1);
    }

    pub(super) fn request_ended(&self, now: Instant) {
        self.activity.running.set(self.activity.running.get() - 1);
        self.running.set(self.running.get() - 1);
        self.activity.idle_since.set(now);
        self.progressed();
    }

    pub(super) fn progressed(&self) {
        let progress = self.activity.progress.get().wrapping_add(1);
        self.activity.progress.set(progress);
    }

    /// A number that changes whenever a byte of a body goes through.
    pub(super) fn progress(&self) -> u64 {
        self.activity.progress.get()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.activity.running.get() > 0
    }

    /// Whether there has been a request.
    pub(super) fn has_served(&self) -> bool {
        self.activity.requests.get() > 0
    }

    pub(super) fn idle_since(&self) -> Instant {
        self.activity.idle_since.get()
    }

    /// The connection takes no more requests than run.
    pub(super) fn close(&self) {
        self.activity.closing.set(true);
    }

    /// Whether the next response is the last.
    pub(super) fn is_closing(&self) -> bool {
        self.activity.closing.get()
            || self.activity.requests.get() >= limits::REQUESTS_PER_CONNECTION
    }
}

fn address(client: SocketAddr) -> HeaderValue {
    let text = client.ip().to_canonical().to_string();
    HeaderValue::try_from(text).expect("an address must be a header value")
}
/// What goes through a tunnel is not counted: its connection is only known not to be idle.
impl relay::Meter for Peer {
    fn received(&self, _: u64) {
        self.progressed();
    }

    fn sent(&self, _: u64) {
        self.progressed();
    }
}
