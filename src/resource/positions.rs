//! Where the fields of an object were found.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::Position;

/// Positions by the path of the field (`spec.prefix`). Objects with the same fields can share the paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// None when there are none.
    paths: Option<Arc<Paths>>,
    /// One for each path.
    at: Box<[Position]>,
}

/// The paths of fields, in their order. Positions have one pointer to them, and not its length as well.
type Paths = Box<[Box<str>]>;

/// The lists of paths that objects share.
#[derive(Debug, Default)]
pub struct SharedPaths(HashSet<Arc<Paths>>);

/// Objects have the same few fields: what is more than this is not worth keeping.
const MAX_SHARED: usize = 1024;

impl Positions {
    pub fn get(&self, path: &str) -> Option<Position> {
        let paths = self.paths.as_deref()?;
        let found = paths.binary_search_by(|known| (**known).cmp(path));
        self.at.get(found.ok()?).copied()
    }

    /// The position of a field, or of the nearest one around it.
    pub fn nearest(&self, path: &str) -> Option<Position> {
        let mut path = path;
        loop {
            if let Some(position) = self.get(path) {
                return Some(position);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }
}

impl SharedPaths {
    /// The same positions, with paths that others have too.
    pub fn share(&mut self, mut positions: Positions) -> Positions {
        if let Some(paths) = &mut positions.paths {
            if let Some(known) = self.0.get(paths) {
                *paths = Arc::clone(known);
            } else if self.0.len() < MAX_SHARED {
                self.0.insert(Arc::clone(paths));
            }
        }
        positions
    }
}

impl From<BTreeMap<String, Position>> for Positions {
    fn from(positions: BTreeMap<String, Position>) -> Self {
        let (paths, at): (Vec<_>, Vec<_>) = positions
            .into_iter()
            .map(|(path, at)| (path.into_boxed_str(), at))
            .unzip();
        let paths = (!paths.is_empty()).then(|| Arc::new(paths.into()));
        Self {
            paths,
            at: at.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(paths: &[&str], line: u32) -> Positions {
        let at = Position { line, column: 1 };
        let paths = paths.iter().map(|path| ((*path).to_owned(), at));
        paths.collect::<BTreeMap<_, _>>().into()
    }

    #[test]
    fn a_position_is_found_by_its_path_alone() {
        let positions = positions(&["spec.prefix", "kind", "spec"], 3);
        for path in ["kind", "spec", "spec.prefix"] {
            assert_eq!(positions.get(path), Some(Position { line: 3, column: 1 }));
        }
        assert_eq!(positions.get("spec.pre"), None);
        assert_eq!(Positions::default().get(""), None);
    }

    #[test]
    fn objects_with_the_same_fields_share_their_paths() {
        let mut shared = SharedPaths::default();
        let [a, b] = [1, 2].map(|line| shared.share(positions(&["kind", "spec"], line)));
        assert!(Arc::ptr_eq(
            a.paths.as_ref().unwrap(),
            b.paths.as_ref().unwrap()
        ));
        assert_ne!(a, b);
        assert_eq!(shared.share(positions(&[], 1)), Positions::default());
    }
}
