//! Lists that are nearly always empty, of which there are many.

use std::ops::Deref;

/// A list that is one pointer to nothing as long as nothing is in it.
#[expect(
    clippy::box_collection,
    reason = "the box is smaller than an empty list"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Few<T>(Option<Box<Vec<T>>>);

impl<T> Few<T> {
    pub(super) fn push(&mut self, item: T) {
        self.extend([item]);
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl<T> Extend<T> for Few<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        let mut items = items.into_iter();
        if let Some(first) = items.next() {
            let all = self.0.get_or_insert_default();
            all.push(first);
            all.extend(items);
        }
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut few = Self::default();
        few.extend(items);
        few
    }
}

impl<T> From<Few<T>> for Vec<T> {
    fn from(few: Few<T>) -> Self {
        few.0.map(|all| *all).unwrap_or_default()
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        Vec::from(self).into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_is_one_pointer_however_it_came_about() {
        let mut few: Few<u8> = Few::default();
        few.extend(Vec::new());
        assert_eq!(few, Few::from_iter([]));
        assert_eq!(size_of_val(&few), size_of::<usize>());
        assert_eq!(Vec::from(few), [0_u8; 0]);
    }

    #[test]
    fn what_was_put_in_comes_out_in_the_same_order() {
        let mut few = Few::from_iter([1, 2]);
        few.push(3);
        few.extend([4]);
        assert_eq!(*few, [1, 2, 3, 4]);
        assert!(few.into_iter().eq(1..=4));
    }
}
