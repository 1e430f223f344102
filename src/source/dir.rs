//! A folder of manifests: read once, or watched.
//!
//! ```text
//!  notify ──> pending paths ─┐
//!  poll, every 2 s ──────────┼─> wait until quiet ─> read (blocking thread) ─> changes
//!  wanted Secrets ───────────┘
//! ```

mod file;
mod folder;
mod list;
mod unknown;
mod watch;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch as channel},
    time::{Instant, sleep_until},
};
use tracing::{info, warn};

use self::{
    folder::{Folder, Touched},
    list::Root,
    watch::Watch,
};
use super::Change;
use crate::resource::{ObjectKey, ResourceSet};

/// The safety net: finds what the kernel does not tell, such as changes behind symbolic links and on network file systems.
const POLL: Duration = Duration::from_secs(2);
/// How soon to look again at a file that has just become empty.
const SECOND_LOOK: Duration = Duration::from_millis(40);

/// A folder, or several, or single files.
#[derive(Clone, Debug)]
pub struct Dir {
    pub paths: Vec<PathBuf>,
    /// Of objects that do not say their namespace.
    pub default_namespace: String,
    /// Whether to watch for changes after everything was read once.
    pub follow: bool,
}

/// A path that cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct DirError {
    pub path: PathBuf,
    #[source]
    pub cause: io::Error,
}

// === impl Dir ===

impl Dir {
    /// Sends what is in the folder, `Synced`, and then what changes. Ends when the receiver of the changes is gone.
    pub async fn run(
        self,
        changes: mpsc::Sender<Vec<Change>>,
        mut wanted: channel::Receiver<Arc<BTreeSet<ObjectKey>>>,
    ) -> Result<(), DirError> {
        let mut folder = Folder::new(roots(&self.paths)?, self.default_namespace);
        // Before the first reading, so that nothing is missed in between.
        let mut watch = self.follow.then(|| Watch::new(folder.roots()));
        let mut touched = Touched {
            listing: true,
            ..Touched::default()
        };
        let mut first = true;
        loop {
            let wanted_now = wanted.borrow_and_update().clone();
            let (folder_back, mut batch) = read(folder, touched, wanted_now).await;
            folder = folder_back;
            log(&batch);
            if std::mem::take(&mut first) {
                info!(changes = batch.len(), "Read the folder");
                batch.push(Change::Synced);
            }
            if !batch.is_empty() && changes.send(batch).await.is_err() {
                return Ok(());
            }
            let again = if folder.is_doubtful() {
                SECOND_LOOK
            } else {
                POLL
            };
            let deadline = Instant::now() + again;
            touched = tokio::select! {
                () = changes.closed() => return Ok(()),
                result = wanted.changed() => match result {
                    Ok(()) => Touched::default(),
                    Err(_) => next(&mut watch, deadline).await,
                },
                touched = next(&mut watch, deadline) => touched,
            };
        }
    }
}

/// Reads everything once.
pub fn load(paths: &[PathBuf], default_namespace: &str) -> Result<ResourceSet, DirError> {
    let mut folder = Folder::new(roots(paths)?, default_namespace.to_owned());
    let touched = Touched {
        listing: true,
        ..Touched::default()
    };
    let mut set = ResourceSet::default();
    for change in folder.update(&touched) {
        change.apply(&mut set);
    }
    Ok(set)
}

/// A manifest as it is written.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub value: serde_json::Value,
    /// `FILE:LINE:COLUMN`, or what else it is from.
    pub at: String,
}

/// Every manifest below the paths, and what could not be read: one sentence each, without the final period.
pub fn manifests(paths: &[PathBuf]) -> Result<(Vec<Manifest>, Vec<String>), DirError> {
    let listing = list::Listing::new(&roots(paths)?);
    let mut manifests = Vec::new();
    let unreadable = listing.unreadable.iter();
    let mut problems: Vec<_> = unreadable
        .map(|(name, why)| format!("{name}: {why}"))
        .collect();
    for (name, (path, _)) in &listing.files {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                problems.push(format!("{name}: {error}"));
                continue;
            }
        };
        let (found, errors) = file::manifests(&bytes);
        let errors = errors.iter();
        problems.extend(errors.map(|error| format!("{name}:{}: {}", error.at, error.message)));
        manifests.extend(found.into_iter().map(|(value, at)| Manifest {
            value,
            at: format!("{name}:{at}"),
        }));
    }
    Ok((manifests, problems))
}

/// The roots, each of which must be there.
fn roots(paths: &[PathBuf]) -> Result<Vec<Root>, DirError> {
    let root = |path: &PathBuf| {
        check(path)
            .and_then(|()| Root::new(path))
            .map_err(|cause| DirError {
                path: path.clone(),
                cause,
            })
    };
    paths.iter().map(root).collect()
}

fn check(path: &Path) -> io::Result<()> {
    if std::fs::metadata(path)?.is_dir() {
        std::fs::read_dir(path).map(drop)
    } else {
        std::fs::File::open(path).map(drop)
    }
}

async fn read(
    mut folder: Folder,
    touched: Touched,
    wanted: Arc<BTreeSet<ObjectKey>>,
) -> (Folder, Vec<Change>) {
    let reading = tokio::task::spawn_blocking(move || {
        let mut batch = folder.update(&touched);
        batch.extend(folder.want(&wanted));
        (folder, batch)
    });
    reading.await.expect("reading a folder must not panic")
}

/// Waits until something may be different.
async fn next(watch: &mut Option<Watch>, deadline: Instant) -> Touched {
    let Some(watch) = watch else {
        return std::future::pending().await;
    };
    tokio::select! {
        touched = watch.touched() => touched,
        () = sleep_until(deadline) => {
            watch.renew();
            Touched { listing: true, ..Touched::default() }
        }
    }
}

fn log(changes: &[Change]) {
    for change in changes {
        let Change::File(path, problems) = change else {
            continue;
        };
        for problem in problems {
            if problem.kind.hides_objects() {
                warn!(file = %path, at = %problem.at, problem = %problem.message, "Cannot read a document");
            }
        }
    }
}
