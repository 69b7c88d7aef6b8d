//! Containers that are packed: each contains a new stream.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use super::tap::{Stopped, Tap};
use super::{Here, Look};
use crate::container::Container;
use crate::problem::Fault;
use crate::span::Span;
use crate::unpack::{self, FrameHeader, Gzip, Pump, Zstd};
use crate::visit::{EntryKind, Part};
use crate::window::{Ahead as _, CHUNK, Window};

/// The number of bytes that a format without a long magic number must unpack to before its damage is reported. Below
/// it, the content most likely never had this format.
const CERTAIN: u64 = 4096;

/// The largest window of a zstd frame, as a power of two.
const LARGEST_WINDOW_LOG: u32 = 26;

/// The result of unpacking a stream.
pub(super) struct Unpacked {
    pub(super) bytes: u64,
    pub(super) end: End,
}

pub(super) enum End {
    /// The stream ended where the format has its end.
    Whole,
    /// The input ended before the stream.
    Early,
    /// The stream cannot be decoded further, or its checksum is wrong.
    Damaged,
    /// A limit was reached.
    Limit(&'static str),
}

pub(super) const MEMORY: &str = "memory for unpacking";

impl<'v> Look<'v> {
    /// Unpacks the container at the beginning of a span.
    pub(super) fn packed(&mut self, container: Container, span: &mut Span<'_>) -> io::Result<()> {
        let shared = self.shared;
        let head = span.peek(256)?;
        let frame = FrameHeader::parse(head);
        if frame.is_some_and(|frame| frame.needs_dictionary) {
            self.tell(Fault::NotOpened { format: "zstd with a dictionary" });
            return Ok(());
        }
        let memory = match container {
            Container::Xz => unpack::xz_memory(head),
            Container::Lzma => unpack::lzma_memory(head),
            Container::Lzip => unpack::lzip_memory(head),
            Container::Zstd => Some(frame.map_or(1 << 23, |frame| frame.window)),
            Container::Gzip | Container::Zlib | Container::Bzip2 => Some(0),
            // In these containers, only the members are packed.
            Container::Tar | Container::Zip | Container::Ar | Container::Cpio => return Ok(()),
            Container::SevenZip | Container::GitPack => return Ok(()),
        };
        let Some(memory) = memory else { return Ok(()) };
        let Some(_reserved) = shared.reserve(memory) else {
            self.tell(Fault::Limit { what: MEMORY });
            return Ok(());
        };
        let (meter, packed_at) = (span.meter().clone(), span.position());
        let source: Box<dyn Read + '_> = match container {
            Container::Gzip => Box::new(Gzip::new(span)),
            Container::Zlib => Box::new(unpack::zlib(span)),
            Container::Xz => Box::new(unpack::xz(span, memory)),
            Container::Lzma => match unpack::lzma(span, memory) {
                Ok(lzma) => Box::new(lzma),
                Err(_) => return Ok(()),
            },
            Container::Lzip => Box::new(unpack::lzip(span, memory)),
            Container::Bzip2 => Box::new(Pump::new(span, unpack::Bzip2::new())),
            Container::Zstd => match Zstd::new(LARGEST_WINDOW_LOG) {
                Ok(zstd) => Box::new(Pump::new(span, zstd)),
                Err(_) => return Ok(()),
            },
            // In these containers, only the members are packed.
            Container::Tar | Container::Zip | Container::Ar | Container::Cpio => return Ok(()),
            Container::SevenZip | Container::GitPack => return Ok(()),
        };
        let unpacked = self.unpack(container, meter, source, packed_at)?;
        let certain = !matches!(container, Container::Gzip | Container::Zlib | Container::Lzma);
        self.judge(container.name(), &unpacked, certain, span);
        Ok(())
    }

    /// Shows the visitor the output of a decoder, and walks through it. The packed bytes begin at `packed_at`, and
    /// the meter counts how far they were read.
    ///
    /// # Errors
    ///
    /// Returns any error if the visitor has cancelled.
    pub(super) fn unpack(
        &mut self,
        container: Container,
        meter: Rc<Cell<u64>>,
        source: Box<dyn Read + '_>,
        packed_at: u64,
    ) -> io::Result<Unpacked> {
        Ok(self.unpack_keeping(container, meter, source, packed_at, 0)?.0)
    }

    /// Unpacks a stream as [`Self::unpack`] does, and returns a copy of the content if it is not longer than `most`.
    pub(super) fn unpack_keeping(
        &mut self,
        container: Container,
        meter: Rc<Cell<u64>>,
        source: Box<dyn Read + '_>,
        packed_at: u64,
        most: usize,
    ) -> io::Result<(Unpacked, Option<Vec<u8>>)> {
        self.level += 1;
        self.begin(Part::Inside(container));
        let buffer = self.buffers.pop().unwrap_or_else(|| vec![0; CHUNK].into_boxed_slice());
        let tap = Tap::inside(source, self.shared, self.level, meter, packed_at);
        let tap = tap.keeping((most > 0).then(Vec::new), most);
        let mut window = Window::with_buffer(tap, buffer);
        self.here.push(Here { container: Some(container), kind: EntryKind::File, content_at: 0, size: u64::MAX });
        let looked = self.content(&mut Span::rest(&mut window));
        self.here.pop();
        let (tap, buffer) = window.into_parts();
        self.buffers.push(buffer);
        let seen = tap.finish();
        self.shared.end();
        self.level -= 1;
        if self.shared.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let end = match (looked, seen.stopped) {
            (_, Some(Stopped::Limit(what))) => End::Limit(what),
            (Ok(()), _) => End::Whole,
            (Err(error), _) => match error.kind() {
                io::ErrorKind::UnexpectedEof => End::Early,
                io::ErrorKind::OutOfMemory => End::Limit(MEMORY),
                _ => End::Damaged,
            },
        };
        Ok((Unpacked { bytes: seen.count, end }, seen.kept))
    }

    /// Reports how a stream ended, if it ended early, at damage or at a limit. A failure of its source is reported
    /// for the source.
    pub(super) fn judge(&mut self, format: &'static str, unpacked: &Unpacked, certain: bool, span: &Span<'_>) {
        let Unpacked { bytes: at, ref end } = *unpacked;
        let certain = certain || at >= CERTAIN;
        match end {
            End::Limit(what) => self.tell(Fault::Limit { what }),
            End::Early if certain && !span.has_failed() => self.tell_damaged(Fault::EndsEarly { format, at }),
            End::Damaged if certain && !span.has_failed() => self.tell_damaged(Fault::Damaged { format, at }),
            End::Whole | End::Early | End::Damaged => {}
        }
    }
}
