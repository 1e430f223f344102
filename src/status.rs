//! From the report to the status of objects in the API server; by the leader only, and only what differs.
//!
//! ```text
//!  snapshots ──> heartbeat ──> Lease of this replica ──┐ every replica
//!      │                                               v
//!      │         elector <──> leader Lease          lookout ── fleet: which versions all ready replicas have reached
//!      │            │ term                             │
//!      └────────> writer ── ledger: what each object's status should say, and whether it does ──> status of objects
//! ```
//!
//! Every replica keeps a Lease that says which resource versions it has compiled. The leader notes at which version of an
//! object it first saw a generation of it, and calls the object programmed when all ready replicas have reached that version.

mod backoff;
mod condition;
mod election;
mod elector;
mod emissary;
mod fleet;
mod heartbeat;
mod lag;
mod ledger;
mod lookout;
pub mod metrics;
mod name;
mod objects;
mod published;
mod replica;
#[cfg(test)]
mod testing;
mod verdict;
mod writer;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    future::Future,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use kube::{Api, Client};
use thiserror::Error;
use tokio::{sync::watch, time::Instant};

pub use metrics::StatusMetrics;

use crate::{
    config::ObjectName,
    report::{Report, version},
    resource::Group,
    telemetry::health::Health,
};
use elector::Elector;
use heartbeat::Heartbeat;
use name::Names;
use writer::Writer;

/// As the schema of `status.installations` has it.
const MAX_INSTALLATION_NAME: usize = 63;

/// A compiled state, as far as it matters here.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub report: Arc<Report>,
    /// The highest resource version compiled, by watch: `mappings.postern.dev`, `apps/mappings.postern.dev`.
    pub versions: Arc<BTreeMap<Arc<str>, Arc<str>>>,
    /// Counts the compiles of this process.
    pub generation: u64,
}

/// Who we are, and how fast.
pub struct Options {
    /// The installation: its entry in the status of objects has this name.
    pub installation: String,
    /// Postern's own namespace, where the Leases are.
    pub namespace: String,
    /// The name of this replica, unique in the namespace: the pod's.
    pub replica: String,
    /// The pod's uid, if it is known; otherwise the pod is looked up.
    pub pod_uid: Option<String>,
    /// The namespaces whose objects are watched, beside the own one; empty for all.
    pub namespaces: Vec<String>,
    /// Groups whose objects are only read: somebody else says what becomes of them.
    pub silent: Vec<Group>,
    /// The Service whose addresses are told with Hosts and Listeners.
    pub publish: Option<ObjectName>,
    /// Where the node of this replica is reached: told instead, of all ready replicas, where there is no such Service.
    pub node_addresses: Vec<IpAddr>,
    /// The version of this build.
    pub build: String,
    /// The preset that the process was started with.
    pub preset: Option<String>,
    /// The digest of the graph in use; asked for only when the Lease is written for a new snapshot.
    pub digest: Box<dyn Fn() -> String + Send + Sync>,
    /// The ports of Listeners that could not be bound.
    pub unbound: Box<dyn Fn() -> BTreeSet<u16> + Send + Sync>,
    pub health: Health,
    pub metrics: StatusMetrics,
    pub timing: Timing,
}

/// Intervals and limits. The defaults are what production uses.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A replica's Lease is written this often even if nothing changed: more than twice before it expires.
    pub heartbeat: Duration,
    /// A replica whose Lease has not changed for this long does not count.
    pub replica_expiry: Duration,
    /// A replica's Lease is not written more often.
    pub lease_write_interval: Duration,
    /// A leader that has not renewed for this long may be succeeded.
    pub lease: Duration,
    /// A leader that could not renew for this long stops. Shorter than `lease`.
    pub renew_deadline: Duration,
    /// A leader renews this often.
    pub renew: Duration,
    /// After a failed attempt to write the leader Lease.
    pub retry: Duration,
    /// What waits for replicas only is written after this: most often they are there before.
    pub settle: Duration,
    /// The status of one object is not written more often.
    pub object_write_interval: Duration,
    /// Between the starts of two writes, whatever their objects, in the long run.
    pub pace: Duration,
    /// As many writes may begin at once as the pace allows in this time, if there were none before.
    pub burst: Duration,
    /// Writes under way at the same time.
    pub concurrency: usize,
    /// The leader lists all objects this often, to mend what others did to the status.
    pub resync: Duration,
    /// For one request to the API server.
    pub request: Duration,
}

/// Why status cannot be written at all.
#[derive(Debug, Error)]
pub enum StatusError {
    /// A Lease needs a namespace.
    #[error("the namespace of Postern is not known")]
    NoNamespace,
    /// Replicas could not be told apart.
    #[error("the name of this replica is not known")]
    NoReplica,
    /// The schema of the status allows no other name.
    #[error("the name of an installation must have 1 to 63 characters")]
    InstallationName,
    /// Two replicas could lead at the same time.
    #[error("the renew deadline is not shorter than the lease")]
    DeadlineTooLong,
    /// A replica could not tell whether it sees the Leases of others.
    #[error("a replica's Lease is not written twice before it expires")]
    HeartbeatTooSlow,
}

