//! Finds the beginning of an archive after other content, such as a program that unpacks itself.

use std::io::{self, BufRead as _};

use memchr::memmem;

use super::sniff::{Beginning, sniff};
use crate::container::Container;
use crate::span::Span;
use crate::window::Ahead as _;

/// The magic numbers that are searched for. They have at least four bytes.
const MAGICS: [&[u8]; 6] =
    [b"PK\x03\x04", b"\x1f\x8b\x08\0", b"\xfd7zXZ\0", b"BZh91AY&SY", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c"];
const LONGEST: usize = 10;
/// The number of bytes of a candidate that [`sniff`] needs here.
const ENOUGH: usize = 64;

/// Goes to the next archive. Returns false at the span's end.
pub(super) fn seek_archive(span: &mut Span<'_>) -> io::Result<bool> {
    let finders = MAGICS.map(memmem::Finder::new);
    loop {
        let there = span.peek(ENOUGH)?;
        let last = there.len() < ENOUGH;
        let found = finders.iter().filter_map(|finder| first(finder, there)).min();
        let step = found.unwrap_or_else(|| there.len().saturating_sub(LONGEST));
        if step == 0 && found.is_none() {
            return Ok(false);
        }
        span.consume(step);
        match found {
            None if last => return Ok(false),
            None => {}
            Some(_) => {
                // The candidate is checked again, because it may have had fewer than `ENOUGH` bytes.
                if matches!(sniff(span.peek(super::HEAD)?), Beginning::Container(container) if container != Container::Zlib)
                {
                    return Ok(true);
                }
                span.skip(1)?;
            }
        }
    }
}

fn first(finder: &memmem::Finder<'_>, there: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + finder.find(&there[from..])?;
        let head = &there[at..];
        if head.len() < ENOUGH || matches!(sniff(head), Beginning::Container(_)) {
            return Some(at);
        }
        from = at + 1;
    }
}
