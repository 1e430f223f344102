//! One thread that serves: its own runtime, sockets, connections and upstream pools.

use std::{collections::BTreeMap, io, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{Notify, Semaphore, watch},
    task::spawn_local,
    time::{Instant, sleep_until},
};

use super::{
    Graphs,
    accept::{Accepted, Acceptor},
    bind::Bindings,
    connection,
    forward::Upstreams,
    limits,
    metrics::Counters,
    peer::PeerParts,
    site::Site,
};

/// What every worker is told.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    pub(super) graphs: Graphs,
    pub(super) bindings: Arc<Bindings>,
    /// When what runs must have ended; none until the process drains.
    pub(super) drain: watch::Receiver<Option<Instant>>,
    pub(super) connections: usize,
}

/// A worker, on its own thread.
pub(super) struct Worker<U> {
    number: usize,
    orders: Orders,
    site: Rc<Site<U>>,
    slots: Arc<Semaphore>,
    sockets: BTreeMap<u16, Rc<Notify>>,
    retry: Option<Instant>,
}

/// Runs a worker to its end on this thread; returns how many requests it cut off.
pub(super) fn run<U: Upstreams>(
    number: usize,
    orders: Orders,
    site: impl FnOnce() -> Site<U>,
) -> io::Result<u64> {
    // Tasks wake each other without a lock or a look at what else the worker waits for, as those of a `LocalSet` would.
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let cut = runtime.block_on(async {
        let worker = Worker {
            number,
            slots: Arc::new(Semaphore::new(orders.connections)),
            orders,
            site: Rc::new(site()),
            sockets: BTreeMap::new(),
            retry: None,
        };
        worker.serve().await
    });
    Ok(cut)
}

/// What a worker wakes up for.
enum Wake {
    Graph,
    Retry,
    Drain,
}

impl<U: Upstreams> Worker<U> {
    async fn serve(mut self) -> u64 {
        self.take_graph();
        loop {
            match self.wait().await {
                Wake::Graph => self.take_graph(),
                Wake::Retry => self.listen(),
                Wake::Drain => break,
            }
        }
        self.drain().await
    }

    /// The source of snapshots may end before the process does; the last one stays in use.
    async fn wait(&mut self) -> Wake {
        let retry = self.retry;
        let Orders { graphs, drain, .. } = &mut self.orders;
        let graph = async {
            if graphs.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let retry = async {
            match retry {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = drain.wait_for(Option::is_some) => Wake::Drain,
            () = graph => Wake::Graph,
            () = retry => Wake::Retry,
        }
    }

    fn take_graph(&mut self) {
        let Some(graph) = self.orders.graphs.borrow_and_update().clone() else {
            return;
        };
        self.site.swap(graph);
        self.listen();
    }

    /// Opens the sockets that the snapshot asks for, and closes the others.
    fn listen(&mut self) {
        let graph = self.site.graph();
        let bindings = self.orders.bindings.clone();
        self.sockets.retain(|port, stop| {
            let wanted = graph.listener(*port).is_some();
            if !wanted {
                stop.notify_one();
                bindings.release(self.number, *port);
            }
            wanted
        });
        let mut all = true;
        for listener in &graph.listeners {
            if self.sockets.contains_key(&listener.port) {
                continue;
            }
            match bindings.bind(self.number, listener.port, &listener.name) {
                Ok(socket) => self.accept(listener.port, socket),
                Err(_) => all = false,
            }
        }
        bindings.forget(self.number, |port| graph.listener(port).is_some());
        self.retry = (!all).then(|| Instant::now() + limits::BIND_RETRY);
        bindings.tried(self.number);
    }

    fn accept(&mut self, port: u16, socket: std::net::TcpListener) {
        let stop = Rc::new(Notify::new());
        self.sockets.insert(port, stop.clone());
        let acceptor = Acceptor {
            socket,
            slots: self.slots.clone(),
            stop,
        };
        let site = self.site.clone();
        // Open until every connection that was accepted is served: a drain waits for it.
        let open = site.gate.pass();
        spawn_local(async move {
            let taken = acceptor.run(|accepted| take(&site, port, accepted));
            if let Err(error) = taken.await {
                tracing::error!(%error, port, "A socket failed");
            }
            drop(open);
        });
    }

    /// Stops accepting, lets what runs end, and counts what did not end in time.
    async fn drain(self) -> u64 {
        let deadline = *self.orders.drain.borrow();
        for stop in self.sockets.values() {
            stop.notify_one();
        }
        self.site.gate.close();
        let ended = async {
            self.site.gate.emptied().await;
            while !self.site.tunnels.borrow().is_empty() {
                self.site.reap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = sleep_until(deadline.unwrap_or_else(Instant::now)) => {}
        }
        self.site.upstreams.close();
        self.site.running.get()
    }
}

/// Serves a connection in a task of its own: whatever happens in it, a panic too, happens to it alone.
fn take<U: Upstreams>(site: &Rc<Site<U>>, port: u16, accepted: Accepted) {
    let graph = site.graph();
    let Some(listener) = graph.listener(port) else {
        return;
    };
    let name = listener.name.clone();
    let counters = site.counters(&name);
    let Accepted {
        stream,
        client,
        local,
        slot,
    } = accepted;
    let parts = PeerParts {
        port,
        listener: name,
        client,
        local,
        counters: counters.clone(),
        log: site.log.clone(),
        running: site.running.clone(),
    };
    let pass = site.gate.pass();
    let site = site.clone();
    spawn_local(async move {
        let _open = Open::new(counters);
        connection::serve(site, parts, stream, pass).await;
        drop(slot);
    });
}

/// An open connection, in the metrics.
struct Open(Arc<Counters>);

impl Open {
    fn new(counters: Arc<Counters>) -> Self {
        counters.connections.add(1);
        counters.accepted.add(1);
        Self(counters)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.subtract(1);
    }
}
