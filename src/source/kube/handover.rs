//! From the set that an earlier process has kept to the API server's own.
//!
//! ```text
//!           the first list is whole
//!  waiting ─────────────────────────────────> live
//!     │                                        ^
//!     │ nobody answers     the first list      │
//!     └──────────────────> kept ───────────────┘
//! ```
//!
//! Until the first list is whole, nothing of it is given out: half of what is and half of what was would be a set that never
//! was. Then what is gone in the meantime is deleted, and what is there is put in its place, all in one batch.

mod given;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch as channel},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use self::given::{Given, Held};
use super::{Kube, KubeError, hub::Hub, recovery};
use crate::{
    resource::ObjectKey,
    source::{
        Change,
        kept::{KeptError, StateDir},
    },
    telemetry::health::Part,
};

/// An API server that says nothing for so long after the start is away.
const AWAY: Duration = Duration::from_secs(3);
/// Batches of the hub that wait.
const INBOX: usize = 4;
/// Whoever compiles something believes all to be well, so it is said again and again.
const SAY_AGAIN: Duration = Duration::from_secs(1);

/// The Secrets that are wanted.
type Wanted = channel::Receiver<Arc<BTreeSet<ObjectKey>>>;

/// Between the hub and whoever takes its changes.
pub(super) struct Handover {
    kube: Kube,
    state: StateDir,
}

// === impl Handover ===

impl Handover {
    pub(super) fn new(kube: Kube, state: StateDir) -> Self {
        Self { kube, state }
    }

    pub(super) async fn run(
        self,
        changes: mpsc::Sender<Vec<Change>>,
        wanted: Wanted,
    ) -> Result<(), KubeError> {
        if self.state.is_in_memory() == Some(false) {
            warn!(
                folder = %self.state.folder.display(),
                "The folder for state is not in memory: private keys of Secrets are written to a disk"
            );
        }
        let hub = Hub::new(self.kube.clone());
        let away = hub.away();
        let (sender, live) = mpsc::channel(INBOX);
        // Ended with this future, however it ends.
        let mut tasks = JoinSet::new();
        tasks.spawn(hub.run(sender, wanted.clone()));
        tokio::select! {
            () = self.pass_on(live, away, &changes, &wanted) => Ok(()),
            Some(ended) = tasks.join_next() => ended.map_err(KubeError::Lost)?,
        }
    }

    async fn pass_on(
        &self,
        mut live: mpsc::Receiver<Vec<Change>>,
        mut away: recovery::Away,
        changes: &mpsc::Sender<Vec<Change>>,
        wanted: &Wanted,
    ) {
        let mut held = Held::default();
        let mut given = None;
        let mut is_tried = false;
        let mut say = interval(SAY_AGAIN);
        say.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = changes.closed() => return,
                batch = live.recv() => {
                    let Some(batch) = batch else { return ended().await };
                    held.extend(batch);
                    if held.is_whole {
                        break;
                    }
                }
                () = recovery::is_away_for(&mut away, AWAY), if !is_tried => {
                    is_tried = true;
                    given = self.give(changes).await;
                }
                _ = say.tick() => if let Some(given) = &given {
                    self.say(given);
                },
            }
        }
        let (mut batch, mut secrets) = match given {
            None => (held.changes(), BTreeSet::new()),
            Some(given) => {
                info!(
                    "The API server is back, and its own resource set takes the place of the kept one"
                );
                self.kube.metrics.kept(None);
                given.replaced_by(held)
            }
        };
        loop {
            withdraw(&mut secrets, &wanted.borrow(), &mut batch);
            if changes.send(batch).await.is_err() {
                return;
            }
            batch = match live.recv().await {
                Some(batch) => batch,
                None => return ended().await,
            };
        }
    }

    /// Gives out what an earlier process has kept, if it can be used.
    async fn give(&self, changes: &mpsc::Sender<Vec<Change>>) -> Option<Given> {
        let state = self.state.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let kept = state.read()?;
            Ok::<_, KeptError>(kept.map(|kept| (kept.at, given::changes(kept))))
        });
        let file = self.state.path();
        let file = file.display();
        let (at, batch) = match reading.await.expect("reading a file must not panic") {
            Ok(Some(kept)) => kept,
            Ok(None) => {
                info!(%file, "The API server is away, and no resource set of an earlier process is there");
                return None;
            }
            Err(error) => {
                warn!(%file, %error, "The API server is away, and the resource set of an earlier process cannot be used");
                return None;
            }
        };
        let age = Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default();
        let given = Given::new(&batch, age);
        warn!(
            %file,
            kept.age = ?age,
            changes = batch.len(),
            "The API server is away: serving the last good resource set of an earlier process until it is back"
        );
        self.kube.metrics.kept(Some(age));
        // Whoever has no use for it will be seen by the caller.
        let _gone = changes.send(batch).await;
        Some(given)
    }

    fn say(&self, given: &Given) {
        self.kube.health.degraded(
            Part::Configuration,
            format!(
                "the API server has been away since the start: the last good resource set, kept {} s ago by an earlier process, \
                 is in use",
                given.age().as_secs()
            ),
        );
    }
}

/// The hub's end is its task's to tell.
async fn ended() {
    std::future::pending::<()>().await;
}

/// Takes back the kept Secrets that nobody wants any more. Of the others, the API server's word will come.
fn withdraw(
    secrets: &mut BTreeSet<ObjectKey>,
    wanted: &BTreeSet<ObjectKey>,
    batch: &mut Vec<Change>,
) {
    if secrets.is_empty() {
        return;
    }
    for change in &*batch {
        if let Some(key) = change.key() {
            secrets.remove(key);
        }
    }
    let unwanted = secrets.extract_if(.., |key| !wanted.contains(key));
    batch.extend(unwanted.map(Change::Delete));
}
