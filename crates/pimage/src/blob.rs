//! One member of an archive, as it was read.

use crate::digest::Digest;
use crate::whiteout::Whiteouts;

/// The identity of a blob within its archive: its index in the order of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId(pub(crate) usize);

/// How a blob is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// The blob is not packed.
    Plain,
    /// gzip, all members.
    Gzip,
    /// zstd, all frames.
    Zstd,
    /// xz, all streams.
    Xz,
    /// bzip2, all streams.
    Bzip2,
    /// The blob has a known format that is not opened, so its bytes are shown as they are stored.
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
    /// The digest of the stored bytes.
    pub(crate) digest: Option<Digest>,
    /// The digest of the unpacked bytes.
    pub(crate) diff_id: Option<Digest>,
    pub(crate) document: Option<Vec<u8>>,
    pub(crate) whiteouts: Whiteouts,
    pub(crate) recalled: bool,
}

impl Blob {
    /// Makes a blob that is not read yet. Its whiteouts may take up to `whiteout_room` bytes.
    pub(crate) fn unread(name: &str, whiteout_room: usize) -> Self {
        Self {
            name: printable(name),
            stored: 0,
            bytes: 0,
            packing: Packing::Plain,
            is_tar: false,
            whole: false,
            digest: None,
            diff_id: None,
            document: None,
            whiteouts: Whiteouts::with_room(whiteout_room),
            recalled: false,
        }
    }

    /// Returns the member's name in the archive, made printable.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the number of unpacked bytes that were read.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns how the blob is packed.
    #[must_use]
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Whether its content is a tar.
    #[must_use]
    pub fn is_tar(&self) -> bool {
        self.is_tar
    }

    /// Returns the digest of the stored bytes, if it was computed.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Whether the blob was not read this time, because the result of an earlier reading is known.
    #[must_use]
    pub fn is_recalled(&self) -> bool {
        self.recalled
    }

    /// Returns the whole JSON document, if the blob is one.
    #[must_use]
    pub fn document(&self) -> Option<&[u8]> {
        self.document.as_deref()
    }
}

/// Makes a name printable: without control characters, and cut at a length.
pub(crate) fn printable(name: &str) -> String {
    name.chars().take(256).flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}
