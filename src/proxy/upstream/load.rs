//! How many requests are under way to an endpoint, from all workers.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::graph::UpstreamId;

/// A number that all workers write, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Load(AtomicUsize);

/// One request that counts. It does until it is dropped.
#[derive(Debug)]
pub(super) struct Counted(Arc<Load>);

/// The loads that any worker knows.
#[derive(Debug, Default)]
pub(super) struct Loads(Mutex<HashMap<Key, Weak<Load>, RandomState>>);

type Key = (UpstreamId, SocketAddr);

// === impl Load ===

impl Load {
    pub(super) fn get(&self) -> usize {
        self.0.load(Relaxed)
    }

    pub(super) fn count(self: Arc<Self>) -> Counted {
        self.0.fetch_add(1, Relaxed);
        Counted(self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

// === impl Loads ===

impl Loads {
    /// That of an endpoint. Asked for once by each worker, as long as the endpoint is there.
    pub(super) fn of(&self, upstream: &UpstreamId, endpoint: SocketAddr) -> Arc<Load> {
        let mut loads = self.0.lock();
        let key = (upstream.clone(), endpoint);
        if let Some(known) = loads.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        if loads.len() == loads.capacity() {
            // Before it grows: what nobody has any more makes room.
            loads.retain(|_, load| load.strong_count() > 0);
        }
        let load = Arc::new(Load::default());
        loads.insert(key, Arc::downgrade(&load));
        load
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_workers_count_the_same_and_what_nobody_has_is_forgotten() {
        let loads = Loads::default();
        let id = UpstreamId("a".into());
        let address = |port| ([10, 1, 0, 1], port).into();
        let (one, two) = (loads.of(&id, address(1)), loads.of(&id, address(1)));
        let counted = one.clone().count();
        assert_eq!((two.get(), loads.of(&id, address(2)).get()), (1, 0));
        drop(counted);
        assert_eq!(two.get(), 0);
        for port in 1..1_000 {
            loads.of(&id, address(port));
        }
        assert!(loads.0.lock().len() < 32, "{}", loads.0.lock().len());
    }
}
