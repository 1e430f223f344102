//! What Postern tells about itself: logs, metrics and health.

pub mod health;
pub mod logs;
pub mod metrics;
pub mod watches;
