//! The integration tests, one binary for all of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod arch;
mod attacks;
mod cases;
mod certificates;
mod chart;
mod client;
mod cluster;
mod codes;
mod corpus;
mod fault;
mod gateway;
mod generated;
mod golden;
mod good_and_bad;
mod guide;
mod hostile;
mod links;
mod migrate;
#[cfg(target_os = "linux")]
mod node;
mod ownership;
mod plugin;
mod process;
mod properties;
mod tcp;
