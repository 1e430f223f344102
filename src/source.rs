//! Where resources come from: a folder or an API server. Nothing downstream knows which.

pub mod annotation;
pub mod yaml;

use std::sync::Arc;

use crate::resource::{AnyObject, FileProblem, ObjectKey};

/// One difference to the resource set. Sources send them in batches that belong together.
#[derive(Clone, Debug)]
pub enum Change {
    /// An object is there, or is different.
    Put(AnyObject),
    /// An object is gone.
    Delete(ObjectKey),
    /// A Secret that was wanted does not exist.
    AbsentSecret(ObjectKey),
    /// What is wrong with a file; an empty list when nothing is any more.
    File(Arc<str>, Vec<FileProblem>),
    /// A watch (`mappings.postern.dev`, or with a namespace `apps/mappings.postern.dev`) has reached this resource version.
    Version(Arc<str>, Arc<str>),
    /// Every kind has been listed once: what has been sent so far is the whole set.
    Synced,
}
