//! What the kernel says about the folder, gathered until it is quiet.

use std::{
    collections::HashSet,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};
use tracing::warn;

use super::{folder::Touched, list::Root};

/// A file that was closed or renamed is complete; others that belong to it follow at once.
const QUIET: Duration = Duration::from_millis(4);
/// A file that is being written is waited for, but not for ever.
const QUIET_WRITING: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(50);
/// More paths than this are as good as all of them.
const MAX_PATHS: usize = 1_000;

/// Watches the roots.
pub(super) struct Watch {
    roots: Vec<Watched>,
    watcher: Option<RecommendedWatcher>,
    pending: Arc<Pending>,
}

struct Watched {
    path: PathBuf,
    /// Device and inode of what is watched: another folder may be moved to its place.
    identity: Option<(u64, u64)>,
}

#[derive(Default)]
struct Pending {
    changed: Notify,
    gathered: Mutex<Gathered>,
}

#[derive(Default)]
struct Gathered {
    touched: Touched,
    writing: bool,
}

// === impl Watch ===

impl Watch {
    /// Without the kernel's help there is still the poll.
    pub(super) fn new(roots: &[Root]) -> Self {
        let pending = Arc::new(Pending::default());
        let files: HashSet<PathBuf> = roots
            .iter()
            .filter(|root| !root.path.is_dir())
            .map(|root| root.path.clone())
            .collect();
        let directories: Vec<PathBuf> = roots
            .iter()
            .filter(|root| root.path.is_dir())
            .map(|root| root.path.clone())
            .collect();
        let sink = pending.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            sink.add(event, |path| {
                files.contains(path)
                    || path
                        .file_name()
                        .is_some_and(|name| name.as_encoded_bytes().starts_with(b".."))
                    || directories.iter().any(|above| path.starts_with(above))
            });
        });
        let watcher = watcher
            .inspect_err(|error| warn!(%error, "Cannot watch files, looking every 2 seconds"))
            .ok();
        let mut watch = Self {
            roots: roots
                .iter()
                .map(|root| Watched {
                    path: root.path.clone(),
                    identity: None,
                })
                .collect(),
            watcher,
            pending,
        };
        watch.renew();
        watch
    }

    /// Watches anew what has been moved to the place of what was watched.
    pub(super) fn renew(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for root in &mut self.roots {
            let Ok(metadata) = std::fs::metadata(&root.path) else {
                root.identity = None;
                continue;
            };
            let identity = Some((metadata.dev(), metadata.ino()));
            // An editor that replaces a single file changes its inode, but the directory is what is watched.
            let is_replaced_file = root.identity.is_some() && !metadata.is_dir();
            if root.identity == identity || is_replaced_file {
                continue;
            }
            let (path, mode) = match root.path.parent() {
                Some(parent) if !metadata.is_dir() => (parent, RecursiveMode::NonRecursive),
                _ => (root.path.as_path(), RecursiveMode::Recursive),
            };
            if root.identity.is_some() {
                // The old watch is of a directory that is elsewhere by now, or gone.
                let _gone = watcher.unwatch(path);
            }
            match watcher.watch(path, mode) {
                Ok(()) => {}
                Err(error) => {
                    warn!(%error, path = %path.display(), "Cannot watch a folder, looking every 2 seconds");
                }
            }
            root.identity = identity;
        }
    }

    /// Waits for a change, and then until it is complete.
    pub(super) async fn touched(&self) -> Touched {
        // What an earlier call gathered and was not awaited for is still there.
        while self.pending.is_empty() {
            self.pending.changed.notified().await;
        }
        let latest = Instant::now() + LONGEST;
        loop {
            let quiet = if self.pending.gathered.lock().writing {
                QUIET_WRITING
            } else {
                QUIET
            };
            let left = latest.saturating_duration_since(Instant::now());
            if timeout(quiet.min(left), self.pending.changed.notified())
                .await
                .is_err()
            {
                return std::mem::take(&mut *self.pending.gathered.lock()).touched;
            }
        }
    }
}

// === impl Pending ===

impl Pending {
    fn is_empty(&self) -> bool {
        let gathered = self.gathered.lock();
        gathered.touched.paths.is_empty() && !gathered.touched.listing
    }

    fn add(&self, event: notify::Result<Event>, concerns: impl Fn(&Path) -> bool) {
        let mut gathered = self.gathered.lock();
        match event {
            // Reading the files makes events too.
            Ok(event) if is_read(event.kind) => return,
            Ok(event) => {
                let lost = event.need_rescan();
                if !lost && !event.paths.iter().any(|path| concerns(path)) {
                    return;
                }
                gathered.writing =
                    matches!(event.kind, EventKind::Create(_) | EventKind::Modify(_))
                        && !matches!(
                            event.kind,
                            EventKind::Modify(notify::event::ModifyKind::Name(_))
                        );
                gathered.touched.listing |= lost;
                gathered.touched.paths.extend(event.paths);
            }
            Err(_) => gathered.touched.listing = true,
        }
        if gathered.touched.paths.len() > MAX_PATHS {
            gathered.touched.paths.clear();
            gathered.touched.listing = true;
        }
        drop(gathered);
        self.changed.notify_one();
    }
}

fn is_read(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}
