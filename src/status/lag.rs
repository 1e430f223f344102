//! Which ready replicas are behind the leader, and since when.
//!
//! What counts is the highest version of an object whose generation the leader has seen, by watch. How far the leader's watches
//! have come does not count: a list of a quiet kind is at a version that no other watch has to tell.

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    fleet::Fleet,
    metrics::{Behind, Lateness},
    version::{self, Versions},
};
use crate::report::replica::WORTH_A_WARNING;

/// The replicas that are behind, by the names of their Leases.
#[derive(Debug, Default)]
pub(super) struct Lag {
    behind: BTreeMap<String, Debt>,
}

/// What a replica has not reached.
#[derive(Debug)]
struct Debt {
    since: Instant,
    /// To be reached before something newer counts: what comes later is no older debt.
    versions: Arc<Versions>,
    /// One in which it has not.
    watch: Arc<str>,
    warned: bool,
}

// === impl Lag ===

impl Lag {
    /// To be called when the fleet or the newest versions may have changed, and when a warning is due.
    pub(super) fn update(&mut self, fleet: &Fleet, newest: &Arc<Versions>, now: Instant) {
        let mut before = std::mem::take(&mut self.behind);
        for (name, reached) in fleet.ready(now) {
            let debt = before.remove(name).filter(|debt| {
                let paid = first_unreached(reached, &debt.versions).is_none();
                if paid && debt.warned {
                    info!(replica = name, "The replica has caught up");
                }
                !paid
            });
            let debt = debt.or_else(|| {
                first_unreached(reached, newest).map(|watch| Debt {
                    since: now,
                    versions: Arc::clone(newest),
                    watch: watch.into(),
                    warned: false,
                })
            });
            if let Some(mut debt) = debt {
                if let Some(watch) = first_unreached(reached, &debt.versions)
                    && *watch != *debt.watch
                {
                    debt.watch = watch.into();
                }
                debt.warn(name, now);
                self.behind.insert(name.to_owned(), debt);
            }
        }
    }

    /// When the next warning is due, if nothing changes.
    pub(super) fn warns_at(&self) -> Option<Instant> {
        let silent = self.behind.values().filter(|debt| !debt.warned);
        silent.map(|debt| debt.since + WORTH_A_WARNING).min()
    }

    /// For the metrics.
    pub(super) fn behind(&self) -> Behind {
        let behind = self.behind.iter();
        behind
            .map(|(name, debt)| {
                let late = Lateness {
                    since: debt.since,
                    watch: Arc::clone(&debt.watch),
                };
                (name.as_str().into(), late)
            })
            .collect()
    }
}

// === impl Debt ===

impl Debt {
    /// Once.
    fn warn(&mut self, replica: &str, now: Instant) {
        if self.warned || now < self.since + WORTH_A_WARNING {
            return;
        }
        self.warned = true;
        let watch = &*self.watch;
        warn!(
            replica,
            watch,
            "A ready replica does not serve what was changed some seconds ago: objects wait for it. Look at its pod"
        );
    }
}

/// A watch in which `reached` has not come as far as `versions`.
fn first_unreached<'v>(reached: &Versions, versions: &'v Versions) -> Option<&'v str> {
    let mut unreached = versions.iter().filter(|(watch, version)| {
        let reached = version::in_watch(reached, watch);
        !reached.is_some_and(|reached| version::has_reached(reached, version))
    });
    unreached.next().map(|(watch, _)| &**watch)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::runtime::watcher::Event;

    use super::*;
    use crate::status::testing::lease;

    const SECOND: Duration = Duration::from_secs(1);

    fn late(since: Instant) -> Lateness {
        Lateness {
            since,
            watch: "mappings.postern.dev".into(),
        }
    }

    fn newest(version: &str) -> Arc<Versions> {
        Arc::new([("mappings.postern.dev".into(), version.into())].into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_is_behind_from_the_first_change_it_has_not_reached() {
        let start = Instant::now();
        let mut fleet = Fleet::new("postern-default-me".to_owned(), SECOND * 30);
        fleet.observe(Event::Apply(lease("me", true, "99", 0)), start);
        fleet.observe(Event::Apply(lease("b", true, "5", 0)), start);
        fleet.observe(Event::Apply(lease("loading", false, "1", 0)), start);
        let mut lag = Lag::default();
        lag.update(&fleet, &newest("5"), start);
        assert_eq!(lag.behind(), Behind::default());

        let name: Arc<str> = "postern-default-b".into();
        for second in 0..8 {
            let now = start + SECOND * second;
            // New changes all the time do not make it look younger.
            lag.update(&fleet, &newest(&format!("{}", 6 + second)), now);
            assert_eq!(lag.behind(), [(name.clone(), late(start))].into());
            let due = (second < 5).then_some(start + SECOND * 5);
            assert_eq!(lag.warns_at(), due, "after {second} s");
        }
        // It has what was owed, and owes what came since.
        let later = start + SECOND * 8;
        fleet.observe(Event::Apply(lease("b", true, "7", 8)), later);
        lag.update(&fleet, &newest("13"), later);
        assert_eq!(lag.behind(), [(name, late(later))].into());
        fleet.observe(Event::Apply(lease("b", true, "13", 9)), later);
        fleet.observe(Event::Apply(lease("me", true, "99", 9)), later);
        lag.update(&fleet, &newest("13"), later);
        assert_eq!((lag.behind(), lag.warns_at()), (Behind::default(), None));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_gone_is_not_behind() {
        let start = Instant::now();
        let mut fleet = Fleet::new("postern-default-me".to_owned(), SECOND * 30);
        fleet.observe(Event::Apply(lease("b", true, "5", 0)), start);
        let mut lag = Lag::default();
        lag.update(&fleet, &newest("6"), start);
        assert_eq!(lag.behind().len(), 1);
        lag.update(&fleet, &newest("6"), start + SECOND * 30);
        assert_eq!(lag.behind(), Behind::default());
    }
}
