//! Base images that earlier builds of this user found clean. They are kept in the memory of audits.

use std::fmt;

use pllb::Base;
use pproof::KnownBases;

use crate::memory::LayerMemory;

/// The clean bases of one engine, for one set of secrets.
pub(crate) struct CleanBases {
    memory: LayerMemory,
    engine: String,
}

impl CleanBases {
    /// Takes the memory that holds the bases, and the identity of the engine that they belong to.
    pub(crate) fn new(memory: LayerMemory, engine: String) -> Self {
        Self { memory, engine }
    }

    fn name(&self, base: &Base) -> String {
        format!("base {} {}", self.engine, base.identifier)
    }
}

impl KnownBases for CleanBases {
    fn layers(&self, base: &Base) -> Option<Vec<String>> {
        self.memory.recall_note(&self.name(base))
    }

    fn note(&self, base: &Base, layers: &[String]) {
        self.memory.note(&self.name(base), layers);
    }
}

impl fmt::Debug for CleanBases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CleanBases({})", self.engine)
    }
}
