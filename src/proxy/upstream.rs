//! The connections of one worker to its upstreams.
//!
//! ```text
//! Pools ── one of each worker, on its thread, without locks
//!   └ Pool ── of each UpstreamId
//!       ├ Dialler: target ─> addresses (DNS) ─> dial policy ─> TCP ─> TLS
//!       └ Endpoint ── of each address, as the balance chooses; one for all addresses of a name
//!           ├ idle HTTP/1 connections <────────────────┐
//!           │     └ request ─> response head ─> ResponseBody: at its end
//!           └ HTTP/2 connections, with streams
//! Shared ── one of the process: TLS configurations, DNS on a thread of its own, counters, loads and health of endpoints
//! ```
//!
//! No connection is opened before there is a request for it. Bounds: 256 idle connections of a worker to one endpoint, 2048 to
//! all; 4 HTTP/2 connections of a worker to one endpoint, with 100 streams each; 64 KiB for the head of a response, 100 fields in
//! it; 64 KiB of a request for its replay, 4 KiB of them while idle; 1024 names and as many TLS configurations. How many
//! requests are sent at a time is bounded by who receives them.

mod body;
mod breaker;
mod counters;
mod dial;
mod dns;
mod endpoint;
mod error;
mod health;
mod http1;
mod http2;
mod kept;
mod load;
mod pool;
mod request;
mod retries;
mod shared;
mod stream;
mod tape;
mod tcp;
mod tls;
mod worker;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    error::Error,
    fmt,
    future::Future,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use foldhash::fast::RandomState;
use futures_util::future::Either;
use http::{Request, Response};
use http_body::Body;
use hyper::upgrade::OnUpgrade;
use prometheus_client::registry::Registry;
use tokio::{
    task::spawn_local,
    time::{Instant, sleep},
};

use crate::graph::{DialPolicy, Graph, Upstream, UpstreamId, UpstreamProtocol, breaker::Priority};

pub use body::ResponseBody;
pub use dns::DnsError;
pub use error::UpstreamError;
pub use health::{Trial, watch as watch_health};
pub use retries::{Retries, Retrying};
pub use shared::Shared;
pub use tcp::Opened;
pub use tls::TlsError;

use body::Held;
use pool::{Aim, Order, Pool};
use worker::Worker;

/// How often idle connections are looked through: they outlive their timeout by this at most.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);

/// What the body of a request must be. Its default is the empty body.
pub trait RequestBody:
    Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Default + Unpin + 'static
{
}

impl<B> RequestBody for B where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Default + Unpin + 'static
{
}

/// The connections of one worker. Lives on the local runtime of a single thread.
pub struct Pools<B>(Rc<Inner<B>>);

struct Inner<B> {
    shared: Arc<Shared>,
    worker: Rc<Worker>,
    pools: RefCell<HashMap<UpstreamId, Rc<Pool<B>>, RandomState>>,
    /// Whether the task that looks for idle connections runs.
    tidying: Cell<bool>,
}

/// How a request is sent.
#[derive(Clone, Copy, Debug)]
pub struct Way<'o> {
    pub upstream: &'o Arc<Upstream>,
    pub dial: &'o DialPolicy,
    /// Whether the request is idempotent and has no body: it may go out again when a connection that was open turns out dead.
    pub replay: bool,
    /// Requests with the same number go to the same endpoint, where the upstream is balanced so.
    pub affinity: Option<u64>,
    /// Which limits of the upstream it counts for.
    pub priority: Priority,
    /// Where somebody wants to know the address.
    pub reached: Option<&'o Reached>,
    /// Who is to blame for what becomes of it.
    pub trial: &'o Trial,
}

/// The address that a request went to; when no connection came about, the one that was tried last.
pub type Reached = Cell<Option<SocketAddr>>;

/// Sends a request that counts as long as it is under way, if there are not too many, and judges who had it.
async fn send_counted<B: RequestBody>(
    order: Order<'_, B>,
    mut held: Held,
    request: Request<B>,
    replay: bool,
) -> Result<Response<ResponseBody>, UpstreamError> {
    if let Some(lane) = &order.lane {
        let request = lane.request();
        if request.is_none() {
            return Err(order.too_much());
        }
        held.request = request;
    }
    let trial = order.trial;
    let sent = match order.upstream.protocol {
        UpstreamProtocol::Http1 | UpstreamProtocol::Tcp => {
            http1::send(order, request, replay).await
        }
        UpstreamProtocol::Http2 => http2::send(order, request, replay).await,
    };
    trial.end(&sent);
    Ok(sent?.map(|body| body.holding(held)))
}

/// The tunnel that a request with `upgrade` becomes after a response of 101.
pub fn upgraded(response: &mut Response<ResponseBody>) -> OnUpgrade {
    hyper::upgrade::on(response)
}

// === impl Pools ===

