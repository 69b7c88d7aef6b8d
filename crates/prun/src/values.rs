//! The values that instances get: how they are composed, and the sealed set of values that one generation runs with.

pub(crate) mod composition;
pub(crate) mod delivered;
pub(crate) mod error;
pub(crate) mod external;
pub(crate) mod generation;
pub(crate) mod masks;
