//! The replicas of the installation, as one of them sees all by their Leases.
//!
//! Times are those of this process: a Lease is alive for as long as it keeps changing, so the clocks of nodes need not agree.
//! A process that slept, or whose watch is dead without knowing it, sees nothing change. That can be told by its own Lease,
//! which it sees in the same watch: while that has not changed lately, nothing is said about others.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
    time::Duration,
};

use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::runtime::watcher::Event;
use tokio::time::Instant;

use super::{
    replica::Replica,
    verdict::{Rollout, Unbound},
    version::{self, Versions},
};
use crate::resource::ObjectKey;

/// A Lease that has not changed for this many times its expiry is of a replica that will not come back.
const ABANDONED_EXPIRIES: u32 = 10;

/// All replicas that are known.
#[derive(Debug)]
pub(super) struct Fleet {
    /// The name of the own Lease.
    me: String,
    expiry: Duration,
    replicas: BTreeMap<String, Seen>,
    /// What a new list has brought so far.
    listing: BTreeMap<String, Seen>,
    /// Since when no replica is ready.
    unready_since: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Seen {
    replica: Option<Replica>,
    version: Option<String>,
    renewed: Option<Timestamp>,
    /// When it was last seen to change.
    at: Instant,
}

/// How many replicas there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) ready: usize,
    /// Alive, and not ready.
    pub(super) unready: usize,
    /// Their Leases are there, and are not renewed.
    pub(super) expired: usize,
}

// === impl Fleet ===

impl Fleet {
    pub(super) fn new(me: String, expiry: Duration) -> Self {
        Self {
            me,
            expiry,
            replicas: BTreeMap::new(),
            listing: BTreeMap::new(),
            unready_since: None,
        }
    }

    /// Takes in what the watch of the Leases says.
    pub(super) fn observe(&mut self, event: Event<Lease>, now: Instant) {
        match event {
            Event::Init => self.listing.clear(),
            Event::InitApply(lease) => {
                if let Some((name, seen)) = self.seen(lease, now) {
                    self.listing.insert(name, seen);
                }
            }
            Event::InitDone => self.replicas = mem::take(&mut self.listing),
            Event::Apply(lease) => {
                if let Some((name, seen)) = self.seen(lease, now) {
                    self.replicas.insert(name, seen);
                }
            }
            Event::Delete(lease) => {
                if let Some(name) = &lease.metadata.name {
                    self.replicas.remove(name);
                }
            }
        }
        self.tick(now);
    }

