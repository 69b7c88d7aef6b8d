//! The visitor, to which the reader of an archive shows everything.

use std::fmt;
use std::ops::ControlFlow;

use crate::{BlobId, Container};

/// Sees every byte of every blob once, every byte of the unpacked content inside a blob, and the paths in headers.
///
/// Streams nest: packed content inside a stream is a stream of its own, and while this one lasts, more bytes of the
/// outer streams may be shown. For each stream, the calls are [`begin`](Visitor::begin), then any number of
/// [`bytes`](Visitor::bytes) and [`entry`](Visitor::entry), then [`end`](Visitor::end). An entry is named only after
/// its header's bytes were shown; up to one chunk of the bytes after the header may have been shown before, too.
pub trait Visitor {
    /// Begins a stream of bytes, inside the stream that began last and has not ended.
    fn begin(&mut self, stream: &Stream<'_>);

    /// Shows a header in the innermost stream. The bytes from its offset to the next entry's offset belong to this
    /// entry. If an archive ends inside of a file, the file is named again for the bytes that follow.
    fn entry(&mut self, entry: &Entry<'_>);

    /// Shows the next bytes of a stream, which is given by its level; the outermost stream has level 0. If this
    /// returns [`ControlFlow::Break`], the whole reading ends with [`Cancelled`].
    fn bytes(&mut self, level: usize, bytes: &[u8]) -> ControlFlow<()>;

    /// Ends the innermost stream.
    fn end(&mut self);
}

/// A stream of bytes, and its origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream<'a> {
    /// The blob that contains the stream.
    pub blob: BlobId,
    /// The blob's name.
    pub name: &'a str,
    /// The part of the blob that the stream shows.
    pub part: Part,
    /// The file inside the blob that the stream was unpacked from, as in [`Entry::path`].
    pub path: &'a [u8],
    /// The members that lead to the stream, as in [`Entry::inside`].
    pub inside: &'a [u8],
}

/// The part of a blob that a stream shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The blob's content, unpacked if it was packed.
    Content,
    /// The unpacked content of something inside the blob, with the format that it was unpacked from.
    Inside(Container),
    /// The extra fields, names and comments in the headers of the blob's gzip members, one header per line.
    GzipFields,
    /// The packed bytes, from an offset on, that no decoder read: those after the end of the packed content, or after
    /// the place where it is damaged.
    Rest {
        /// The offset in the stored blob.
        at: u64,
    },
}

/// The entry that a header names. Offsets count from the beginning of the stream that contains the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The path in the layer's own tar. It may have bytes of any kind, and is cut after 64 KiB.
    pub path: &'a [u8],
    /// The members that lead from the file to the entry, from the outermost archive inward, with `!` between them;
    /// empty for the file itself.
    pub inside: &'a [u8],
    /// The innermost format that contains the entry; `None` for the layer's own tar.
    pub container: Option<Container>,
    /// The kind of the entry.
    pub kind: EntryKind,
    /// The offset where the entry's headers begin, including those for long names and attributes.
    pub header_at: u64,
    /// The offset where the content begins.
    pub content_at: u64,
    /// The length of the stored content.
    pub size: u64,
}

/// The kind of an entry.
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

/// The error of a reading that its visitor stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reading was cancelled")
    }
}

impl std::error::Error for Cancelled {}