/// The status writer.
#[derive(Debug)]
pub struct Status;

// === impl Timing ===

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(10),
            replica_expiry: Duration::from_secs(30),
            lease_write_interval: Duration::from_secs(1),
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            renew: Duration::from_secs(5),
            retry: Duration::from_secs(1),
            settle: Duration::from_secs(2),
            object_write_interval: Duration::from_secs(1),
            pace: Duration::from_millis(4),
            burst: Duration::from_secs(2),
            concurrency: 16,
            resync: Duration::from_mins(10),
            request: Duration::from_secs(4),
        }
    }
}

impl Timing {
    /// When the write after one that begins now may begin, if this one was allowed from `allowed` on.
    fn paced(&self, allowed: Instant, now: Instant) -> Instant {
        let credit = now.checked_sub(self.burst).unwrap_or(now);
        allowed.max(credit) + self.pace
    }
}

// === impl Options ===

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("installation", &self.installation)
            .field("namespace", &self.namespace)
            .field("replica", &self.replica)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// The namespaces whose objects are watched; empty for all.
    fn watched(&self) -> Vec<String> {
        let mut watched = self.namespaces.clone();
        if !watched.is_empty() && !watched.contains(&self.namespace) {
            watched.push(self.namespace.clone());
        }
        watched
    }

    fn check(&self) -> Result<(), StatusError> {
        if self.namespace.is_empty() {
            return Err(StatusError::NoNamespace);
        }
        if self.replica.is_empty() {
            return Err(StatusError::NoReplica);
        }
        if !(1..=MAX_INSTALLATION_NAME).contains(&self.installation.chars().count()) {
            return Err(StatusError::InstallationName);
        }
        if self.timing.renew_deadline >= self.timing.lease {
            return Err(StatusError::DeadlineTooLong);
        }
        if self.timing.heartbeat * 2 >= self.timing.replica_expiry {
            return Err(StatusError::HeartbeatTooSlow);
        }
        Ok(())
    }
}

// === impl Status ===

impl Status {
    /// Runs until `stop` is ready. Then nothing more is written, the leader Lease is given back, and the Lease of this replica
    /// deleted: that takes as long as two requests at most.
    pub async fn run(
        client: Client,
        options: Options,
        snapshots: watch::Receiver<Option<Snapshot>>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), StatusError> {
        options.check()?;
        let names = Names::new(&options.installation, &options.replica);
        let (stopping, stopped) = watch::channel(false);
        let (term, terms) = watch::channel(None);
        let elector = Elector {
            leases: Api::namespaced(client.clone(), &options.namespace),
            names: names.clone(),
            timing: options.timing,
            term,
            complained: false,
        };
        let heartbeat = Heartbeat {
            client: client.clone(),
            names: names.clone(),
            options: &options,
            snapshots: snapshots.clone(),
        };
        let writer = Writer::new(client, names, &options, snapshots, terms);
        let stop = async {
            stop.await;
            stopping.send_replace(true);
        };
        // Boxed: these are large, and made once.
        tokio::join!(
            stop,
            Box::pin(elector.run(stopped.clone())),
            Box::pin(heartbeat.run(stopped.clone())),
            Box::pin(writer.run(stopped)),
        );
        Ok(())
    }
}

/// Ready when there is nothing more to be done.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // The sender lives as long as all who wait here; if not, that is the end, too.
    let _ended = stop.wait_for(|stop| *stop).await;
}

/// Ready at a time; never when there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut Options);

    #[test]
    fn options_that_cannot_work_are_refused_before_anything_is_written() {
        let options = |change: Change| {
            let mut options = Options {
                installation: "default".to_owned(),
                namespace: "postern".to_owned(),
                replica: "pod-1".to_owned(),
                pod_uid: None,
                namespaces: Vec::new(),
                publish: None,
                node_addresses: Vec::new(),
                silent: Vec::new(),
                preset: None,
                build: "test".to_owned(),
                digest: Box::new(String::new),
                unbound: Box::new(BTreeSet::new),
                health: Health::new(),
                metrics: StatusMetrics::default(),
                timing: Timing::default(),
            };
            change(&mut options);
            options.check().map_err(|error| error.to_string())
        };
        assert_eq!(options(|_| ()), Ok(()));
        let bad: [(Change, &str); 6] = [
            (|o| o.namespace.clear(), "namespace"),
            (|o| o.replica.clear(), "replica"),
            (|o| o.installation.clear(), "1 to 63"),
            (|o| o.installation = "x".repeat(64), "1 to 63"),
            (|o| o.timing.renew_deadline = o.timing.lease, "deadline"),
            (
                |o| o.timing.heartbeat = o.timing.replica_expiry / 2,
                "twice",
            ),
        ];
        for (change, words) in bad {
            let error = options(change).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
