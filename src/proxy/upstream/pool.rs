//! The connections of one worker to one upstream.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, timeout_at};

use super::{
    Reached,
    breaker::{Breaker, Lane, Slot},
    dial::{Candidates, Dialled, Dialler, Whither},
    endpoint::Endpoint,
    error::UpstreamError,
    health::{Chosen, Seat, Trial},
    http1, http2,
    load::{Counted, Load},
    retries::Budget,
    shared::Shared,
    worker::Worker,
};
use crate::graph::{Balance, DialPolicy, Target, Upstream, breaker::Priority, outlier::Outcome};

/// Everything that is known of one upstream.
pub(super) struct Pool<B> {
    pub(super) worker: Rc<Worker>,
    pub(super) dialler: Dialler,
    endpoints: RefCell<Endpoints<B>>,
    turn: Cell<usize>,
    idle_timeout: Cell<Duration>,
    budget: OnceCell<Arc<Budget>>,
    breaker: OnceCell<Arc<Breaker>>,
    /// The endpoints in use, where they are judged.
    chosen: RefCell<Option<Chosen>>,
}

/// The endpoints in the order of the target's addresses; a single one for any other target.
struct Endpoints<B> {
    of: Option<Arc<[SocketAddr]>>,
    list: Vec<Rc<Endpoint<B>>>,
}

/// Whose turn it is.
pub(super) struct Aim<B> {
    pub(super) endpoint: Rc<Endpoint<B>>,
    /// Its place among the addresses; of a name, which one of its addresses.
    pub(super) turn: usize,
    /// Counts as long as it is under way, where that is counted.
    pub(super) counted: Option<Counted>,
    /// Who is judged by what becomes of it.
    pub(super) seat: Option<Rc<Seat>>,
}

/// What a request needs to get a connection.
pub(super) struct Order<'r, B> {
    pub(super) shared: &'r Shared,
    pub(super) pool: Rc<Pool<B>>,
    pub(super) endpoint: Rc<Endpoint<B>>,
    pub(super) turn: usize,
    pub(super) upstream: &'r Arc<Upstream>,
    pub(super) policy: &'r DialPolicy,
    /// Where the upstream has limits.
    pub(super) lane: Option<Arc<Lane>>,
    pub(super) reached: Option<&'r Reached>,
    pub(super) trial: &'r Trial,
}

/// What a request may go out on.
enum Room<B> {
    /// One may be opened.
    Slot(Slot),
    Open(Rc<http1::Connection<B>>),
}

// === impl Pool ===

impl<B> Pool<B> {
    pub(super) fn new(worker: Rc<Worker>) -> Self {
        Self {
            endpoints: RefCell::new(Endpoints {
                of: None,
                list: vec![Rc::new(Endpoint::new(None, worker.clone()))],
            }),
            worker,
            dialler: Dialler::default(),
            turn: Cell::new(0),
            idle_timeout: Cell::default(),
            budget: OnceCell::new(),
            breaker: OnceCell::new(),
            chosen: RefCell::default(),
        }
    }

    /// What becomes idle from now on is closed after this.
    pub(super) fn set_idle_timeout(&self, timeout: Duration) {
        self.idle_timeout.set(timeout);
    }

    pub(super) fn budget(&self, shared: &Shared, upstream: &Upstream) -> Arc<Budget> {
        let find = || shared.budgets.of(upstream.id.clone(), Budget::default);
        self.budget.get_or_init(find).clone()
    }

    /// What counts for the limits of the upstream, if it has any.
    pub(super) fn lane(
        &self,
        shared: &Shared,
        upstream: &Upstream,
        priority: Priority,
    ) -> Option<Arc<Lane>> {
        let limits = upstream.breakers.as_ref()?;
        // The id names the limits: other limits are another upstream.
        let find = || {
            shared
                .breakers
                .of(upstream.id.clone(), || Breaker::new(limits))
        };
        Some(self.breaker.get_or_init(find).lane(priority))
    }

    /// Closes an idle connection to any endpoint, so that another can be opened.
    fn make_room(&self) {
        let endpoints = self.endpoints.borrow();
        drop(endpoints.list.iter().find_map(|one| one.take_idle()));
    }

    /// The endpoint that takes the next request, or the next one with this hash.
    pub(super) fn aim(&self, shared: &Shared, upstream: &Upstream, hash: Option<u64>) -> Aim<B> {
        self.align(&upstream.target);
        if let Target::Addresses(addresses) = &upstream.target
            && (upstream.health.is_some() || (upstream.zones.is_some() && shared.zone.is_some()))
            && !addresses.is_empty()
        {
            self.choose(shared, upstream, addresses);
            return self.aim_among(shared, upstream, hash);
        }
        let endpoints = self.endpoints.borrow();
        let count = endpoints.list.len();
        let (index, turn) = match (&upstream.balance, &upstream.target) {
            // Several addresses behind one endpoint still take turns.
            (_, Target::Dns { .. }) => (0, self.next_turn()),
            _ if count == 1 => (0, 0),
            (Balance::LeastRequest, _) => {
                let one = fastrand::usize(..count);
                let other = (one + fastrand::usize(1..count)) % count;
                return endpoints.lesser(shared, upstream, one, other);
            }
            (Balance::Hash(hashed), _) if let Some(hash) = hash => {
                let index = hashed.table.pick(hash).min(count - 1);
                (index, index)
            }
            (Balance::RoundRobin | Balance::Hash(_), _) => {
                let index = self.next_turn() % count;
                (index, index)
            }
        };
        Aim {
            endpoint: endpoints.list[index].clone(),
            turn,
            counted: None,
            seat: None,
        }
    }

