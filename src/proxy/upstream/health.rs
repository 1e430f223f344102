//! How the endpoints of an upstream do: one for the process, whoever sends requests there.
//!
//! ```text
//! probe (a thread of its own) ──checked──┐
//! workers ──what became of requests──────┴─> Judged ──change──> Chosen, of each worker: the endpoints in use
//! ```
//!
//! Workers look at one shared number for each request, and at the rest only when that has changed. An endpoint is left out while
//! it fails a check, and for a time after it failed requests. While fewer than half are left, all are used: then it is rather
//! the judgement that is wrong, or there is nothing better.

mod chosen;
mod metrics;
mod probe;
mod trial;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::graph::{
    health::Health,
    outlier::{Outcome, Outliers},
};

pub(super) use chosen::Chosen;
pub(super) use metrics::Healths;
pub use probe::watch;
pub(super) use trial::Seat;
pub use trial::Trial;

/// Fewer than one of so many in use, and all are.
const PANIC: usize = 2;
/// So long without failing its requests, and an endpoint was left out once less.
const FORGIVEN_AFTER: std::time::Duration = std::time::Duration::from_secs(10);

/// The endpoints of one upstream.
#[derive(Debug)]
pub(super) struct Judged {
    health: Arc<Health>,
    /// Another number after every change of what is in use.
    change: AtomicU64,
    ejections: Arc<AtomicU64>,
    endpoints: Mutex<HashMap<SocketAddr, Endpoint, RandomState>>,
}

/// Failures in a row, from all workers.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Streak {
    server_errors: AtomicU32,
    gateway_errors: AtomicU32,
    connect_failures: AtomicU32,
}

/// What is known of an endpoint.
#[derive(Debug, Default)]
struct Endpoint {
    streak: Arc<Streak>,
    /// A bit for each check that it fails.
    failing: u8,
    /// Left out until then for what became of requests.
    until: Option<Instant>,
    /// How often it was left out, as far as that is not forgiven.
    times: u32,
    /// Since when it is in use; none for always.
    since: Option<Instant>,
}

/// Which endpoints are in use, by their places.
#[derive(Debug, Default, PartialEq, Eq)]
struct InUse {
    places: Vec<usize>,
    /// Those that began lately, and when.
    begun: Vec<(usize, Instant)>,
    /// When something changes by itself.
    again: Option<Instant>,
    /// Whether too few work, and all are in use for that.
    panics: bool,
}

// === impl Judged ===

impl Judged {
    fn new(health: Arc<Health>, ejections: Arc<AtomicU64>) -> Self {
        Self {
            health,
            change: AtomicU64::new(0),
            ejections,
            endpoints: Mutex::default(),
        }
    }

    /// The streaks of these endpoints. One that was not there before, beside others that were, has only begun.
    fn streaks(&self, addresses: &[SocketAddr], now: Instant) -> Vec<Arc<Streak>> {
        let mut endpoints = self.endpoints.lock();
        let since = (!endpoints.is_empty()).then_some(now);
        let streaks = addresses.iter().map(|address| {
            let new = || Endpoint {
                since,
                ..Endpoint::default()
            };
            endpoints.entry(*address).or_insert_with(new).streak.clone()
        });
        streaks.collect()
    }

    /// Forgets all endpoints but these.
    fn keep(&self, addresses: &[SocketAddr]) {
        let mut endpoints = self.endpoints.lock();
        endpoints.retain(|address, _| addresses.contains(address));
    }

    /// Takes the answer of a check, when it has changed.
    fn checked(&self, address: SocketAddr, check: usize, passes: bool, now: Instant) {
        let mut endpoints = self.endpoints.lock();
        let since = (!endpoints.is_empty()).then_some(now);
        let endpoint = endpoints.entry(address).or_insert_with(|| Endpoint {
            since,
            ..Endpoint::default()
        });
        let bit = 1_u8.checked_shl(u32::try_from(check).unwrap_or(u32::MAX));
        let bit = bit.unwrap_or_default();
        let before = endpoint.failing;
        if passes {
            endpoint.failing &= !bit;
        } else {
            endpoint.failing |= bit;
        }
        if before != 0 && endpoint.failing == 0 {
            endpoint.since = Some(now);
        }
        if before != endpoint.failing {
            self.change.fetch_add(1, Release);
        }
    }

    /// Takes what became of a request, or of a connection.
    fn note(&self, address: SocketAddr, streak: &Streak, outcome: Outcome) {
        let Some(outliers) = &self.health.outliers else {
            return;
        };
        if streak.add(outcome, outliers) {
            self.eject(address, outliers, Instant::now());
        }
    }

