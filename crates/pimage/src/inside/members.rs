//! Containers whose members are stored unpacked.

mod ar;
mod cpio;
mod zip;

use std::io;

use super::{Header, Look};
use crate::container::Container;
use crate::problem::Fault;
use crate::span::Span;
use crate::tar::{End, Walk};
use crate::window::Ahead as _;

/// The maximal length of a name.
const LONGEST_NAME: usize = 64 << 10;

impl Look<'_> {
    /// Names the entries of a tar. After a block that is not a header, it searches for the next header.
    pub(super) fn tar(&mut self, span: &mut Span<'_>) -> io::Result<()> {
        let own = self.here.is_empty();
        self.is_tar |= own;
        let begin = span.position();
        let mut walk = Walk::default();
        loop {
            match walk.next(span)? {
                Ok(()) => {}
                Err(End::Lost) if !walk.saw_end() && walk.recover(span)? => continue,
                Err(End::Cut) if own => {
                    self.cut = true;
                    return Ok(());
                }
                Err(End::Cut) => {
                    let at = span.position() - begin;
                    self.tell_damaged(Fault::EndsEarly { format: "tar", at });
                    return Ok(());
                }
                Err(End::Regular | End::Lost) => return Ok(()),
            }
            let entry = walk.entry();
            if own {
                self.whiteouts.note(&entry.path);
            }
            let header = Header {
                name: &entry.path,
                kind: entry.kind,
                header_at: walk.header_at(),
                content_at: entry.content_at,
                size: entry.size,
            };
            if !self.member(Container::Tar, &header, &mut span.part(entry.size))? {
                return Ok(());
            }
        }
    }
}

/// Reads a number in digits of a base, followed by blanks or zero bytes.
fn number(field: &[u8], base: u32) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    u64::from_str_radix(text, base).ok()
}
