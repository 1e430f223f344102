//! The leader's loop: keeps the ledger, and carries out what is due, at most so many writes at a time and a second.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{DeleteParams, Preconditions},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};
use tracing::{Instrument, debug, info, info_span, warn};

use super::{
    Options, Snapshot, at,
    condition::{Address, MAX_ADDRESSES},
    elector::{Term, jitter, leads},
    fleet::Fleet,
    lag::Lag,
    ledger::{Job, Ledger, Now},
    lookout::Lookout,
    name::Names,
    objects::{Found, Objects, Outcome},
    published::Published,
    stopped,
};
use crate::report::Report;

/// After a list of all objects that failed.
const LIST_AGAIN: Duration = Duration::from_secs(2);

/// After Leases that nobody renews were deleted, or could not be.
const CLEAN_UP_AGAIN: Duration = Duration::from_mins(1);

/// How many failed writes in a row make the API server one that is away: then one write at a time tries.
const AWAY_FAILURES: u32 = 8;

pub(super) struct Writer<'o> {
    client: Client,
    names: Names,
    options: &'o Options,
    snapshots: watch::Receiver<Option<Snapshot>>,
    terms: watch::Receiver<Term>,
}

/// One term of leadership.
struct Leading<'w> {
    options: &'w Options,
    leases: Api<Lease>,
    objects: Objects,
    ledger: Ledger,
    lag: Lag,
    writes: JoinSet<(Job, Outcome)>,
    lists: JoinSet<(Instant, Option<Vec<Found>>)>,
    /// Deletes of Leases that nobody renews.
    cleanups: JoinSet<()>,
    next_cleanup: Instant,
    /// The report in the ledger.
    report: Option<Arc<Report>>,
    next_list: Option<Instant>,
    /// Nothing is written before all objects were listed once.
    listed: bool,
    /// Nor before it is known where the installation is reachable, where that is told.
    is_placed: bool,
    not_before: Instant,
    /// Failed writes since the last that succeeded.
    failures: u32,
}

// === impl Writer ===

impl<'o> Writer<'o> {
    pub(super) fn new(
        client: Client,
        names: Names,
        options: &'o Options,
        snapshots: watch::Receiver<Option<Snapshot>>,
        terms: watch::Receiver<Term>,
    ) -> Self {
        Self {
            client,
            names,
            options,
            snapshots,
            terms,
        }
    }

    /// Runs until it is told to stop. What is under way when leadership ends is dropped: nothing is written after it.
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let expiry = self.options.timing.replica_expiry;
        let mut lookout = Lookout::new(
            self.leases(),
            &self.names.replicas_selector(),
            Fleet::new(self.names.replica(), expiry),
        );
        let mut terms = self.terms.clone();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => return,
                elected = terms.wait_for(|term| term.is_some_and(|until| Instant::now() < until)) => {
                    if elected.is_err() {
                        return;
                    }
                }
                () = lookout.changed() => continue,
            }
            self.options.metrics.leads(true);
            tokio::select! {
                biased;
                () = stopped(&mut stop) => {}
                () = deposed(self.terms.clone()) => {}
                () = Box::pin(self.lead(&mut lookout)).instrument(info_span!("status")) => {}
            }
            self.options.metrics.leads(false);
            if *stop.borrow() {
                return;
            }
        }
    }

    async fn lead(&self, lookout: &mut Lookout) {
        let mut snapshots = self.snapshots.clone();
        snapshots.mark_changed();
        let mut leading = Leading::new(self);
        let publish = self.options.publish.as_ref();
        let mut published = publish.map(|service| Published::new(self.client.clone(), service));
        leading.is_placed = published.is_none();
        leading.fleet_changed(&lookout.fleet);
        loop {
            leading.start_writes(&lookout.fleet);
            let write_at = leading.next_write();
            let list_at = leading.next_list.filter(|_| leading.lists.is_empty());
            tokio::select! {
                Some(done) = leading.writes.join_next() => leading.wrote(done),
                Some(done) = leading.lists.join_next() => leading.list_ended(done),
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let snapshot = snapshots.borrow_and_update().clone();
                    if let Some(snapshot) = snapshot {
                        leading.apply(&snapshot, &lookout.fleet);
                    }
                }
                () = lookout.changed() => leading.fleet_changed(&lookout.fleet),
                addresses = next(&mut published) => leading.reachable(addresses),
                () = at(leading.lag.warns_at()) => leading.look_at(&lookout.fleet),
                Some(_) = leading.cleanups.join_next() => {}
                () = at(list_at) => leading.start_list(),
                () = at(write_at) => {}
            }
        }
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.options.namespace)
    }
}

/// The next addresses; never, where none are told.
async fn next(published: &mut Option<Published>) -> Arc<[Address]> {
    match published {
        Some(published) => published.next().await,
        None => std::future::pending().await,
    }
}

