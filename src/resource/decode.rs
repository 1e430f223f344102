//! From the JSON of a manifest to a typed object.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{AnyObject, Origin, Position};

/// What a JSON document became.
#[derive(Debug)]
pub enum Decoded {
    /// An object; what is wrong with it is in its `problems`.
    Object(AnyObject),
    /// An object of a kind that Postern does not read: `apiVersion` and `kind`.
    UnknownKind(String, String),
    /// Not a Kubernetes object, and why.
    Invalid(String),
}

/// Reads a document. It never fails as a whole when kind and name can be read: bad fields become problems of the object.
pub fn object(
    _document: &Value,
    _origin: Origin,
    _default_namespace: &str,
    _positions: BTreeMap<String, Position>,
) -> Decoded {
    Decoded::Invalid(String::new())
}
