//! Asks endpoints whether they work: one for the process, started and stopped as endpoints come and go.

mod ask;

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use foldhash::fast::RandomState;
use http_body_util::Full;
use tokio::{
    sync::{Semaphore, watch as channel},
    task::{AbortHandle, spawn_local},
    time::{Instant, sleep, timeout},
};

use super::Judged;
use crate::{
    graph::{
        Balance, Graph, Target, Upstream, UpstreamId, UpstreamProtocol,
        health::{Check, Pace, Probe},
    },
    proxy::upstream::{Pools, Shared},
};

/// Checks that are under way at a time.
const AT_A_TIME: usize = 64;
/// The first check of an endpoint comes within this.
const FIRST: Duration = Duration::from_secs(1);
/// Longer than between two checks, a connection waits for the next one.
const IDLE_MORE: Duration = Duration::from_secs(5);

/// What all checks share.
struct Prober {
    shared: Arc<Shared>,
    pools: Pools<Full<Bytes>>,
    graph: RefCell<Arc<Graph>>,
    at_a_time: Semaphore,
}

/// The checks that run.
struct Running {
    prober: Rc<Prober>,
    /// Held so that nothing is forgotten while nobody sends requests.
    judged: HashMap<UpstreamId, Arc<Judged>, RandomState>,
    tasks: HashMap<Key, Task, RandomState>,
}

/// A check of an endpoint, by its place among the checks of the upstream.
type Key = (UpstreamId, SocketAddr, usize);

/// Ends when it is dropped.
struct Task(AbortHandle);

/// How the answers of one check go on.
#[derive(Debug, Default)]
struct Answers {
    /// None before the first.
    passes: Option<bool>,
    /// How many in a row say otherwise.
    others: u32,
}

/// Keeps the health of every upstream of the graph in use, until there are no more graphs. Runs on the local runtime of a thread.
pub async fn watch(shared: Arc<Shared>, mut graphs: channel::Receiver<Option<Arc<Graph>>>) {
    let mut running = Running::new(shared);
    loop {
        let graph = graphs.borrow_and_update().clone();
        if let Some(graph) = graph {
            running.align(&graph);
        }
        if graphs.changed().await.is_err() {
            return;
        }
    }
}

// === impl Running ===

impl Running {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let prober = Prober {
            pools: Pools::new(shared.clone()),
            shared,
            graph: RefCell::default(),
            at_a_time: Semaphore::new(AT_A_TIME),
        };
        Self {
            prober: Rc::new(prober),
            judged: HashMap::default(),
            tasks: HashMap::default(),
        }
    }

    /// Starts what a graph asks for, and ends the rest.
    pub(super) fn align(&mut self, graph: &Arc<Graph>) {
        self.prober.graph.replace(graph.clone());
        let mut upstreams: HashMap<&UpstreamId, &Arc<Upstream>, RandomState> = HashMap::default();
        for upstream in graph.upstreams() {
            if upstream.health.is_some() {
                upstreams.insert(&upstream.id, upstream);
            }
        }
        self.judged.retain(|id, _| upstreams.contains_key(id));
        let mut wanted: HashSet<Key, RandomState> = HashSet::default();
        for upstream in upstreams.values() {
            self.align_upstream(upstream, &mut wanted);
        }
        self.tasks.retain(|key, _| wanted.contains(key));
    }

    fn align_upstream(&mut self, upstream: &Arc<Upstream>, wanted: &mut HashSet<Key, RandomState>) {
        let (Some(health), Target::Addresses(addresses)) = (&upstream.health, &upstream.target)
        else {
            return;
        };
        let find = || self.prober.shared.healths.of(&upstream.id, health);
        let judged = self.judged.entry(upstream.id.clone()).or_insert_with(find);
        judged.keep(addresses);
        // Before the first answer, so that they are not taken for new ones by whoever asks next.
        judged.streaks(addresses, Instant::now());
        for address in addresses.iter() {
            for (place, check) in health.checks.iter().enumerate() {
                let key = (upstream.id.clone(), *address, place);
                wanted.insert(key.clone());
                let (prober, judged) = (self.prober.clone(), judged.clone());
                self.tasks.entry(key).or_insert_with(|| {
                    let asked = asked(upstream, check, *address, place);
                    let running = run(prober, judged, asked, *address, place);
                    Task(spawn_local(running).abort_handle())
                });
            }
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The endpoint as an upstream of its own, which shares no connection and no limit with requests.
fn asked(upstream: &Upstream, check: &Check, address: SocketAddr, place: usize) -> Arc<Upstream> {
    Arc::new(Upstream {
        id: UpstreamId(format!("check {place} of {address} in {}", upstream.id).into()),
        target: Target::Addresses([address].into()),
        protocol: match check.probe {
            Probe::Http(_) => upstream.protocol,
            Probe::Grpc { .. } => UpstreamProtocol::Http2,
        },
        balance: Balance::RoundRobin,
        breakers: None,
        health: None,
        zones: None,
        tls: upstream.tls.clone(),
        connect_timeout: upstream.connect_timeout,
        idle_timeout: check.pace.interval + check.pace.timeout + IDLE_MORE,
        max_age: upstream.max_age,
        keepalive: None,
    })
}

/// Asks one endpoint, again and again.
async fn run(
    prober: Rc<Prober>,
    judged: Arc<Judged>,
    asked: Arc<Upstream>,
    address: SocketAddr,
    place: usize,
) {
    let health = judged.health.clone();
    let Some(check) = health.checks.get(place) else {
        return;
    };
    let mut answers = Answers::default();
    // What came together is not asked together.
    sleep(check.pace.interval.min(FIRST).mul_f64(fastrand::f64())).await;
    loop {
        let passes = prober.ask(check, &asked).await;
        prober.shared.healths.answered(passes);
        if let Some(passes) = answers.next(passes, check.pace) {
            tracing::debug!(server.addr = %address, check = %check.probe, passes, "An endpoint was checked");
            judged.checked(address, place, passes, Instant::now());
        }
        sleep(check.pace.interval.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
    }
}

// === impl Prober ===

impl Prober {
    /// Whether an endpoint answers as it should.
    async fn ask(&self, check: &Check, asked: &Arc<Upstream>) -> bool {
        // The time that it waits for its turn is not the endpoint's.
        let Ok(_turn) = self.at_a_time.acquire().await else {
            return true;
        };
        let policy = self.graph.borrow().dial.clone();
        let asking = ask::ask(&self.pools, asked, &policy, check);
        timeout(check.pace.timeout, asking).await.unwrap_or(false)
    }
}

// === impl Answers ===

impl Answers {
    /// Takes an answer. Says what holds from now on, when that has changed. The first one decides alone.
    fn next(&mut self, passes: bool, pace: Pace) -> Option<bool> {
        let needed = match self.passes {
            None => 0,
            Some(known) if known == passes => {
                self.others = 0;
                return None;
            }
            Some(true) => pace.unhealthy,
            Some(false) => pace.healthy,
        };
        self.others += 1;
        if self.others < needed {
            return None;
        }
        self.others = 0;
        self.passes = Some(passes);
        self.passes
    }
}

#[cfg(test)]
mod tests;