    /// Looks which endpoints are in use.
    fn choose(&self, shared: &Shared, upstream: &Upstream, addresses: &Arc<[SocketAddr]>) {
        let mut chosen = self.chosen.borrow_mut();
        match &mut *chosen {
            Some(known) if known.is_of(addresses) => known.refresh(),
            known => {
                // The id names the health: another one is another upstream.
                let judged = known.as_ref().map(Chosen::judged);
                let judged = judged.unwrap_or_else(|| {
                    let health = upstream.health.clone().unwrap_or_default();
                    shared.healths.of(&upstream.id, &health)
                });
                let zone = shared.zone.as_deref();
                let near = zone.zip(upstream.zones.as_ref()).map(|(zone, hints)| {
                    let places = 0..addresses.len();
                    places.filter(|place| hints.is_for(*place, zone)).collect()
                });
                *known = Some(Chosen::new(
                    judged,
                    addresses.clone(),
                    near.unwrap_or_default(),
                ));
            }
        }
    }

    /// The same as [`aim`](Self::aim), among those in use.
    fn aim_among(&self, shared: &Shared, upstream: &Upstream, hash: Option<u64>) -> Aim<B> {
        let endpoints = self.endpoints.borrow();
        let chosen = self.chosen.borrow();
        let Some(chosen) = &*chosen else {
            return endpoints.aim_at(0);
        };
        let mut aim = match (&upstream.balance, hash) {
            (Balance::Hash(hashed), Some(hash)) => {
                endpoints.aim_at(chosen.by_hash(&hashed.table, hash))
            }
            (Balance::LeastRequest, _) => {
                let (one, other) = chosen.two();
                endpoints.lesser(shared, upstream, one, other)
            }
            (Balance::RoundRobin | Balance::Hash(_), _) => {
                endpoints.aim_at(chosen.in_turn(self.next_turn()))
            }
        };
        aim.seat = chosen.seat_at(aim.turn);
        aim
    }

    /// What is dialled for the endpoint at a place, where endpoints are judged.
    fn candidates(&self, place: usize) -> Option<Candidates> {
        let chosen = self.chosen.borrow();
        chosen.as_ref().map(|chosen| chosen.candidates(place))
    }

    /// Who is judged by what becomes of a connection to an address.
    fn seat(&self, address: SocketAddr) -> Option<Rc<Seat>> {
        self.chosen.borrow().as_ref()?.seat(address)
    }

    /// Makes the endpoints those of the target. What is open to one that stays is kept; what is idle to one that goes is closed,
    /// and what is under way there ends with its response.
    pub(super) fn align(&self, target: &Target) {
        let addresses = match target {
            Target::Addresses(addresses) if !addresses.is_empty() => Some(addresses),
            Target::Addresses(_) | Target::Dns { .. } | Target::Echo { .. } => None,
        };
        if self.endpoints.borrow().is_of(addresses) {
            return;
        }
        let mut endpoints = self.endpoints.borrow_mut();
        if endpoints.of.is_some() && endpoints.of.as_ref() == addresses {
            // The same, in another place: to be seen by the place alone from now on.
            endpoints.of = addresses.cloned();
            return;
        }
        let known = endpoints.list.drain(..);
        let mut known: HashMap<Option<SocketAddr>, Rc<Endpoint<B>>> =
            known.map(|endpoint| (endpoint.address, endpoint)).collect();
        let mut endpoint = |address| {
            let known = known.remove(&address);
            known.unwrap_or_else(|| Rc::new(Endpoint::new(address, self.worker.clone())))
        };
        endpoints.list = match addresses {
            Some(addresses) => addresses.iter().map(|one| endpoint(Some(*one))).collect(),
            None => vec![endpoint(None)],
        };
        endpoints.of = addresses.cloned();
    }

    /// The endpoint at an address, which may be another than the one that was aimed at; none when it has gone.
    pub(super) fn at(&self, address: SocketAddr) -> Option<Rc<Endpoint<B>>> {
        let endpoints = self.endpoints.borrow();
        let mut list = endpoints.list.iter();
        list.find(|endpoint| endpoint.address.is_none_or(|at| at == address))
            .cloned()
    }

    /// Closes what has been idle for too long, or has aged. Says whether anything is left.
    pub(super) fn tidy(&self, now: Instant) -> bool {
        let timeout = self.idle_timeout.get();
        let endpoints = self.endpoints.borrow();
        // Each of them is looked at, whatever the others have.
        let left = endpoints.list.iter().map(|one| one.tidy(now, timeout));
        left.fold(false, |any, left| any | left)
    }

