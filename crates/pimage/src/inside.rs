//! Walks through content that is inside other content, from a layer's tar to an archive in an archive in a file.
//!
//! The walk looks at a [`Span`] from its beginning. If a container begins there, it is opened. If its members are
//! stored unpacked, each is named, and the walk looks at the member's span, in the same bytes. If the container is
//! packed, its content is a new stream; all of it is shown to the visitor, and the walk looks at it in the same way.
//! After a container's end, the walk looks at the next bytes again, so that archives after archives are found. The
//! remaining bytes are skipped. So every byte is shown exactly once. The walk never goes backwards and writes nothing
//! to disk, and a format whose directory is at its end is read from its front.

mod members;
mod pack;
mod packed;
mod program;
mod seven;
mod shared;
mod sniff;
mod stub;
mod tap;

use std::io;

use crate::blob::BlobId;
use crate::container::Container;
use crate::problem::Fault;
use crate::span::Span;
use crate::visit::{Entry, EntryKind, Part, Stream};
use crate::whiteout::Whiteouts;
use crate::window::Ahead as _;
use sniff::{Beginning, HEAD, sniff};

pub use shared::Limits;
pub(crate) use shared::Shared;
pub(crate) use tap::{Passage, Stopped, Tap};

/// The maximal number of faults of one blob that are reported one by one.
const MOST_TOLD: usize = 1000;

/// The walk through one blob.
pub(crate) struct Look<'v> {
    shared: &'v Shared<'v>,
    blob: BlobId,
    name: &'v str,
    /// The path in the layer's own tar of the current file; `inside` names the members within it.
    path: Vec<u8>,
    inside: Vec<u8>,
    /// The current entries and streams, outermost first.
    here: Vec<Here>,
    /// The number of open containers; `level` is that of open streams.
    depth: usize,
    level: usize,
    buffers: Vec<Box<[u8]>>,
    is_tar: bool,
    cut: bool,
    whiteouts: Whiteouts,
    faults: Vec<Fault>,
    damaged: Vec<Fault>,
}

/// An entry of a container, or a stream, which has no header.
#[derive(Clone, Copy)]
struct Here {
    container: Option<Container>,
    kind: EntryKind,
    content_at: u64,
    size: u64,
}

/// The fields of a header that describe its entry.
struct Header<'h> {
    name: &'h [u8],
    kind: EntryKind,
    header_at: u64,
    content_at: u64,
    size: u64,
}

/// The results of a walk.
pub(crate) struct LookResult {
    pub(crate) is_tar: bool,
    /// Whether the blob's own tar ended in the middle of an entry.
    pub(crate) cut: bool,
    pub(crate) whiteouts: Whiteouts,
    /// The faults of content that was not searched.
    pub(crate) faults: Vec<Fault>,
    /// The faults of content that cannot be unpacked further by anybody.
    pub(crate) damaged: Vec<Fault>,
}

impl<'v> Look<'v> {
    pub(crate) fn new(shared: &'v Shared<'v>, blob: BlobId, name: &'v str, whiteouts: Whiteouts) -> Self {
        Self {
            shared,
            blob,
            name,
            path: Vec::new(),
            inside: Vec::new(),
            here: Vec::new(),
            depth: 0,
            level: 0,
            buffers: Vec::new(),
            is_tar: false,
            cut: false,
            whiteouts,
            faults: Vec::new(),
            damaged: Vec::new(),
        }
    }

    pub(crate) fn finish(self) -> LookResult {
        let Self { is_tar, cut, whiteouts, faults, damaged, .. } = self;
        LookResult { is_tar, cut, whiteouts, faults, damaged }
    }

    /// Walks through a whole blob.
    ///
    /// # Errors
    ///
    /// Returns an error of the blob's stream, or any error if the visitor has cancelled.
    pub(crate) fn blob(&mut self, span: &mut Span<'_>) -> io::Result<()> {
        // A layer without a change consists of two blocks of zeros. The first is read here, because it makes the blob
        // a tar.
        let head = span.peek(HEAD)?;
        self.is_tar = head.get(..HEAD).is_some_and(|block| block.iter().all(|byte| *byte == 0));
        self.content(span)
    }

    /// Walks through a span to its end.
    ///
    /// # Errors
    ///
    /// Returns an error of the span's own stream, or any error if the visitor has cancelled.
    fn content(&mut self, span: &mut Span<'_>) -> io::Result<()> {
        // After a stub, an archive may begin anywhere.
        let mut hunting = false;
        loop {
            let begin = span.position();
            match sniff(span.peek(HEAD)?) {
                Beginning::Plain if hunting && !self.shared.is_exhausted() && stub::seek_archive(span)? => continue,
                Beginning::Plain => break,
                Beginning::Container(container) => self.open(container, span)?,
                // The content proper begins after the header.
                Beginning::Header(length) => {
                    span.skip(length)?;
                    continue;
                }
                Beginning::Stub(length) => {
                    hunting = true;
                    span.skip(length)?;
                    continue;
                }
                Beginning::Unopened(format) => {
                    // For the blob itself, the reader of the archive reports this.
                    if !self.here.is_empty() {
                        self.tell(Fault::NotOpened { format });
                    }
                    break;
                }
            }
            if span.position() == begin {
                if !hunting {
                    break;
                }
                span.skip(1)?;
            }
            skip_zeros(span)?;
            self.resume(span.position());
        }
        span.drain()
    }

