//! Numbers by route, for as many routes as the operator allows; what goes beyond is counted together as `_other`.
//!
//! As those of a Listener, each worker has numbers of its own that it alone writes. A route enters with its first request.
//! When it is not in the graph any more a scrape lets go of it, and the worker forgets it with its next snapshot.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use foldhash::fast::RandomState;
use http::StatusCode;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter},
};

use super::{CLASSES, Count, class_of};
use crate::{graph::Graph, proxy::Graphs};

/// Stands for the routes that have no series of their own.
const OTHER: &str = "_other";

/// Upper bounds of the durations that are told apart, in seconds: fewer than of a Listener, for there are many routes.
const BUCKETS: [f64; 8] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// What one worker counts of one route. Aligned so that no two workers write to one pair of cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(in crate::proxy) struct RouteCounters {
    requests: [Count; CLASSES.len()],
    durations: [Count; BUCKETS.len() + 1],
    nanoseconds: Count,
    /// Nobody tells these numbers any more.
    retired: AtomicBool,
}

impl RouteCounters {
    /// A request has ended.
    pub(in crate::proxy) fn ended(&self, status: StatusCode, took: Duration) {
        self.requests[class_of(status)].add(1);
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.partition_point(|bound| *bound < seconds);
        self.durations[bucket].add(1);
        self.nanoseconds
            .add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// The numbers of all workers.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Routes {
    limit: usize,
    graphs: Option<Graphs>,
    series: Arc<Mutex<Series>>,
}

type OfWorkers = Vec<Arc<RouteCounters>>;

#[derive(Debug, Default)]
struct Series {
    routes: BTreeMap<Arc<str>, OfWorkers>,
    others: OfWorkers,
    /// The graph that the routes were last compared with.
    swept: Weak<Graph>,
}

impl Series {
    fn sweep(&mut self, graph: &Arc<Graph>) {
        if std::ptr::eq(self.swept.as_ptr(), Arc::as_ptr(graph)) {
            return;
        }
        self.swept = Arc::downgrade(graph);
        let members = graph.members().map(|member| &*member.id.0);
        let there: HashSet<&str, RandomState> = members.collect();
        self.routes.retain(|route, counters| {
            let stays = there.contains(&**route);
            if !stays {
                for counters in counters {
                    counters.retired.store(true, Relaxed);
                }
            }
            stays
        });
    }

    /// Each route with its numbers, those without series of their own at the end.
    fn iter(&self) -> impl Iterator<Item = (&str, &OfWorkers)> {
        let routes = self.routes.iter().map(|(route, of)| (&**route, of));
        routes.chain([(OTHER, &self.others)])
    }
}

impl Routes {
    /// Series for so many routes at most; none at all with 0. Without graphs no route is ever forgotten.
    pub(in crate::proxy) fn new(limit: usize, graphs: Option<Graphs>) -> Self {
        Self {
            limit,
            graphs,
            series: Arc::default(),
        }
    }

    /// What one worker counts in.
    pub(in crate::proxy) fn worker(&self) -> WorkerRoutes {
        let others = Arc::<RouteCounters>::default();
        self.series.lock().others.push(others.clone());
        WorkerRoutes {
            routes: self.clone(),
            known: RefCell::default(),
            others,
        }
    }

    /// Numbers for a route; none when there are enough routes without it.
    fn enter(&self, route: &Arc<str>) -> Option<Arc<RouteCounters>> {
        let mut series = self.series.lock();
        if series.routes.len() >= self.limit && !series.routes.contains_key(route) {
            return None;
        }
        let counters = Arc::<RouteCounters>::default();
        let of_workers = series.routes.entry(route.clone()).or_default();
        of_workers.push(counters.clone());
        Some(counters)
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut series = self.series.lock();
        let graphs = self.graphs.as_ref();
        if let Some(graph) = graphs.and_then(|graphs| graphs.borrow().clone()) {
            series.sweep(&graph);
        }
        encode_requests(encoder, &series)?;
        encode_durations(encoder, &series)
    }
}

/// What one worker knows of the routes; only its thread uses it.
#[derive(Debug)]
pub(in crate::proxy) struct WorkerRoutes {
    routes: Routes,
    known: RefCell<HashMap<Arc<str>, Arc<RouteCounters>, RandomState>>,
    others: Arc<RouteCounters>,
}

impl WorkerRoutes {
    /// Where requests of this route are counted; nowhere when nobody wants to know.
    pub(in crate::proxy) fn counters(&self, route: &Arc<str>) -> Option<Arc<RouteCounters>> {
        if self.routes.limit == 0 {
            return None;
        }
        let mut known = self.known.borrow_mut();
        if let Some(counters) = known.get(route)
            && !counters.retired.load(Relaxed)
        {
            return Some(counters.clone());
        }
        let counters = self.routes.enter(route);
        let counters = counters.unwrap_or_else(|| self.others.clone());
        known.insert(route.clone(), counters.clone());
        Some(counters)
    }

