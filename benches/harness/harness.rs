//! What the long measurements share: child processes, what they cost, and a running gateway.

pub(crate) mod gateway;
pub(crate) mod kept;
pub(crate) mod manifest;
pub(crate) mod process;
pub(crate) mod text;
pub(crate) mod usage;