    fn eject(&self, address: SocketAddr, outliers: &Outliers, now: Instant) {
        let mut endpoints = self.endpoints.lock();
        let is_out = |endpoint: &Endpoint| endpoint.until.is_some_and(|until| until > now);
        let out = endpoints
            .values()
            .filter(|endpoint| is_out(endpoint))
            .count();
        if out >= outliers.most_of(endpoints.len()) {
            return;
        }
        let Some(endpoint) = endpoints.get_mut(&address) else {
            return;
        };
        if is_out(endpoint) {
            return;
        }
        endpoint.forgive(now);
        endpoint.until = Some(now + outliers.time(endpoint.times));
        endpoint.times = endpoint.times.saturating_add(1);
        self.ejections.fetch_add(1, Relaxed);
        self.change.fetch_add(1, Release);
        tracing::debug!(server.addr = %address, times = endpoint.times, "An endpoint is left out");
    }

    fn change(&self) -> u64 {
        self.change.load(Acquire)
    }

    /// Those of the addresses that are in use now.
    fn in_use(&self, addresses: &[SocketAddr], now: Instant) -> InUse {
        let mut endpoints = self.endpoints.lock();
        let mut found = InUse::default();
        let window = self.health.slow_start;
        for (place, address) in addresses.iter().enumerate() {
            let Some(endpoint) = endpoints.get_mut(address) else {
                found.places.push(place);
                continue;
            };
            match endpoint.until {
                Some(until) if until > now => {
                    found.look_again(until);
                    continue;
                }
                Some(until) if endpoint.since.is_none_or(|since| since < until) => {
                    endpoint.since = Some(until);
                }
                Some(_) | None => {}
            }
            if endpoint.failing != 0 {
                continue;
            }
            found.places.push(place);
            let begun = window.and_then(|window| Some((endpoint.since?, window)));
            if let Some((since, window)) = begun.filter(|(since, window)| *since + *window > now) {
                found.begun.push((place, since));
                found.look_again(since + window);
            }
        }
        found.panics = found.places.len() * PANIC < addresses.len();
        if found.panics {
            found.places = (0..addresses.len()).collect();
            found.begun.clear();
        }
        found
    }

    /// How many endpoints fail a check, are left out for what became of requests, and whether all are used for that.
    fn count(&self, now: Instant) -> (u64, u64, bool) {
        let endpoints = self.endpoints.lock();
        let is_out = |endpoint: &&Endpoint| endpoint.until.is_some_and(|until| until > now);
        let failing = endpoints.values().filter(|one| one.failing != 0).count();
        let ejected = endpoints.values().filter(is_out).count();
        let either = { endpoints.values() }
            .filter(|one| one.failing != 0 || is_out(one))
            .count();
        let panics = (endpoints.len() - either) * PANIC < endpoints.len();
        (failing as u64, ejected as u64, panics)
    }
}

// === impl Streak ===

impl Streak {
    /// Counts what became of a request. Says whether there is now too much in a row; then it begins again.
    fn add(&self, outcome: Outcome, outliers: &Outliers) -> bool {
        let (gateway, connect) = match outcome {
            Outcome::Good => {
                self.reset();
                return false;
            }
            Outcome::ServerError => (false, false),
            Outcome::GatewayError => (true, false),
            Outcome::ConnectFailure => (true, true),
        };
        let rows = [
            (&self.server_errors, true, outliers.server_errors),
            (&self.gateway_errors, gateway, outliers.gateway_errors),
            (&self.connect_failures, connect, outliers.connect_failures),
        ];
        let mut is_too_much = false;
        for (count, counts, limit) in rows {
            if counts {
                let now = count.fetch_add(1, Relaxed) + 1;
                is_too_much |= limit != 0 && now >= limit;
            } else {
                count.store(0, Relaxed);
            }
        }
        if is_too_much {
            self.reset();
        }
        is_too_much
    }

    /// Writes only where there is something: as a rule nobody's cache line moves.
    fn reset(&self) {
        for count in [
            &self.server_errors,
            &self.gateway_errors,
            &self.connect_failures,
        ] {
            if count.load(Relaxed) != 0 {
                count.store(0, Relaxed);
            }
        }
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// Forgets as many times as it has been in use long enough for.
    fn forgive(&mut self, now: Instant) {
        let Some(until) = self.until else {
            return;
        };
        let used = now.saturating_duration_since(until);
        let forgiven = used.as_secs() / FORGIVEN_AFTER.as_secs();
        let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
        self.times = self.times.saturating_sub(forgiven);
    }
}

// === impl InUse ===

impl InUse {
    /// Leaves out all but these places, as long as half of them work.
    fn narrow(&mut self, near: &[usize]) {
        let work = { near.iter() }.filter(|place| self.places.binary_search(place).is_ok());
        if !self.panics && !near.is_empty() && work.count() * PANIC >= near.len() {
            self.places
                .retain(|place| near.binary_search(place).is_ok());
        }
    }

    fn look_again(&mut self, at: Instant) {
        self.again = Some(self.again.map_or(at, |again| again.min(at)));
    }
}

#[cfg(test)]
mod tests;
