//! Base images that were found clean before, recognised by their layers in the engine.
//!
//! The note of a base is the list of layers that the kernel named when the base was searched whole. An engine never
//! changes a layer and never uses its name again, so a base of the same layers holds the same files; the scanner
//! compares the list and leaves the base out only where it is the same. A tag that moved has other layers.

use pllb::Base;

/// A memory of clean bases: of one engine, for one set of secrets and one scanner.
///
/// A memory that says too little costs time. One that says too much costs the proof, so whoever keeps it makes sure
/// that nobody else can write to it.
pub trait KnownBases: Send + Sync {
    /// Returns the layers that a base had when it was found clean, the newest first; `None` for a base that is not
    /// known.
    fn layers(&self, base: &Base) -> Option<Vec<String>>;

    /// Notes that a base of these layers is clean.
    fn note(&self, base: &Base, layers: &[String]);
}