    /// Closes what is idle. An HTTP/2 connection with streams ends with the last of them.
    pub(super) fn close(&self) {
        for endpoint in &self.endpoints.borrow().list {
            endpoint.close();
        }
    }

    fn next_turn(&self) -> usize {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        turn
    }
}

// === impl Endpoints ===

impl<B> Endpoints<B> {
    fn is_of(&self, addresses: Option<&Arc<[SocketAddr]>>) -> bool {
        match (&self.of, addresses) {
            (Some(of), Some(addresses)) => Arc::ptr_eq(of, addresses),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// The endpoint at this place.
    fn aim_at(&self, index: usize) -> Aim<B> {
        Aim {
            endpoint: self.list[index].clone(),
            turn: index,
            counted: None,
            seat: None,
        }
    }

    /// Of two, the one with less under way.
    fn lesser(&self, shared: &Shared, upstream: &Upstream, one: usize, other: usize) -> Aim<B> {
        let [(one, its), (other, others)] = [one, other].map(|index| {
            let endpoint = &self.list[index];
            let make = || match endpoint.address {
                Some(address) => {
                    let key = (upstream.id.clone(), address);
                    shared.loads.of(key, Load::default)
                }
                None => Arc::<Load>::default(),
            };
            (index, endpoint.load(make))
        });
        let (index, load) = if others.get() < its.get() {
            (other, others)
        } else {
            (one, its)
        };
        Aim {
            counted: Some(load.count()),
            ..self.aim_at(index)
        }
    }
}

// === impl Order ===

impl<B> Order<'_, B> {
    /// Opens a connection, and counts it if that fails.
    pub(super) async fn dial(&self) -> Result<Dialled, UpstreamError> {
        let whither = Whither {
            upstream: self.upstream,
            policy: self.policy,
            turn: self.turn,
            candidates: self.pool.candidates(self.turn),
        };
        let failed = |address| {
            self.reaches(address);
            if let Some(seat) = self.pool.seat(address) {
                seat.note(Outcome::ConnectFailure);
            }
        };
        let dialled = self.pool.dialler.dial(self.shared, whither, &failed).await;
        if let Ok(dialled) = &dialled {
            self.trial.is_of(self.pool.seat(dialled.address));
        }
        if let Some(failure) = dialled.as_ref().err().and_then(UpstreamError::failure) {
            self.pool.worker.counters.failed.by(failure).increase();
        }
        dialled
    }

    /// The request goes to this address.
    pub(super) fn reaches(&self, address: SocketAddr) {
        if let Some(reached) = self.reached {
            reached.set(Some(address));
        }
    }

    /// An HTTP/1 connection that is open, and was not when it was looked for. Where there are enough, one that becomes free.
    pub(super) async fn http1(&self) -> Result<Rc<http1::Connection<B>>, UpstreamError>
    where
        B: super::RequestBody,
    {
        let slot = match &self.lane {
            None => None,
            Some(lane) => match self.room(lane).await? {
                Room::Slot(slot) => Some(slot),
                Room::Open(connection) => return Ok(connection),
            },
        };
        http1::Connection::open(self, slot).await
    }

    async fn room(&self, lane: &Arc<Lane>) -> Result<Room<B>, UpstreamError> {
        if let Some(slot) = lane.try_slot() {
            return Ok(Room::Slot(slot));
        }
        let _waits = lane.wait().ok_or_else(|| self.too_much())?;
        // That there are enough connections already is not the endpoint's fault.
        let seat = self.trial.leave();
        self.pool.make_room();
        let free = self.endpoint.next_free();
        let room = tokio::select! {
            biased;
            Ok(connection) = free => Room::Open(connection),
            slot = lane.next_slot() => Room::Slot(slot),
        };
        self.trial.is_of(seat);
        Ok(room)
    }

    /// That no more may be under way.
    pub(super) fn too_much(&self) -> UpstreamError {
        self.pool.worker.counters.refused.increase();
        UpstreamError::CircuitOpen
    }

    /// An HTTP/2 connection with room for a stream, and whether it was opened for this order.
    pub(super) async fn http2(&self) -> Result<(Rc<http2::Connection<B>>, bool), UpstreamError>
    where
        B: super::RequestBody,
    {
        if let Some(connection) = self.endpoint.take_http2() {
            return Ok((connection, false));
        }
        let limit = self.upstream.connect_timeout;
        let deadline = Instant::now() + limit;
        let _turn = timeout_at(deadline, self.endpoint.opening.acquire())
            .await
            .map_err(|_| UpstreamError::ConnectTimeout(limit))?;
        if let Some(connection) = self.endpoint.take_http2() {
            return Ok((connection, false));
        }
        let connection = http2::Connection::open(self).await?;
        if let Some(endpoint) = self.pool.at(connection.address()) {
            endpoint.put_http2(connection.clone());
        }
        Ok((connection, true))
    }
}
