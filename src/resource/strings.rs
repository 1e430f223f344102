//! Labels and annotations.

use std::{collections::BTreeMap, ops::Deref};

/// Texts by name. Most objects have none, and then it is one pointer to nothing.
#[expect(
    clippy::box_collection,
    reason = "the box is smaller than an empty map"
)]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings(Option<Box<BTreeMap<String, String>>>);

static NONE: BTreeMap<String, String> = BTreeMap::new();

impl Deref for Strings {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl From<BTreeMap<String, String>> for Strings {
    fn from(strings: BTreeMap<String, String>) -> Self {
        Self((!strings.is_empty()).then(|| Box::new(strings)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_texts_are_equal_however_they_came_about() {
        assert_eq!(Strings::from(BTreeMap::new()), Strings::default());
        let one = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        assert_eq!(*Strings::from(one.clone()), one);
        assert!(Strings::default().is_empty());
    }
}
