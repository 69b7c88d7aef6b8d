//! The visitor, to which the reader of an archive shows everything.

use std::fmt;
use std::ops::ControlFlow;

use crate::{BlobId, Container};

/// Sees every byte of every blob once, every byte that something inside it unpacks to, and the places that headers
/// name.
///
/// Streams nest: what is packed inside a stream is a stream of its own, and while it lasts more bytes of the outer ones
/// may be shown. The calls come in this order for each stream: [`begin`](Visitor::begin), then any number of
/// [`bytes`](Visitor::bytes) and [`entry`](Visitor::entry), then [`end`](Visitor::end). An entry is named only after
/// its header's bytes were shown; bytes that follow may have been shown already, up to one chunk ahead.
pub trait Visitor {
    /// Begins a stream of bytes, inside the stream that began last and has not ended.
    fn begin(&mut self, stream: &Stream<'_>);

    /// Shows a header in the innermost stream. It names the bytes that follow: everything from its offset to the next
    /// entry's belongs to it. Where an archive ends inside of a file, the file is named again for the bytes that follow
    /// there.
    fn entry(&mut self, entry: &Entry<'_>);

    /// Shows the next bytes of a stream, by its level: the outermost is 0. [`ControlFlow::Break`] ends the whole
    /// reading with [`Cancelled`].
    fn bytes(&mut self, level: usize, bytes: &[u8]) -> ControlFlow<()>;

    /// Ends the innermost stream.
    fn end(&mut self);
}

/// A stream of bytes, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream<'a> {
    /// The blob that it lies in.
    pub blob: BlobId,
    /// The blob's name.
    pub name: &'a str,
    /// Which bytes of the blob.
    pub part: Part,
    /// The file that the stream was unpacked from inside the blob, as [`Entry::path`].
    pub path: &'a [u8],
    /// And the members that lead to it, as [`Entry::inside`].
    pub inside: &'a [u8],
}

/// Which bytes of a blob a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The blob's content, unpacked if it was packed.
    Content,
    /// The unpacked content of something inside the blob, from this format.
    Inside(Container),
    /// The extra fields, names and comments in the headers of its gzip members, a line each.
    GzipFields,
    /// The packed bytes from this offset on, which no decoder took: behind the end of the packed content, or behind the
    /// place where it is damaged.
    Rest {
        /// The offset in the blob as stored.
        at: u64,
    },
}

/// The entry that a header names. Offsets count from the beginning of the stream that the header lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The path as the layer's own tar gives it, bytes of any kind; long ones are cut after 64 KiB.
    pub path: &'a [u8],
    /// The members that lead from there to the entry, from the outermost archive inward, with `!` between them; empty
    /// for the file itself.
    pub inside: &'a [u8],
    /// The innermost format that holds the entry; `None` for the layer's own tar.
    pub container: Option<Container>,
    /// The kind of the entry.
    pub kind: EntryKind,
    /// Where its headers begin, those for long names and attributes included.
    pub header_at: u64,
    /// Where its content begins.
    pub content_at: u64,
    /// How long its content is as stored.
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

/// The visitor ended the reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reading was cancelled")
    }
}

impl std::error::Error for Cancelled {}
