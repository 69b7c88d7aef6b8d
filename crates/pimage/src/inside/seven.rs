//! Reads 7z, the one format whose directory can only be read from its end. So an archive that fits into the memory
//! limit is copied into memory.

use std::io::{self, Cursor, Read as _};

use sevenz_rust2::{ArchiveReader, EntryDecision, Error, Password};

use super::packed::{End, MEMORY, Unpacked};
use super::{Header, Look};
use crate::container::Container;
use crate::problem::Fault;
use crate::span::Span;
use crate::visit::EntryKind;
use crate::window::Ahead as _;

/// The length of the longest archive that is copied.
const LONGEST: u64 = 32 << 20;
/// The memory that dictionaries may need beside the copy.
const DICTIONARIES: u64 = 64 << 20;

impl Look<'_> {
    /// Copies a 7z, and walks through its members.
    pub(super) fn seven_zip(&mut self, span: &mut Span<'_>) -> io::Result<()> {
        let Some(head) = span.next::<32>()? else { return Ok(()) };
        let number = |at: usize| head[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let Some(length) = number(12).checked_add(number(20)).and_then(|sum| sum.checked_add(32)) else {
            return Ok(());
        };
        if length > span.left() {
            self.tell_damaged(Fault::EndsEarly { format: "7z", at: 0 });
            return Ok(());
        }
        let shared = self.shared;
        let reserved = shared.reserve(length.saturating_add(DICTIONARIES));
        if length > LONGEST || reserved.is_none() {
            self.tell(Fault::Limit { what: MEMORY });
            return Ok(());
        }
        let (header_at, meter) = (span.position(), span.meter().clone());
        let mut copy = Vec::new();
        span.part(length).read_to_end(&mut copy)?;
        let kilobytes = usize::try_from(DICTIONARIES / 1024).unwrap_or(usize::MAX);
        let opened = ArchiveReader::new_with_memory_limit(Cursor::new(copy), Password::empty(), kilobytes);
        let mut archive = match opened {
            Ok(archive) => archive,
            Err(error) => {
                self.judge_seven_zip(&error, 0);
                return Ok(());
            }
        };
        archive.set_thread_count(1);
        let mut bytes = 0;
        let mut failed = None;
        let ended = archive.for_each_entries_with_decision_allowing_surplus(|entry, reader| {
            let kind = if entry.is_directory() { EntryKind::Directory } else { EntryKind::File };
            let name = entry.name().as_bytes();
            let header = Header { name, kind, header_at, content_at: header_at, size: length };
            let mark = self.inside.len();
            if !self.enter(Container::SevenZip, &header) {
                return Ok(EntryDecision::Stop);
            }
            // All packed bytes were read already, so the ratio of a member is computed with the whole archive.
            let unpacked = self.unpack(Container::SevenZip, meter.clone(), Box::new(reader), header_at);
            let decision = match unpacked {
                Ok(Unpacked { bytes: count, end: End::Limit(what) }) => {
                    bytes += count;
                    self.tell(Fault::Limit { what });
                    EntryDecision::SkipBlock
                }
                Ok(unpacked) => {
                    bytes += unpacked.bytes;
                    EntryDecision::Continue
                }
                Err(error) => {
                    failed = Some(error);
                    EntryDecision::Stop
                }
            };
            self.leave(mark);
            Ok(decision)
        });
        if let Some(error) = failed {
            return Err(error);
        }
        if let Err(error) = ended {
            self.judge_seven_zip(&error, bytes);
        }
        Ok(())
    }

    fn judge_seven_zip(&mut self, error: &Error, at: u64) {
        match error {
            Error::PasswordRequired | Error::MaybeBadPassword(_) => {
                self.tell(Fault::NotOpened { format: "encrypted 7z" });
            }
            Error::UnsupportedCompressionMethod(_) | Error::ExternalUnsupported | Error::Unsupported(_) => {
                self.tell(Fault::NotOpened { format: "7z with an unknown method" });
            }
            Error::MaxMemLimited { .. } => self.tell(Fault::Limit { what: MEMORY }),
            Error::Io(error, _) if error.kind() == io::ErrorKind::OutOfMemory => {
                self.tell(Fault::Limit { what: MEMORY });
            }
            _ => self.tell_damaged(Fault::Damaged { format: "7z", at }),
        }
    }
}
