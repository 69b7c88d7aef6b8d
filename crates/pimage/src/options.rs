//! The options for reading an archive.

use crate::inside::Limits;

/// The options for reading an archive.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether the stated digests are compared with the bytes.
    pub verify: Verify,
    /// The most unpacked bytes of one blob. Default: 64 GiB.
    pub largest_blob: u64,
    /// The most bytes of one JSON document. Default: 8 MiB.
    pub largest_document: u64,
    /// The limits for opening content inside of layers.
    pub inside: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self { verify: Verify::Digests, largest_blob: 64 << 30, largest_document: 8 << 20, inside: Limits::default() }
    }
}

/// Whether the stated digests are compared with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Every digest that the archive states is compared.
    Digests,
    /// Nothing is compared, because the local engine itself has just written the archive.
    Nothing,
}
