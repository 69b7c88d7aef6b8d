//! What a reader of an archive shows while it reads.

use std::fmt;
use std::ops::ControlFlow;

use crate::BlobId;

/// Sees every byte of every blob once, and the places that tar headers name.
///
/// The calls come in this order for each stream of bytes: [`begin`](Visitor::begin), then any number of
/// [`bytes`](Visitor::bytes) and [`entry`](Visitor::entry), then [`end`](Visitor::end). An entry is named only after its
/// header's bytes were shown; bytes that follow may have been shown already, up to one chunk ahead.
pub trait Visitor {
    /// A stream of bytes begins.
    fn begin(&mut self, blob: BlobId, name: &str, part: Part);

    /// A tar header names what follows: everything from its offset to the next entry's belongs to it.
    fn entry(&mut self, entry: &Entry<'_>);

    /// The next bytes of the stream. [`ControlFlow::Break`] ends the whole reading with [`Cancelled`].
    fn bytes(&mut self, bytes: &[u8]) -> ControlFlow<()>;

    /// The stream is over.
    fn end(&mut self);
}

/// Which bytes of a blob a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Its content, unpacked if it was packed.
    Content,
    /// The extra fields, names and comments in the headers of its gzip members, a line each.
    GzipFields,
    /// The packed bytes from this offset on, which no decoder took: behind the end of the packed content, or behind the
    /// place where it is damaged.
    Rest {
        /// The offset in the blob as stored.
        at: u64,
    },
}

/// What a tar header names. Offsets count from the beginning of the unpacked stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The path as the header gives it, bytes of any kind; long ones are cut after 64 KiB.
    pub path: &'a [u8],
    /// What it is.
    pub kind: EntryKind,
    /// Where its headers begin, those for long names and attributes included.
    pub header_at: u64,
    /// Where its content begins.
    pub content_at: u64,
    /// How long its content is as stored.
    pub size: u64,
}

/// What a tar entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file with content.
    File,
    /// A folder.
    Directory,
    /// A hard or symbolic link.
    Link,
    /// A device, a pipe, or something rarer.
    Other,
}

/// The visitor ended the reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reading was cancelled")
    }
}

impl std::error::Error for Cancelled {}