/// Ready when the term is over: it was given up, or ran out.
async fn deposed(mut terms: watch::Receiver<Term>) {
    loop {
        let until = *terms.borrow_and_update();
        let Some(until) = until else {
            return;
        };
        tokio::select! {
            () = at(Some(until)) => {
                if !leads(&terms) {
                    return;
                }
            }
            changed = terms.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

// === impl Leading ===

impl<'w> Leading<'w> {
    fn new(writer: &Writer<'w>) -> Self {
        let options = writer.options;
        let installation: Arc<str> = options.installation.as_str().into();
        let now = Instant::now();
        Self {
            options,
            leases: writer.leases(),
            objects: Objects::new(
                writer.client.clone(),
                writer.terms.clone(),
                installation.clone(),
                writer.names.field_manager(),
            ),
            ledger: Ledger::new(installation, options.timing).silent(&options.silent),
            lag: Lag::default(),
            writes: JoinSet::new(),
            lists: JoinSet::new(),
            cleanups: JoinSet::new(),
            next_cleanup: now,
            report: None,
            next_list: None,
            listed: false,
            is_placed: true,
            not_before: now.checked_sub(options.timing.burst).unwrap_or(now),
            failures: 0,
        }
    }

    /// The first snapshot is compared with what is there, so that nothing is written that is so already.
    fn apply(&mut self, snapshot: &Snapshot, fleet: &Fleet) {
        let known = self.report.replace(snapshot.report.clone());
        if known.is_some_and(|known| Arc::ptr_eq(&known, &snapshot.report)) {
            return;
        }
        self.ledger.apply(snapshot, Instant::now());
        self.look_at(fleet);
        if self.next_list.is_none() {
            self.next_list = Some(Instant::now());
        }
    }

    fn start_list(&mut self) {
        let (objects, namespaces) = (self.objects.clone(), self.options.watched());
        let began = Instant::now();
        self.next_list = Some(began + self.options.timing.resync);
        self.lists.spawn(async move {
            match objects.list(&namespaces).await {
                Ok(found) => (began, Some(found)),
                Err(error) => {
                    warn!(%error, "The objects cannot be listed for their status");
                    (began, None)
                }
            }
        });
    }

    fn list_ended(&mut self, done: Result<(Instant, Option<Vec<Found>>), tokio::task::JoinError>) {
        let now = Instant::now();
        let Ok((began, Some(found))) = done else {
            self.next_list = Some(now + LIST_AGAIN + jitter(LIST_AGAIN));
            return;
        };
        self.ledger.found(found, began, now);
        self.listed = true;
    }

    /// Tells of replicas that are behind.
    fn look_at(&mut self, fleet: &Fleet) {
        let now = Instant::now();
        self.lag.update(fleet, self.ledger.newest(), now);
        let behind = self.lag.behind();
        self.options.metrics.replicas(fleet.census(now), behind);
    }

    fn fleet_changed(&mut self, fleet: &Fleet) {
        let now = Instant::now();
        self.ledger.fleet_changed(fleet, now);
        self.nodes_changed(fleet, now);
        self.look_at(fleet);
        if now < self.next_cleanup {
            return;
        }
        for (name, version) in fleet.abandoned(now) {
            self.next_cleanup = now + CLEAN_UP_AGAIN;
            let leases = self.leases.clone();
            // A replica that wakes up in this moment has written another version, and keeps its Lease.
            let params = DeleteParams::default().preconditions(Preconditions {
                uid: None,
                resource_version: Some(version),
            });
            self.cleanups.spawn(async move {
                if leases.delete(&name, &params).await.is_ok() {
                    info!(lease = name, "Deleted the Lease of a replica that is gone");
                }
            });
        }
    }

    /// Without a Service, it is reached where its nodes are. With no replica ready, what was told stays: it is to be looked for
    /// where it was.
    fn nodes_changed(&mut self, fleet: &Fleet, now: Instant) {
        if self.options.publish.is_some() {
            return;
        }
        let nodes = fleet.nodes(now);
        if !nodes.is_empty() {
            let nodes = nodes.into_iter().take(MAX_ADDRESSES);
            self.ledger
                .reachable(nodes.map(Address::from).collect(), now);
        }
    }

    fn reachable(&mut self, addresses: Arc<[Address]>) {
        self.is_placed = true;
        self.ledger.reachable(addresses, Instant::now());
    }

    fn may_write(&self) -> bool {
        let concurrency = if self.failures < AWAY_FAILURES {
            self.options.timing.concurrency
        } else {
            1
        };
        self.listed && self.is_placed && self.writes.len() < concurrency
    }

    /// When the next write may begin, if nothing happens before.
    fn next_write(&self) -> Option<Instant> {
        let due = self.ledger.next_due().filter(|_| self.may_write())?;
        Some(due.max(self.not_before))
    }

    /// Starts what is due, as far as pace and concurrency allow.
    fn start_writes(&mut self, fleet: &Fleet) {
        let now = Instant::now();
        while self.may_write() && now >= self.not_before {
            let wall = Timestamp::now();
            let Some(job) = self.ledger.next(fleet, Now { instant: now, wall }) else {
                break;
            };
            self.not_before = self.options.timing.paced(self.not_before, now);
            let objects = self.objects.clone();
            // A read and a write, each as long as a request may take.
            let limit = self.options.timing.request * 2;
            self.writes.spawn(async move {
                let write = objects.write(&job.key, &job.uid, &job.wanted);
                let outcome = timeout(limit, write).await.unwrap_or_else(|_elapsed| {
                    Outcome::Unavailable("no answer in time".to_owned())
                });
                (job, outcome)
            });
        }
        self.options.metrics.unsettled(self.ledger.unsettled());
    }

    fn wrote(&mut self, done: Result<(Job, Outcome), tokio::task::JoinError>) {
        let (job, outcome) = match done {
            Ok(done) => done,
            // Only a bug can do that: it should be seen, and the term begin anew.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let object = &job.key;
        let news = self.ledger.finished(&job, &outcome, Instant::now());
        self.options.metrics.finished(outcome.name());
        match &outcome {
            Outcome::Unavailable(reason) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures == 1 || self.failures == AWAY_FAILURES {
                    warn!(%object, reason, "A status cannot be written: it is tried again");
                }
                return;
            }
            Outcome::Refused(reason) if news => {
                warn!(%object, reason, "The API server refuses a status");
            }
            Outcome::Written => debug!(%object, "Wrote the status"),
            Outcome::Refused(_) | Outcome::Unchanged | Outcome::Gone | Outcome::Conflict => {}
        }
        if self.failures >= AWAY_FAILURES {
            info!("The API server takes status again");
        }
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests;
