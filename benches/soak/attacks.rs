//! What the tests attack with.

#[path = "../../tests/it/attacks/plan.rs"]
pub(crate) mod plan;
