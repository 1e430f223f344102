//! The integration tests, one binary for all of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]

mod cluster;
mod golden;
mod properties;
