//! Where resources come from: a folder or an API server. Nothing downstream knows which.

pub mod annotation;
pub mod dir;
pub mod kept;
pub mod kube;
mod merge;
pub mod yaml;

use std::sync::Arc;

use crate::resource::{AnyObject, FileProblem, Kind, ObjectKey, ResourceSet, Unavailable};

/// One difference to the resource set. Sources send them in batches that belong together.
#[derive(Clone, Debug)]
pub enum Change {
    /// An object is there, or is different. A Secret is not absent any more.
    Put(AnyObject),
    /// An object is gone. A Secret that was absent is not wanted any more.
    Delete(ObjectKey),
    /// A Secret that was wanted does not exist.
    AbsentSecret(ObjectKey),
    /// No object of a kind can be read, and why; none when it can.
    Unavailable(Kind, Option<Unavailable>),
    /// What is wrong with a file; an empty list when nothing is any more.
    File(Arc<str>, Vec<FileProblem>),
    /// A watch (`mappings.postern.dev`, or with a namespace `apps/mappings.postern.dev`) has reached this resource version.
    Version(Arc<str>, Arc<str>),
    /// Every kind has been listed once: what has been sent so far is the whole set.
    Synced,
}

impl Change {
    /// The object that it is about.
    fn key(&self) -> Option<&ObjectKey> {
        match self {
            Self::Put(object) => Some(object.key()),
            Self::Delete(key) | Self::AbsentSecret(key) => Some(key),
            Self::Unavailable(..) | Self::File(..) | Self::Version(..) | Self::Synced => None,
        }
    }

    fn is_about_secret(&self) -> bool {
        self.key().is_some_and(|key| key.kind == Kind::Secret)
    }

    /// Carries the change out. Versions and the end of the first list leave the set as it is.
    pub fn apply(self, set: &mut ResourceSet) {
        match self {
            Self::Put(object) => {
                set.absent_secrets.remove(object.key());
                set.insert(object);
            }
            Self::Delete(key) => {
                set.absent_secrets.remove(&key);
                set.remove(&key);
            }
            Self::AbsentSecret(key) => {
                set.remove(&key);
                set.absent_secrets.insert(key);
            }
            Self::Unavailable(kind, Some(why)) => {
                set.unavailable.insert(kind, why);
            }
            Self::Unavailable(kind, None) => {
                set.unavailable.remove(&kind);
            }
            Self::File(path, problems) if problems.is_empty() => {
                set.files.remove(&path);
            }
            Self::File(path, problems) => {
                set.files.insert(path, problems);
            }
            Self::Version(..) | Self::Synced => {}
        }
    }
}
