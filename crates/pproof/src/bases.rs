//! The base images that were found clean before, which are recognized by their layers in the engine.
//!
//! The note of a base is the list of layers that the kernel named when the base was searched whole. An engine never
//! changes a layer and never uses its name again, so a base with the same layers has the same files. The scanner
//! compares the lists, and only leaves out a base with the same list. If a tag was moved, its base has other layers.

use pllb::Base;

/// The memory of clean bases, for one engine, one set of secrets and one scanner.
///
/// If the memory lacks a clean base, the search takes longer. If it lists a base that is not clean, the proof is
/// wrong. So its keeper must make sure that nobody else can write to it.
pub trait KnownBases: Send + Sync {
    /// Returns the layers that a base had when it was found clean, the newest first. Returns `None` if the base is
    /// not known.
    fn layers(&self, base: &Base) -> Option<Vec<String>>;

    /// Notes that a base with these layers is clean.
    fn note(&self, base: &Base, layers: &[String]);
}
