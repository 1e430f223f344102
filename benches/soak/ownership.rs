//! What the tests compare: worlds, and three ways to read them.

#[path = "../../tests/it/ownership/agreement.rs"]
pub(crate) mod agreement;
#[path = "../../tests/it/ownership/asking.rs"]
pub(crate) mod asking;
#[path = "../../tests/it/ownership/naive.rs"]
pub(crate) mod naive;
#[path = "../../tests/it/ownership/world.rs"]
pub(crate) mod world;
