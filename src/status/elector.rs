//! Drives the [`Election`]: watches the leader Lease, writes it when it is time, and gives it back at the end.

use std::{mem, time::Duration};

use futures_util::{Stream, StreamExt};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tracing::{debug, info, warn};

use super::{
    Timing,
    backoff::WatchBackoff,
    election::{Attempt, Election, Record},
    name::{LEADER_ROLE, Names},
    replica::whole_seconds,
    stopped,
};

/// Until when this replica leads, if it does: each renewal moves it on.
pub(super) type Term = Option<Instant>;

/// A watch is begun anew after this, so that one that is dead without knowing it is noticed; shorter than a Lease must last.
pub(super) const WATCH_SECONDS: u32 = 20;

#[derive(Debug)]
pub(super) struct Elector {
    pub(super) leases: Api<Lease>,
    pub(super) names: Names,
    pub(super) timing: Timing,
    pub(super) term: watch::Sender<Term>,
    /// Whether it was said that the Lease cannot be written: once is enough.
    pub(super) complained: bool,
}

impl Elector {
    /// Runs until it is told to stop; then the Lease is given back, so that another takes it at once.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut election = Election::new(self.names.replica(), self.timing, Instant::now());
        let mut events = Box::pin(self.watch());
        loop {
            // While nothing is known there is nothing to do; a minute is as good as never.
            let far = Instant::now() + Duration::from_mins(1);
            let due = election.due().unwrap_or(far);
            let until = election.leads_until(Instant::now()).unwrap_or(far);
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                event = events.next() => observe(&mut election, event),
                () = sleep_until(due.min(until)) => tokio::select! {
                    biased;
                    () = stopped(&mut stop) => break,
                    () = self.attempt(&mut election) => {}
                },
            }
            self.publish(&election);
        }
        self.term.send_replace(None);
        self.release(&mut election).await;
    }

    fn watch(&self) -> impl Stream<Item = watcher::Result<Event<Lease>>> + use<> {
        let config = watcher::Config::default()
            .fields(&format!("metadata.name={}", self.names.leader()))
            .timeout(WATCH_SECONDS);
        watcher(self.leases.clone(), config).backoff(WatchBackoff::default())
    }

    async fn attempt(&mut self, election: &mut Election) {
        let began = Instant::now();
        let Some(attempt) = election.attempt(began) else {
            return;
        };
        let failure = match timeout(self.timing.request, self.write(&attempt)).await {
            Ok(Ok(lease)) => {
                self.complained = false;
                election.won(record(&lease), began, jitter(self.timing.renew / 10));
                return;
            }
            Ok(Err(error)) => Some(error),
            Err(_elapsed) => None,
        };
        election.failed(Instant::now(), jitter(self.timing.retry));
        match failure {
            Some(kube::Error::Api(status)) if status.code == 409 => self.look(election).await,
            failure => {
                let why = failure.map_or("no answer in time".to_owned(), |error| error.to_string());
                if !mem::replace(&mut self.complained, true) {
                    warn!(
                        why,
                        "The leader Lease cannot be written, so no status is: it is tried again. What it takes is get, list, watch, create, update, patch and delete of leases.coordination.k8s.io in the own namespace"
                    );
                }
            }
        }
    }

    async fn write(&self, attempt: &Attempt) -> kube::Result<Lease> {
        let now = MicroTime(Timestamp::now());
        let params = PostParams {
            field_manager: Some(self.names.field_manager()),
            ..PostParams::default()
        };
        let name = self.names.leader();
        let spec = |transitions| LeaseSpec {
            holder_identity: Some(self.names.replica()),
            lease_duration_seconds: Some(whole_seconds(self.timing.lease)),
            lease_transitions: Some(transitions),
            acquire_time: Some(now.clone()),
            renew_time: Some(now.clone()),
            ..LeaseSpec::default()
        };
        match attempt {
            Attempt::Create => {
                let lease = self.lease(None, spec(0));
                self.leases.create(&params, &lease).await
            }
            Attempt::Replace {
                version,
                transitions,
                takes,
            } => {
                let mut spec = spec(*transitions);
                if !takes {
                    spec.acquire_time = None;
                }
                let lease = self.lease(Some(version.clone()), spec);
                self.leases.replace(&name, &params, &lease).await
            }
        }
    }

    /// After a conflict: what is there now. The watch says it, too, and later.
    async fn look(&self, election: &mut Election) {
        let name = self.names.leader();
        if let Ok(Ok(lease)) = timeout(self.timing.request, self.leases.get_opt(&name)).await {
            election.observe(lease.as_ref().map(record), Instant::now());
        }
    }

    async fn release(&self, election: &mut Election) {
        let Some(record) = election.release(Instant::now()) else {
            return;
        };
        let spec = LeaseSpec {
            lease_duration_seconds: Some(1),
            lease_transitions: Some(record.transitions),
            ..LeaseSpec::default()
        };
        let lease = self.lease(Some(record.version), spec);
        let name = self.names.leader();
        let params = PostParams::default();
        let released = timeout(
            self.timing.request,
            self.leases.replace(&name, &params, &lease),
        );
        match released.await {
            Ok(Ok(_)) => info!("Released the leader Lease"),
            Ok(Err(error)) => warn!(%error, "The leader Lease cannot be released: it expires"),
            Err(_elapsed) => warn!("The leader Lease cannot be released in time: it expires"),
        }
    }

    fn lease(&self, version: Option<String>, spec: LeaseSpec) -> Lease {
        Lease {
            metadata: ObjectMeta {
                name: Some(self.names.leader()),
                labels: Some(self.names.labels(LEADER_ROLE)),
                resource_version: version,
                ..ObjectMeta::default()
            },
            spec: Some(spec),
        }
    }

    fn publish(&self, election: &Election) {
        let term = election.leads_until(Instant::now());
        self.term.send_if_modified(|current| {
            if *current == term {
                return false;
            }
            match (current.is_some(), term.is_some()) {
                (false, true) => info!("Leading: this replica writes the status of objects"),
                (true, false) => info!("Not leading any more"),
                _ => {}
            }
            *current = term;
            true
        });
    }
}

fn observe(election: &mut Election, event: Option<watcher::Result<Event<Lease>>>) {
    let now = Instant::now();
    match event {
        Some(Ok(Event::Apply(lease) | Event::InitApply(lease))) => {
            election.observe(Some(record(&lease)), now);
        }
        Some(Ok(Event::Delete(_))) => election.observe(None, now),
        // An empty list: there is no Lease, unless one was seen in it.
        Some(Ok(Event::InitDone)) if election.due().is_none() => election.observe(None, now),
        Some(Ok(Event::Init | Event::InitDone)) | None => {}
        Some(Err(error)) => debug!(%error, "The watch of the leader Lease failed"),
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let seconds = spec.lease_duration_seconds.unwrap_or_default();
    Record {
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        renewed: spec.renew_time.map(|time| time.0.to_string()),
        duration: Duration::from_secs(u64::try_from(seconds).unwrap_or_default()),
        transitions: spec.lease_transitions.unwrap_or_default(),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}

/// Whether this replica leads at this moment.
pub(super) fn leads(terms: &watch::Receiver<Term>) -> bool {
    terms.borrow().is_some_and(|until| Instant::now() < until)
}

/// Any time up to `most`.
pub(super) fn jitter(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}