    /// Forgets the routes that are gone, and gives those that found no room another try.
    pub(in crate::proxy) fn sweep(&self) {
        self.known.borrow_mut().retain(|_, counters| {
            !counters.retired.load(Relaxed) && !Arc::ptr_eq(counters, &self.others)
        });
    }
}

fn sum(counters: &OfWorkers, of: impl Fn(&RouteCounters) -> &Count) -> u64 {
    counters.iter().map(|counters| of(counters).get()).sum()
}

fn encode_requests(encoder: &mut DescriptorEncoder<'_>, series: &Series) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "route_requests",
        "Requests of a route that have ended, by class of the status",
        None,
        MetricType::Counter,
    )?;
    for (route, counters) in series.iter() {
        for (class, code) in CLASSES.into_iter().enumerate() {
            let value = sum(counters, |counters| &counters.requests[class]);
            if value > 0 {
                let labels = [("route", route), ("code", code)];
                ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}

fn encode_durations(encoder: &mut DescriptorEncoder<'_>, series: &Series) -> fmt::Result {
    let mut family = encoder.encode_descriptor(
        "route_request_duration_seconds",
        "From the head of a request to the end of its response, by route",
        None,
        MetricType::Histogram,
    )?;
    for (route, counters) in series.iter() {
        let bounds = BUCKETS.into_iter().chain([f64::INFINITY]).enumerate();
        let of = |bucket| sum(counters, |counters| &counters.durations[bucket]);
        let buckets: Vec<(f64, u64)> = bounds.map(|(bucket, bound)| (bound, of(bucket))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        if count == 0 {
            continue;
        }
        let seconds = super::seconds(sum(counters, |counters| &counters.nanoseconds));
        family
            .encode_family(&[("route", route)])?
            .encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::{
        proxy::{metrics::Metrics, testing},
        telemetry::metrics,
    };

    const TOOK: Duration = Duration::from_millis(3);

    fn told(routes: &Routes) -> Vec<String> {
        let mut registry = metrics::registry();
        let mut metrics = Metrics::register(&mut metrics::registry(), 0, None);
        metrics.routes = routes.clone();
        registry.register_collector(Box::new(metrics));
        let text = metrics::render(&registry);
        let of_routes = |line: &&str| line.starts_with("postern_route_requests_total");
        text.lines().filter(of_routes).map(str::to_owned).collect()
    }

    fn count(worker: &WorkerRoutes, route: &str) {
        let counters = worker.counters(&route.into()).unwrap();
        counters.ended(StatusCode::OK, TOOK);
    }

    fn line(route: &str, value: u64) -> String {
        format!("postern_route_requests_total{{route=\"{route}\",code=\"2xx\"}} {value}")
    }

    #[test]
    fn the_workers_numbers_of_a_route_are_summed() {
        let routes = Routes::new(10, None);
        let workers = [routes.worker(), routes.worker()];
        for worker in &workers {
            count(worker, "mapping/shop/web");
            count(worker, "mapping/shop/web");
        }
        assert_eq!(told(&routes), [line("mapping/shop/web", 4)]);
    }

    #[test]
    fn routes_beyond_the_limit_are_counted_together() {
        let routes = Routes::new(2, None);
        let workers = [routes.worker(), routes.worker()];
        for route in ["a", "b", "c", "d", "a"] {
            for worker in &workers {
                count(worker, route);
            }
        }
        assert_eq!(told(&routes), [line("a", 4), line("b", 2), line(OTHER, 4)]);
    }

    #[test]
    fn a_route_that_is_gone_makes_room_for_another() {
        let (graphs, receiver) = watch::channel(None);
        let routes = Routes::new(1, Some(receiver));
        let worker = routes.worker();
        for there in ["a", "b"] {
            graphs.send_replace(Some(Arc::new(testing::graph_of(there))));
            told(&routes);
            worker.sweep();
            count(&worker, there);
            assert_eq!(told(&routes), [line(there, 1)]);
        }
        // One that still runs in an old snapshot is counted, and forgotten again.
        count(&worker, "a");
        assert_eq!(told(&routes), [line("b", 1), line(OTHER, 1)]);
    }

    #[test]
    fn nothing_is_counted_when_nobody_wants_to_know() {
        let routes = Routes::new(0, None);
        assert!(routes.worker().counters(&"a".into()).is_none());
        assert!(told(&routes).is_empty());
    }
}
