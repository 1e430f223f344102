//! The Mappings that a compile has to look at.

use std::collections::HashSet;

use crate::resource::ObjectKey;

/// Names, each once, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Touched {
    order: Vec<ObjectKey>,
    known: HashSet<ObjectKey, foldhash::fast::RandomState>,
}

impl Touched {
    pub(super) fn insert(&mut self, key: &ObjectKey) {
        if !self.known.contains(key) {
            self.known.insert(key.clone());
            self.order.push(key.clone());
        }
    }

    pub(super) fn extend<'k>(&mut self, keys: impl IntoIterator<Item = &'k ObjectKey>) {
        for key in keys {
            self.insert(key);
        }
    }

    pub(super) fn contains(&self, key: &ObjectKey) -> bool {
        self.known.contains(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ObjectKey> {
        self.order.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Group, Kind};

    #[test]
    fn a_name_is_there_once_in_the_place_where_it_came_first() {
        let key = |name| ObjectKey::new(Group::Postern, Kind::Mapping, "apps", name);
        let mut touched = Touched::default();
        touched.extend(&[key("b"), key("a"), key("b")]);
        assert!(touched.contains(&key("a")) && !touched.contains(&key("c")));
        assert!(touched.iter().eq(&[key("b"), key("a")]));
    }
}
