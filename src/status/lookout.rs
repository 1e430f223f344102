//! Keeps the [`Fleet`] true: watches the Leases of all replicas, in every replica and all the time.
//!
//! A leader that began to watch when it began to lead would have to give every Lease its full time anew: an object would wait
//! for a replica that is gone first until the leader Lease expires, and then once more as long as a replica's does. One that
//! has watched before knows how long each Lease has stood still.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use tokio::time::Instant;
use tracing::debug;

use super::{at, backoff::WatchBackoff, elector::WATCH_SECONDS, fleet::Fleet};

type Events = Pin<Box<dyn Stream<Item = watcher::Result<Event<Lease>>> + Send>>;

pub(super) struct Lookout {
    pub(super) fleet: Fleet,
    events: Events,
    /// Up to when the fleet has been looked at.
    seen: Instant,
}

impl Lookout {
    /// `selector` chooses the Leases of the replicas.
    pub(super) fn new(leases: Api<Lease>, selector: &str, fleet: Fleet) -> Self {
        let config = watcher::Config::default()
            .labels(selector)
            .timeout(WATCH_SECONDS);
        Self {
            fleet,
            events: Box::pin(watcher(leases, config).backoff(WatchBackoff::default())),
            seen: Instant::now(),
        }
    }

    /// Ready when the fleet may be another one: a Lease was written, or has expired. Nothing is lost when this is dropped.
    pub(super) async fn changed(&mut self) {
        tokio::select! {
            event = self.events.next() => match event {
                Some(Ok(event)) => self.fleet.observe(event, Instant::now()),
                Some(Err(error)) => debug!(%error, "The watch of the Leases failed"),
                None => {}
            },
            () = at(self.fleet.changes_at(self.seen)) => {}
        }
        self.seen = Instant::now();
        self.fleet.tick(self.seen);
    }
}
