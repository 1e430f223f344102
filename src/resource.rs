//! Everything the compiler reads: typed objects with their origin, and nothing about where they came from.

pub mod decode;
pub mod key;
pub mod kubernetes;
mod positions;
pub mod set;
mod strings;

pub use key::{Group, KeyParts, Kind, ObjectKey, Origin, Position};
pub use kubernetes::{
    ClusterIp, EndpointSlice, Grant, SecretBytes, SecretData, Service, ServicePort,
};
pub use positions::{Positions, SharedPaths};
pub use set::{
    AnyObject, CONFIG_ANNOTATION, FileProblem, FileProblemKind, Mapping, Meta, Object, Objects,
    ResourceSet, Revision, Unavailable,
};
pub use strings::Strings;
