//! What all workers share for as long as one of them has it.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Weak},
};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

/// Values by their names. A worker asks once for each, and keeps it.
#[derive(Debug)]
pub(super) struct Kept<K, V>(Mutex<HashMap<K, Weak<V>, RandomState>>);

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Kept<K, V> {
    /// The value that somebody has, or a new one.
    pub(super) fn of(&self, key: K, make: impl FnOnce() -> V) -> Arc<V> {
        let mut values = self.0.lock();
        if let Some(known) = values.get(&key).and_then(Weak::upgrade) {
            return known;
        }
        if values.len() == values.capacity() {
            // Before it grows: what nobody has any more makes room.
            values.retain(|_, value| value.strong_count() > 0);
        }
        let value = Arc::new(make());
        values.insert(key, Arc::downgrade(&value));
        value
    }
}

impl<K, V> Kept<K, V> {
    /// Every value that somebody has.
    pub(super) fn all(&self) -> Vec<Arc<V>> {
        self.0.lock().values().filter_map(Weak::upgrade).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_the_same_and_what_nobody_has_is_forgotten() {
        let kept = Kept::<u32, String>::default();
        let one = kept.of(1, || "a".to_owned());
        assert!(Arc::ptr_eq(&one, &kept.of(1, || "b".to_owned())));
        drop(one);
        assert_eq!(*kept.of(1, || "c".to_owned()), "c");
        for key in 0..1_000 {
            kept.of(key, String::new);
        }
        assert!(kept.0.lock().len() < 32, "{}", kept.0.lock().len());
    }
}
