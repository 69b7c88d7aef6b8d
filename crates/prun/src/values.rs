//! The values that instances get: how they are put together, and the sealed set with which one generation runs.

pub(crate) mod composition;
pub(crate) mod delivered;
pub(crate) mod error;
pub(crate) mod external;
pub(crate) mod generation;
pub(crate) mod masks;
