//! Base images that were found clean before, recognised by their layers in the engine.
//!
//! The note of a base is the list of layers that the kernel named when the base was searched whole. An engine never
//! changes a layer and never uses its name again, so a base of the same layers holds the same files; the scanner
//! compares the list and leaves the base out only where it is the same. A tag that moved has other layers.

use std::fmt;

use pllb::Base;

use crate::memory::LayerMemory;

/// The clean bases of one engine, for one set of secrets.
pub(crate) struct CleanBases {
    memory: LayerMemory,
    engine: String,
}

impl CleanBases {
    /// The bases in a memory that belong to the engine of this identity.
    pub(crate) fn new(memory: LayerMemory, engine: String) -> Self {
        Self { memory, engine }
    }

    fn name(&self, base: &Base) -> String {
        format!("base {} {}", self.engine, base.identifier)
    }

    /// The layers that a base had when it was found clean.
    pub(super) fn layers(&self, base: &Base) -> Option<Vec<String>> {
        self.memory.recall_note(&self.name(base))
    }

    /// Notes that a base of these layers is clean.
    pub(super) fn note(&self, base: &Base, layers: &[String]) {
        self.memory.note(&self.name(base), layers);
    }
}

impl fmt::Debug for CleanBases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CleanBases({})", self.engine)
    }
}
