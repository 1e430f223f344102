//! The endpoints in use, as one worker last saw them.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use smallvec::SmallVec;
use tokio::time::Instant;

use super::{InUse, Judged, Seat};
use crate::graph::balance::Table;

/// A hash whose endpoint is left out is hashed again so often.
const REHASHED: u64 = 16;
/// An endpoint that begins gets this much of its share at once.
const FIRST_SHARE: f64 = 0.1;
/// Endpoints that are passed over because they have only begun.
const PASSED_OVER: usize = 8;

/// What a worker knows of the endpoints of an upstream.
#[derive(Debug)]
pub(in crate::proxy::upstream) struct Chosen {
    judged: Arc<Judged>,
    of: Arc<[SocketAddr]>,
    seats: Vec<Rc<Seat>>,
    /// The places of those that are meant for the zone of this process; none for all.
    near: Vec<usize>,
    change: u64,
    in_use: InUse,
}

impl Chosen {
    pub(in crate::proxy::upstream) fn new(
        judged: Arc<Judged>,
        of: Arc<[SocketAddr]>,
        near: Vec<usize>,
    ) -> Self {
        let now = Instant::now();
        let streaks = judged.streaks(&of, now).into_iter();
        let seats = of.iter().zip(streaks).map(|(address, streak)| {
            let judged = judged.clone();
            Rc::new(Seat::new(judged, *address, streak))
        });
        let seats = seats.collect();
        let mut chosen = Self {
            change: judged.change(),
            judged,
            of,
            seats,
            near,
            in_use: InUse::default(),
        };
        chosen.look(now);
        chosen
    }

    /// The upstream, for other endpoints.
    pub(in crate::proxy::upstream) fn judged(&self) -> Arc<Judged> {
        self.judged.clone()
    }

    pub(in crate::proxy::upstream) fn is_of(&self, addresses: &Arc<[SocketAddr]>) -> bool {
        Arc::ptr_eq(&self.of, addresses)
    }

    /// Looks which are in use, if that may have changed.
    pub(in crate::proxy::upstream) fn refresh(&mut self) {
        let change = self.judged.change();
        let again = self.in_use.again;
        if change != self.change || again.is_some_and(|at| at <= Instant::now()) {
            self.change = change;
            self.look(Instant::now());
        }
    }

    fn look(&mut self, now: Instant) {
        self.in_use = self.judged.in_use(&self.of, now);
        self.in_use.narrow(&self.near);
    }

    /// The one whose turn it is. There is at least one.
    pub(in crate::proxy::upstream) fn in_turn(&self, turn: usize) -> usize {
        let places = &self.in_use.places;
        let at = |turn: usize| places.get(turn % places.len().max(1)).copied();
        let mut tried = (0..places.len().min(PASSED_OVER)).filter_map(|more| at(turn + more));
        let full = tried.find(|place| self.takes(*place));
        full.or_else(|| at(turn)).unwrap_or(0)
    }

    /// Two different ones, if there are two.
    pub(in crate::proxy::upstream) fn two(&self) -> (usize, usize) {
        let count = self.in_use.places.len();
        let one = fastrand::usize(..count.max(1));
        let other = if count > 1 {
            one + fastrand::usize(1..count)
        } else {
            one
        };
        (self.in_turn(one), self.in_turn(other))
    }

    /// Where a hash leads: to its endpoint, and while that is left out to that of another hash which always is the same.
    pub(in crate::proxy::upstream) fn by_hash(&self, table: &Table, hash: u64) -> usize {
        let places = &self.in_use.places;
        let last = self.of.len().saturating_sub(1);
        let mut hashes =
            (0..REHASHED).map(|again| hash.wrapping_add(again.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let found = hashes.find_map(|hash| {
            let place = table.pick(hash).min(last);
            places.binary_search(&place).ok().map(|_| place)
        });
        let turn = usize::try_from(hash % (places.len().max(1) as u64)).unwrap_or(0);
        found.unwrap_or_else(|| places.get(turn).copied().unwrap_or(0))
    }

    /// Whether an endpoint takes a request: one that begins takes only some.
    fn takes(&self, place: usize) -> bool {
        if self.in_use.begun.is_empty() {
            return true;
        }
        let mut begun = self.in_use.begun.iter();
        let Some((_, since)) = begun.find(|(begun, _)| *begun == place) else {
            return true;
        };
        let window = self.judged.health.slow_start.unwrap_or_default();
        let share = since.elapsed().as_secs_f64() / window.as_secs_f64().max(f64::MIN_POSITIVE);
        fastrand::f64() < share.max(FIRST_SHARE)
    }

    /// What is dialled for an endpoint: it, and then others that are in use.
    pub(in crate::proxy::upstream) fn candidates<const N: usize>(
        &self,
        first: usize,
    ) -> SmallVec<[SocketAddr; N]> {
        let places = &self.in_use.places;
        let after = places.partition_point(|place| *place <= first);
        let others = places[after..].iter().chain(&places[..after]);
        let others = others.filter(|place| **place != first);
        let all = std::iter::once(&first).chain(others);
        all.filter_map(|place| self.of.get(*place).copied())
            .take(N)
            .collect()
    }

    /// Who answers for an endpoint.
    pub(in crate::proxy::upstream) fn seat(&self, address: SocketAddr) -> Option<Rc<Seat>> {
        let mut seats = self.seats.iter();
        seats.find(|seat| seat.address() == address).cloned()
    }

    pub(in crate::proxy::upstream) fn seat_at(&self, place: usize) -> Option<Rc<Seat>> {
        self.seats.get(place).cloned()
    }
}