impl<B: RequestBody> Pools<B> {
    pub fn new(shared: Arc<Shared>) -> Self {
        let worker = Rc::new(Worker::new(shared.workers.join()));
        Self(Rc::new(Inner {
            shared,
            worker,
            pools: RefCell::default(),
            tidying: Cell::new(false),
        }))
    }

    /// Sends a request and waits for the head of the response. The URI is path and query, the Host header is set. On an idle HTTP/1
    /// connection the request is under way before the future is first polled, which therefore does not hold it.
    ///
    /// Dropped while it waits, it closes the connection, or resets the stream.
    pub fn send<'o>(
        &'o self,
        way: Way<'o>,
        mut request: Request<B>,
    ) -> impl Future<Output = Result<Response<ResponseBody>, UpstreamError>> + use<'o, B> {
        let Way {
            upstream,
            dial,
            replay,
            affinity,
            priority,
            reached,
            trial,
        } = way;
        request::name_stand_in(&mut request, &upstream.target);
        let pool = self.pool(&upstream.id);
        pool.set_idle_timeout(upstream.idle_timeout);
        let Aim {
            endpoint,
            turn,
            counted,
            seat,
        } = pool.aim(&self.0.shared, upstream, affinity);
        let is_judged = seat.is_some();
        trial.is_of(seat);
        let lane = pool.lane(&self.0.shared, upstream, priority);
        let is_counted = is_judged || counted.is_some() || lane.is_some();
        let order = Order {
            shared: &self.0.shared,
            pool,
            endpoint,
            turn,
            upstream,
            policy: dial,
            lane,
            reached,
            trial,
        };
        // Boxed, all but the most common, so that the others do not take room in the future of every HTTP/1 request.
        match upstream.protocol {
            _ if is_counted => {
                let held = Held {
                    _load: counted,
                    request: None,
                };
                Either::Right(Box::pin(send_counted(order, held, request, replay)))
            }
            // No route for requests leads to one that is for connections.
            UpstreamProtocol::Http1 | UpstreamProtocol::Tcp => {
                Either::Left(Either::Left(http1::send(order, request, replay)))
            }
            UpstreamProtocol::Http2 => {
                Either::Left(Either::Right(Box::pin(http2::send(order, request, replay))))
            }
        }
    }

    /// What bounds how often requests are sent to an upstream again.
    pub fn retries(&self, upstream: &Upstream, priority: Priority) -> Retries {
        let pool = self.pool(&upstream.id);
        let budget = pool.budget(&self.0.shared, upstream);
        let lane = pool.lane(&self.0.shared, upstream, priority);
        Retries::new(budget, self.0.worker.counters.clone(), lane)
    }

    /// Forgets the pools of upstreams and endpoints that are not in the graph; what is in use there ends with its response. Looks
    /// at every route: not for every request.
    pub fn sweep(&self, graph: &Graph) {
        let upstreams = upstreams(graph);
        self.0.pools.borrow_mut().retain(|id, pool| {
            let upstream = upstreams.get(id);
            if let Some(upstream) = upstream {
                pool.align(&upstream.target);
            }
            upstream.is_some()
        });
    }

    /// Closes what is idle. From now on nothing is kept: what is in use ends with its response.
    pub fn close(&self) {
        self.0.worker.close();
        for pool in self.0.pools.borrow().values() {
            pool.close();
        }
    }

    fn pool(&self, id: &UpstreamId) -> Rc<Pool<B>> {
        if let Some(pool) = self.0.pools.borrow().get(id) {
            return pool.clone();
        }
        let pool = Rc::new(Pool::new(self.0.worker.clone()));
        self.0.pools.borrow_mut().insert(id.clone(), pool.clone());
        self.tidy_from_now_on();
        pool
    }

    fn tidy_from_now_on(&self) {
        if self.0.tidying.replace(true) {
            return;
        }
        let inner = Rc::downgrade(&self.0);
        spawn_local(async move {
            loop {
                sleep(TIDY_INTERVAL).await;
                match inner.upgrade() {
                    Some(inner) if inner.tidy() => {}
                    Some(_) | None => return,
                }
            }
        });
    }
}

impl<B> Inner<B> {
    /// Closes what has been idle for too long, and forgets pools with nothing in them. Says whether there is anything left.
    fn tidy(&self) -> bool {
        let now = Instant::now();
        let mut pools = self.pools.borrow_mut();
        pools.retain(|_, pool| pool.tidy(now) || Rc::strong_count(pool) > 1);
        self.tidying.set(!pools.is_empty());
        self.tidying.get()
    }
}

impl<B> fmt::Debug for Pools<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pools({} upstreams)", self.0.pools.borrow().len())
    }
}

fn upstreams(graph: &Graph) -> HashMap<&UpstreamId, &Upstream, RandomState> {
    graph
        .upstreams()
        .map(|upstream| (&upstream.id, &**upstream))
        .collect()
}

/// Registers the metrics of pools that never start.
pub(super) fn describe_metrics(registry: &mut Registry) {
    counters::Workers::register(registry);
    health::Healths::register(registry);
}

#[cfg(test)]
mod tests;
