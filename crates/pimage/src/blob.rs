//! One member of an archive, as it was read.

use crate::digest::Digest;
use crate::whiteout::Whiteouts;

/// Names a blob of one archive: its place in reading order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub(crate) usize);

/// How a blob is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// gzip, all members.
    Gzip,
    /// zstd, all frames.
    Zstd,
    /// A known format that is not opened: its bytes were seen as they are stored.
    Unopened(&'static str),
}

/// One member of an archive, as it was read.
#[derive(Debug)]
pub struct Blob {
    pub(crate) name: String,
    pub(crate) stored: u64,
    pub(crate) bytes: u64,
    pub(crate) packing: Packing,
    pub(crate) is_tar: bool,
    pub(crate) whole: bool,
    /// The digest of the bytes as stored.
    pub(crate) digest: Option<Digest>,
    /// The digest of the unpacked bytes.
    pub(crate) diff_id: Option<Digest>,
    pub(crate) document: Option<Vec<u8>>,
    pub(crate) whiteouts: Whiteouts,
}

impl Blob {
    /// The member's name in the archive, made printable.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes it has in the archive.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.stored
    }

    /// How many bytes it has unpacked, as far as it was read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How it is packed.
    #[must_use]
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Whether its content is a tar.
    #[must_use]
    pub fn is_tar(&self) -> bool {
        self.is_tar
    }

    /// The JSON document it is, kept whole.
    #[must_use]
    pub fn document(&self) -> Option<&[u8]> {
        self.document.as_deref()
    }
}
