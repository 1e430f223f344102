//! How many requests are under way to an endpoint, from all workers.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// A number that all workers write, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Load(AtomicUsize);

/// One request that counts. It does until it is dropped.
#[derive(Debug)]
pub(super) struct Counted(Arc<Load>);

// === impl Load ===

impl Load {
    pub(super) fn get(&self) -> usize {
        self.0.load(Relaxed)
    }

    pub(super) fn count(self: Arc<Self>) -> Counted {
        self.0.fetch_add(1, Relaxed);
        Counted(self)
    }

    /// The same, unless there are `most` already.
    pub(super) fn count_up_to(self: &Arc<Self>, most: usize) -> Option<Counted> {
        // Taken back at once when it was one too many: at the limit nobody waits for anybody.
        let counted = Counted(self.clone());
        (self.0.fetch_add(1, Relaxed) < most).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_does_not_count_nor_what_was_too_much() {
        let load = Arc::new(Load::default());
        let one = load.clone().count();
        let two = load.count_up_to(2).unwrap();
        assert!(load.count_up_to(2).is_none());
        assert_eq!(load.get(), 2);
        drop((one, two));
        assert_eq!(load.get(), 0);
    }
}
