//! The objects of an API server, watched.
//!
//! ```text
//!  one watch for each kind (and namespace) ──┐
//!  which kinds are served ───────────────────┼──> hub ──> changes
//!  wanted Secrets, and their bodies ─────────┘
//! ```
//!
//! With a folder for state, the hub keeps there what it has heard, and what it has to say goes through a handover: as long as
//! the API server has been away from the start, that gives out what an earlier process has kept.
//!
//! Every object is read as JSON and decoded by itself, so that none can hide another. A request that fails changes nothing
//! of what was sent. Nothing is ever written to it.

mod backoff;
mod bodies;
mod catalogue;
mod connect;
mod found;
mod handover;
mod hub;
mod keeper;
mod known;
#[cfg(test)]
mod mock;
pub mod once;
mod recovery;
mod request;
mod resource;
mod running;
mod secrets;
mod watch;

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::{mpsc, watch as channel};

pub use self::connect::{Connection, KubeError, connect, connect_as_kubectl};
use self::{handover::Handover, hub::Hub};
use super::{Change, kept::StateDir};
use crate::{
    config::{ObjectName, Selector},
    resource::ObjectKey,
    telemetry::{health::Health, watches::WatchMetrics},
};

/// An API server.
#[derive(Clone)]
pub struct Kube {
    pub client: kube::Client,
    /// Empty: all.
    pub namespaces: Vec<String>,
    /// Which objects are read, of the kinds that another gateway reads too.
    pub selector: Selector,
    /// Whether it serves where Postern's own kinds are not installed.
    pub spares_own_kinds: bool,
    /// Where Secrets may be read. With no names either: in all that are watched.
    pub secret_namespaces: Vec<String>,
    /// Secrets that may be read, wherever they are.
    pub secret_names: Vec<ObjectName>,
    /// Watched in any case.
    pub own_namespace: String,
    pub health: Health,
    pub metrics: WatchMetrics,
    /// Where the last good set is kept, if it is.
    pub state: Option<StateDir>,
}

impl std::fmt::Debug for Kube {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kube")
            .field("namespaces", &self.namespaces)
            .field("own_namespace", &self.own_namespace)
            .finish_non_exhaustive()
    }
}

impl Kube {
    /// Sends all that there is, `Synced` once every kind has been listed, and then what changes. Ends when the receiver of
    /// the changes is gone. The bodies of Secrets are sent while they are wanted, and no longer.
    pub async fn run(
        self,
        changes: mpsc::Sender<Vec<Change>>,
        wanted: channel::Receiver<Arc<BTreeSet<ObjectKey>>>,
    ) -> Result<(), KubeError> {
        match self.state.clone() {
            Some(state) => Handover::new(self, state).run(changes, wanted).await,
            None => Hub::new(self).run(changes, wanted).await,
        }
    }
}

#[cfg(test)]
mod tests;
