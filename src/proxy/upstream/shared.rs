//! What all workers share: the TLS configurations, what is known of names, and the counters.

use std::{io, net::SocketAddr, sync::Arc, thread};

use prometheus_client::registry::Registry;
use tokio::{runtime, sync::oneshot};

use super::{
    breaker::Breaker,
    counters::Workers,
    dns::{Resolver, System},
    health::Healths,
    kept::Kept,
    load::Load,
    retries::Budget,
    tls::Configs,
};
use crate::graph::UpstreamId;

/// One for the process. With it lives a thread that asks name servers and reads the trust store.
#[derive(Debug)]
pub struct Shared {
    pub(super) tls: Configs,
    pub(super) resolver: Resolver,
    pub(super) workers: Workers,
    /// By upstream and endpoint.
    pub(super) loads: Kept<(UpstreamId, SocketAddr), Load>,
    pub(super) budgets: Kept<UpstreamId, Budget>,
    pub(super) breakers: Kept<UpstreamId, Breaker>,
    pub(super) healths: Healths,
    /// Where the process runs, if that is known.
    pub(super) zone: Option<Arc<str>>,
    /// Dropped with this, which ends the thread.
    _alive: oneshot::Sender<()>,
}

impl Shared {
    /// Starts the thread, and registers the metrics.
    pub fn new(zone: Option<Arc<str>>, registry: &mut Registry) -> io::Result<Arc<Self>> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(1)
            .build()?;
        let helper = runtime.handle().clone();
        let (alive, ended) = oneshot::channel();
        thread::Builder::new()
            .name("upstream-helper".into())
            .spawn(move || runtime.block_on(ended))?;
        Ok(Arc::new(Self {
            tls: Configs::new(helper.clone()),
            resolver: Resolver::new(System::default(), helper),
            workers: Workers::register(registry),
            loads: Kept::default(),
            budgets: Kept::default(),
            breakers: Kept::default(),
            healths: Healths::register(registry),
            zone,
            _alive: alive,
        }))
    }
}
