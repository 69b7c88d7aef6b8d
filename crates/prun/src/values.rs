//! The values that instances get: where they come from, and the sealed set that one generation runs with.

pub(crate) mod compose;
pub(crate) mod delivered;
pub(crate) mod error;
pub(crate) mod generation;