    /// Notes since when no replica is ready. To be called when a Lease may have expired, too.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.ready(now).next().is_some() {
            self.unready_since = None;
        } else {
            self.unready_since.get_or_insert(now);
        }
    }

    /// How far an object's generation has come, that was first seen at its version `mark`. None while that cannot be
    /// known: not even the own Lease is seen to change.
    pub(super) fn rollout(&self, key: &ObjectKey, mark: &str, now: Instant) -> Option<Rollout> {
        if !self.is_current(now) {
            return None;
        }
        let mut ready = self.ready(now).peekable();
        if ready.peek().is_none() {
            return Some(Rollout::NoReadyReplica);
        }
        let everywhere = ready.all(|(_, versions)| {
            version::of(versions, key).is_some_and(|reached| version::has_reached(reached, mark))
        });
        Some(if everywhere {
            Rollout::Everywhere
        } else {
            Rollout::Waiting
        })
    }

    /// Whether nobody has been ready for longer than a Lease lives: then what was served before is not any more. A restart of
    /// the only replica takes less, and rewrites no status.
    pub(super) fn is_dark(&self, now: Instant) -> bool {
        self.is_current(now)
            && self
                .unready_since
                .is_some_and(|since| now >= since + self.expiry)
    }

    /// When the first Lease expires or is abandoned, or the fleet goes dark, that was not yet at `since`.
    pub(super) fn changes_at(&self, since: Instant) -> Option<Instant> {
        let leases = self.replicas.values().flat_map(|seen| {
            [1, ABANDONED_EXPIRIES].map(|expiries| seen.at + self.expiry * expiries)
        });
        let dark = self.unready_since.map(|since| since + self.expiry);
        leases.chain(dark).filter(|at| *at > since).min()
    }

    /// Leases that nobody will ever renew: name and resource version.
    pub(super) fn abandoned(&self, now: Instant) -> Vec<(String, String)> {
        self.replicas
            .iter()
            .filter(|(name, seen)| {
                **name != self.me && now >= seen.at + self.expiry * ABANDONED_EXPIRIES
            })
            .filter_map(|(name, seen)| Some((name.clone(), seen.version.clone()?)))
            .collect()
    }

    /// The replicas that are ready and alive: the names of their Leases, and what they have reached.
    pub(super) fn ready(&self, now: Instant) -> impl Iterator<Item = (&str, &Versions)> {
        let ready = self.ready_replicas(now);
        ready.map(|(name, replica)| (name, &replica.versions))
    }

    /// Where the nodes with a ready replica are reached.
    pub(super) fn nodes(&self, now: Instant) -> BTreeSet<IpAddr> {
        let ready = self.ready_replicas(now);
        ready
            .flat_map(|(_, replica)| replica.nodes.iter().copied())
            .collect()
    }

    /// Who of those that are alive, ready or not, could not bind which port. None while that cannot be known.
    pub(super) fn unbound(&self, now: Instant) -> Option<BTreeMap<u16, Unbound>> {
        if !self.is_current(now) {
            return None;
        }
        let mut ports: BTreeMap<u16, Unbound> = BTreeMap::new();
        for (name, replica) in self.alive(now) {
            for port in &replica.unbound {
                let known = ports.entry(*port);
                known
                    .and_modify(|unbound| unbound.others += 1)
                    .or_insert_with(|| Unbound {
                        port: *port,
                        replica: name.into(),
                        others: 0,
                    });
            }
        }
        Some(ports)
    }

    fn ready_replicas(&self, now: Instant) -> impl Iterator<Item = (&str, &Replica)> {
        self.alive(now).filter(|(_, replica)| replica.ready)
    }

    fn alive(&self, now: Instant) -> impl Iterator<Item = (&str, &Replica)> {
        let alive = self
            .replicas
            .iter()
            .filter(move |(_, seen)| now < seen.at + self.expiry);
        alive.filter_map(|(name, seen)| Some((name.as_str(), seen.replica.as_ref()?)))
    }

    pub(super) fn census(&self, now: Instant) -> Census {
        let ready = self.ready(now).count();
        let alive = self.replicas.values();
        let alive = alive.filter(|seen| now < seen.at + self.expiry).count();
        Census {
            ready,
            unready: alive - ready,
            expired: self.replicas.len() - alive,
        }
    }

    /// Whether the watch works: the own Lease changes in it. All Leases are written as often, several times before they expire;
    /// so a watch in which one expires because it is dead has not shown the own one for longer than half of that.
    fn is_current(&self, now: Instant) -> bool {
        self.replicas
            .get(&self.me)
            .is_some_and(|seen| now < seen.at + self.expiry / 2)
    }

    fn seen(&self, lease: Lease, now: Instant) -> Option<(String, Seen)> {
        let replica = Replica::read(&lease);
        let renewed = lease
            .spec
            .and_then(|spec| spec.renew_time)
            .map(|time| time.0);
        let name = lease.metadata.name?;
        let at = self
            .replicas
            .get(&name)
            .filter(|before| before.renewed == renewed)
            .map_or(now, |before| before.at);
        let seen = Seen {
            replica,
            version: lease.metadata.resource_version,
            renewed,
            at,
        };
        Some((name, seen))
    }
}

#[cfg(test)]
mod tests;
