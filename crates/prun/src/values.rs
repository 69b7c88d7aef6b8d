//! The values that instances get: where they come from, and the sealed set that one generation runs with.

pub mod compose;
pub mod delivered;
pub mod error;
pub mod generation;
