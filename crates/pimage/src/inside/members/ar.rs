//! Reads ar, the archive of deb packages and static libraries.

use std::io::{self, Read as _};

use super::super::{Header, Look};
use super::{LONGEST_NAME, number};
use crate::container::Container;
use crate::problem::Fault;
use crate::span::Span;
use crate::visit::EntryKind;
use crate::window::Ahead as _;

const MAGIC: u64 = 8;
const HEADER: usize = 60;
/// The maximal size of a table of long names that is read.
const MOST_NAMES: u64 = 1 << 20;

impl Look<'_> {
    /// Names the members of an ar.
    pub(in crate::inside) fn ar(&mut self, span: &mut Span<'_>) -> io::Result<()> {
        span.skip(MAGIC)?;
        let mut names = Vec::new();
        loop {
            let header_at = span.position();
            let Some(block) = span.next::<HEADER>()? else { return Ok(()) };
            let (Some(size), b"`\n") = (number(&block[48..58], 10), &block[58..]) else { return Ok(()) };
            span.skip(HEADER as u64)?;
            let field = block[..16].trim_ascii_end();
            if field == b"//" && size <= MOST_NAMES {
                // The table is read here, and the walk skips its bytes below.
                names.clear();
                span.part(size).read_to_end(&mut names)?;
            } else {
                // BSD writes the name directly before the content.
                let before = field.strip_prefix(b"#1/").and_then(|digits| number(digits, 10)).unwrap_or_default();
                let before = before.min(size).min(LONGEST_NAME as u64);
                let mut name = Vec::new();
                span.part(before).read_to_end(&mut name)?;
                if before == 0 {
                    name = long_name(field, &names).to_vec();
                }
                name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
                let (content_at, size) = (span.position(), size - before);
                let header = Header { name: &name, kind: EntryKind::File, header_at, content_at, size };
                if !self.member(Container::Ar, &header, &mut span.part(size))? {
                    return Ok(());
                }
            }
            let end = header_at + HEADER as u64 + size;
            if span.position() < end {
                self.tell_damaged(Fault::EndsEarly { format: "ar", at: span.position() });
                return Ok(());
            }
            span.skip(size % 2)?;
        }
    }
}

/// Returns the name in a field, or the name that the field refers to in the table: `/123`.
fn long_name<'n>(field: &'n [u8], names: &'n [u8]) -> &'n [u8] {
    let at = field.strip_prefix(b"/").and_then(|digits| number(digits, 10)).and_then(|at| usize::try_from(at).ok());
    let name = match at.and_then(|at| names.get(at..)) {
        Some(rest) => &rest[..rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len())],
        None => field,
    };
    name.strip_suffix(b"/").filter(|name| !name.is_empty()).unwrap_or(name)
}
