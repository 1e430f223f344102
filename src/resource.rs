//! Everything the compiler reads: typed objects with their origin, and nothing about where they came from.

pub mod decode;
pub mod key;
pub mod kubernetes;
mod positions;
pub mod set;

pub use key::{Group, Kind, ObjectKey, Origin, Position};
pub use kubernetes::{
    ClusterIp, EndpointSlice, Grant, SecretBytes, SecretData, Service, ServicePort,
};
pub use positions::{Positions, SharedPaths};
pub use set::{
    AnyObject, FileProblem, FileProblemKind, Meta, Object, Objects, ResourceSet, Unavailable,
};