    /// Opens a container, unless a limit is reached.
    fn open(&mut self, container: Container, span: &mut Span<'_>) -> io::Result<()> {
        let own = self.here.is_empty();
        if self.depth >= self.shared.limits().depth && !own {
            self.tell(Fault::Limit { what: "archives inside of archives" });
            return Ok(());
        }
        if self.shared.is_exhausted() {
            self.tell(Fault::Limit { what: "archives inside one layer" });
            return Ok(());
        }
        self.depth += usize::from(!own);
        let opened = match container {
            Container::Tar => self.tar(span),
            Container::Ar => self.ar(span),
            Container::Cpio => self.cpio(span),
            Container::Zip => self.zip(span),
            Container::GitPack => self.git_pack(span),
            Container::SevenZip => self.seven_zip(span),
            Container::Gzip
            | Container::Zlib
            | Container::Zstd
            | Container::Xz
            | Container::Lzma
            | Container::Lzip
            | Container::Bzip2 => self.packed(container, span),
        };
        self.depth -= usize::from(!own);
        opened
    }

    /// Enters an entry. Returns false if the maximal number of entries is reached.
    fn enter(&mut self, container: Container, header: &Header<'_>) -> bool {
        let own = self.here.is_empty();
        if !own && !self.shared.count_entry() {
            self.tell(Fault::Limit { what: "members of all archives inside one layer" });
            return false;
        }
        if own && container == Container::Tar {
            self.path.clear();
            self.path.extend_from_slice(header.name);
        } else {
            if !self.inside.is_empty() {
                self.inside.push(b'!');
            }
            self.inside.extend_from_slice(header.name);
        }
        self.here.push(Here {
            container: (!own || container != Container::Tar).then_some(container),
            kind: header.kind,
            content_at: header.content_at,
            size: header.size,
        });
        self.resume(header.header_at);
        true
    }

    /// Enters an entry, walks through its content, and leaves it. Returns false if the maximal number of entries is
    /// reached.
    fn member(&mut self, container: Container, header: &Header<'_>, span: &mut Span<'_>) -> io::Result<bool> {
        let mark = self.inside.len();
        if !self.enter(container, header) {
            return Ok(false);
        }
        let looked = self.content(span);
        self.leave(mark);
        looked.map(|()| true)
    }

    fn leave(&mut self, mark: usize) {
        self.here.pop();
        self.inside.truncate(mark);
    }

    /// Tells the visitor which entries and streams the bytes from an offset on belong to.
    fn resume(&self, at: u64) {
        let Some(Here { container, kind, content_at, size }) = self.here.last().copied() else { return };
        self.shared.entry(&Entry {
            path: &self.path,
            inside: &self.inside,
            container,
            kind,
            header_at: at,
            content_at,
            size,
        });
    }

    fn begin(&self, part: Part) {
        let Self { blob, name, path, inside, .. } = self;
        self.shared.begin(&Stream { blob: *blob, name, part, path, inside });
    }

    /// Returns the current path for people.
    fn place(&self) -> String {
        let inside = if self.inside.is_empty() { Vec::new() } else { [b"!", self.inside.as_slice()].concat() };
        let path = self.path.strip_prefix(b"./").unwrap_or(&self.path);
        format!("/{}{}", String::from_utf8_lossy(path), String::from_utf8_lossy(&inside))
    }

    fn tell(&mut self, fault: Fault) {
        let fault = Fault::Inside { path: self.place(), fault: Box::new(fault) };
        note(&mut self.faults, fault);
    }

    fn tell_damaged(&mut self, fault: Fault) {
        let fault = Fault::Inside { path: self.place(), fault: Box::new(fault) };
        note(&mut self.damaged, fault);
    }
}

fn note(faults: &mut Vec<Fault>, fault: Fault) {
    if faults.len() < MOST_TOLD && !faults.contains(&fault) {
        faults.push(fault);
    } else if faults.len() == MOST_TOLD {
        faults.push(Fault::Limit { what: "1000 messages about one layer" });
    }
}

/// Skips the zeros between two archives.
fn skip_zeros(span: &mut Span<'_>) -> io::Result<()> {
    use std::io::BufRead as _;
    loop {
        let there = span.fill_buf()?;
        let zeros = there.iter().position(|byte| *byte != 0).unwrap_or(there.len());
        let more = zeros > 0 && zeros == there.len();
        span.consume(zeros);
        if !more {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
