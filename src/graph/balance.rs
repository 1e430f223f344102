//! Which of several endpoints takes a request. Tables are made once, when the endpoints change, and all workers read them.

use std::{net::SocketAddr, sync::Arc};

use super::affinity::{Affinity, hash};

/// Places in a table of [`Maglev`]: a prime. No more endpoints than this take part.
const MAGLEV_PLACES: usize = 16_381;
/// Points of one endpoint on a ring; fewer when there are so many that the ring would grow beyond [`RING_POINTS`].
const POINTS_EACH: usize = 160;
const RING_POINTS: usize = 65_536;

/// How requests are spread over the endpoints of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Of two taken at random, the one with less under way.
    LeastRequest,
    /// Requests that have something in common stay together.
    Hash(Arc<Hashed>),
}

/// A table, and what of a request is looked up in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashed {
    pub by: Affinity,
    pub table: Table,
}

/// Where a hash leads. A change of the endpoints moves few of the hashes that it need not move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Table {
    Ring(Ring),
    Maglev(Maglev),
}

/// Points on a circle: a hash belongs to the endpoint whose point is the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring(Box<[(u64, u32)]>);

/// The table of the Maglev paper (Eisenbud et al. 2016, section 3.4): every endpoint has the same number of places, give or
/// take one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maglev(Box<[u16]>);

// === impl Table ===

impl Table {
    /// The place of the endpoint among those that the table was made of. 0 for an empty table.
    pub fn pick(&self, hash: u64) -> usize {
        match self {
            Self::Ring(ring) => ring.pick(hash),
            Self::Maglev(maglev) => maglev.pick(hash),
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Ring(_) => "ring_hash",
            Self::Maglev(_) => "maglev",
        }
    }
}

// === impl Ring ===

impl Ring {
    pub fn of(endpoints: &[SocketAddr]) -> Self {
        let each = (RING_POINTS / endpoints.len().max(1)).clamp(1, POINTS_EACH);
        let numbered = (0..).zip(endpoints);
        let mut points: Vec<(u64, u32)> = numbered
            .flat_map(|(index, endpoint)| {
                (0..each).map(move |point| (hash_of(*endpoint, point as u64), index))
            })
            .collect();
        // Points that coincide keep the order of the endpoints, which are sorted.
        points.sort_unstable();
        Self(points.into())
    }

    fn pick(&self, hash: u64) -> usize {
        let next = self.0.partition_point(|(point, _)| *point < hash);
        let found = self.0.get(next).or_else(|| self.0.first());
        found.map_or(0, |(_, index)| *index as usize)
    }
}

// === impl Maglev ===

impl Maglev {
    pub fn of(endpoints: &[SocketAddr]) -> Self {
        const FREE: u16 = u16::MAX;
        let endpoints = endpoints.get(..MAGLEV_PLACES).unwrap_or(endpoints);
        if endpoints.is_empty() {
            return Self(Box::default());
        }
        let mut orders: Vec<Order> = endpoints.iter().copied().map(Order::of).collect();
        let mut places = vec![FREE; MAGLEV_PLACES];
        let mut free = MAGLEV_PLACES;
        'all: loop {
            for (index, order) in (0..).zip(&mut orders) {
                // The order of an endpoint names every place once, so it names one that is free.
                while places[order.next] != FREE {
                    order.advance();
                }
                places[order.next] = index;
                free -= 1;
                if free == 0 {
                    break 'all;
                }
            }
        }
        Self(places.into())
    }

    fn pick(&self, hash: u64) -> usize {
        let place = hash.checked_rem(self.0.len() as u64).unwrap_or(0);
        let place = usize::try_from(place).unwrap_or(0);
        self.0.get(place).map_or(0, |index| usize::from(*index))
    }
}

/// The order in which an endpoint wants the places.
struct Order {
    next: usize,
    skip: usize,
}

impl Order {
    fn of(endpoint: SocketAddr) -> Self {
        let within = |hash: u64, places: usize| {
            usize::try_from(hash % places as u64).expect("a place must be one of the table")
        };
        Self {
            next: within(hash_of(endpoint, 0), MAGLEV_PLACES),
            skip: within(hash_of(endpoint, 1), MAGLEV_PLACES - 1) + 1,
        }
    }

    fn advance(&mut self) {
        self.next = (self.next + self.skip) % MAGLEV_PLACES;
    }
}

fn hash_of(endpoint: SocketAddr, number: u64) -> u64 {
    let ip = super::affinity::octets(endpoint.ip());
    let port = endpoint.port().to_be_bytes();
    hash(&[ip.as_slice(), &port, &number.to_be_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: u64 = 20_000;

    fn endpoints(count: u8) -> Vec<SocketAddr> {
        (0..count)
            .map(|last| ([10, 1, 0, last], 8080).into())
            .collect()
    }

    fn tables(endpoints: &[SocketAddr]) -> [Table; 2] {
        [
            Table::Ring(Ring::of(endpoints)),
            Table::Maglev(Maglev::of(endpoints)),
        ]
    }

    fn hashes() -> impl Iterator<Item = u64> {
        (0..REQUESTS).map(|number| hash(&[&number.to_be_bytes()]))
    }

    #[test]
    fn every_endpoint_has_its_share() {
        let endpoints = endpoints(10);
        for (table, most) in tables(&endpoints).iter().zip([1.35, 1.15]) {
            let mut shares = [0_u32; 10];
            hashes().for_each(|hash| shares[table.pick(hash)] += 1);
            for share in shares {
                let times = f64::from(share) / 2_000.0;
                assert!(
                    (2.0 - most..most).contains(&times),
                    "{}: {shares:?}",
                    table.name()
                );
            }
        }
    }

    #[test]
    fn an_endpoint_that_goes_moves_few_but_its_own() {
        let before = endpoints(10);
        let mut after = before.clone();
        let gone = after.remove(4);
        for (before_table, after_table) in tables(&before).iter().zip(&tables(&after)) {
            let moved = hashes()
                .filter(|hash| {
                    let was = before[before_table.pick(*hash)];
                    was != gone && was != after[after_table.pick(*hash)]
                })
                .count();
            assert!(moved < 1_000, "{}: {moved}", before_table.name());
        }
    }

    #[test]
    fn a_table_of_nothing_or_of_one_leads_to_the_first() {
        for count in [0, 1] {
            for table in tables(&endpoints(count)) {
                assert!(hashes().all(|hash| table.pick(hash) == 0));
            }
        }
    }
}
