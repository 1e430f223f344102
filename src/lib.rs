//! Postern, a self-service API gateway for Kubernetes.
//!
//! The library exists for our two binaries and the tests. A module may import only from lower layers, never sideways or
//! up; `tests/it/arch.rs` holds this table and fails on any other edge.
//!
//! | layer | modules |
//! |---|---|
//! | 0 | `crd`, `graph`, `telemetry`, `config` |
//! | 1 | `resource` |
//! | 2 | `report` |
//! | 3 | `compile`, `source`, `proxy`, `status`, `admin`, `echo` |
//! | 4 | `reconcile`, `plugin` |
//! | 5 | `app` |
//! | 6 | `cli`, the binaries |

pub mod admin;
pub mod app;
pub mod cli;
pub mod compile;
pub mod config;
pub mod crd;
pub mod echo;
pub mod graph;
pub mod plugin;
pub mod proxy;
pub mod reconcile;
pub mod report;
pub mod resource;
pub mod source;
pub mod status;
pub mod telemetry;
