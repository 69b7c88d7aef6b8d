//! Reads cpio, in the two forms that are written today: `newc`, also with checksums, and the portable `odc`.

use std::io;

use super::super::{Header, Look};
use super::{LONGEST_NAME, number};
use crate::container::Container;
use crate::problem::Fault;
use crate::span::Span;
use crate::visit::EntryKind;
use crate::window::Ahead as _;

/// The fields of a header.
struct Entry {
    mode: u64,
    name: u64,
    size: u64,
    /// The length of the header without the name.
    length: u64,
    /// Name and content are padded to a multiple of this length.
    align: u64,
}

fn parse(head: &[u8]) -> Option<Entry> {
    match head.get(..6)? {
        b"070701" | b"070702" => {
            let field = |at: usize| number(head.get(6 + 8 * at..14 + 8 * at)?, 16);
            Some(Entry { mode: field(1)?, size: field(6)?, name: field(11)?, length: 110, align: 4 })
        }
        b"070707" => {
            let field = |at: usize, length: usize| number(head.get(at..at + length)?, 8);
            Some(Entry { mode: field(18, 6)?, name: field(59, 6)?, size: field(65, 11)?, length: 76, align: 1 })
        }
        _ => None,
    }
}

impl Look<'_> {
    /// Names the entries of a cpio.
    pub(in crate::inside) fn cpio(&mut self, span: &mut Span<'_>) -> io::Result<()> {
        let begin = span.position();
        loop {
            let header_at = span.position();
            let Some(entry) = parse(span.peek(110)?) else {
                if header_at > begin {
                    self.tell_damaged(Fault::Damaged { format: "cpio", at: header_at - begin });
                }
                return Ok(());
            };
            if entry.name > LONGEST_NAME as u64 {
                return Ok(());
            }
            // Both numbers were checked above.
            let (length, until) = (entry.length as usize, (entry.length + entry.name) as usize);
            let mut name = span.peek(until)?.get(length..until).unwrap_or_default().to_vec();
            name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
            let padded = |count: u64| count.checked_next_multiple_of(entry.align).unwrap_or(count);
            span.skip(padded(entry.length + entry.name))?;
            if name == b"TRAILER!!!" {
                return Ok(());
            }
            let kind = match entry.mode & 0o170_000 {
                0o100_000 => EntryKind::File,
                0o040_000 => EntryKind::Directory,
                0o120_000 => EntryKind::Link,
                _ => EntryKind::Other,
            };
            let content_at = span.position();
            let header = Header { name: &name, kind, header_at, content_at, size: entry.size };
            if !self.member(Container::Cpio, &header, &mut span.part(entry.size))? {
                return Ok(());
            }
            if span.position() < content_at + entry.size {
                self.tell_damaged(Fault::EndsEarly { format: "cpio", at: span.position() - begin });
                return Ok(());
            }
            span.skip(padded(entry.size) - entry.size)?;
        }
    }
}
