//! What stands before an archive: programs that unpack themselves, pictures that hide one, headers.

use std::io::{self, BufRead as _};

use memchr::memmem;

use super::sniff::{Found, sniff};
use crate::container::Container;
use crate::span::Span;
use crate::window::Ahead as _;

/// The magic numbers that are looked for, of at least four bytes.
const MAGICS: [&[u8]; 6] =
    [b"PK\x03\x04", b"\x1f\x8b\x08\0", b"\xfd7zXZ\0", b"BZh91AY&SY", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c"];
const LONGEST: usize = 10;
/// What a sniff of a candidate wants to see.
const ENOUGH: usize = 64;

/// Pictures and documents, whose readers do not mind what follows.
const CARRIERS: [&[u8]; 5] = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"%PDF-", b"#!"];

/// How many bytes stand before what is worth to be looked at, if the head is that of something known.
pub(super) fn header_length(head: &[u8]) -> Option<u64> {
    match head {
        // A java module, and a browser's extension before a zip.
        [b'J', b'M', 1, 0, b'P', b'K', ..] => Some(4),
        [b'C', b'r', b'2', b'4', 3, 0, 0, 0, length @ ..] => {
            Some(12 + u64::from(u32::from_le_bytes(*length.first_chunk()?)))
        }
        _ => git_header(head),
    }
}

/// A loose git object begins with what it is and how long it is.
fn git_header(head: &[u8]) -> Option<u64> {
    let kinds: [&[u8]; 4] = [b"blob ", b"tree ", b"commit ", b"tag "];
    let kind = kinds.iter().find(|kind| head.starts_with(kind))?.len();
    let digits = head[kind..].iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0 && head.get(kind + digits) == Some(&0)).then_some((kind + digits + 1) as u64)
}

/// From where on something that is no archive may hold one.
pub(super) fn stub_length(head: &[u8]) -> Option<u64> {
    match head {
        [0x7f, b'E', b'L', b'F', ..] => elf_end(head),
        [b'M', b'Z', _, _, ..] => Some(2),
        [0xed, 0xab, 0xee, 0xdb, 3 | 4, ..] => Some(96),
        _ => CARRIERS.iter().any(|magic| head.starts_with(magic)).then_some(2),
    }
}

/// Where the segments and the table of sections of a program end.
fn elf_end(head: &[u8]) -> Option<u64> {
    let (wide, big) = (*head.get(4)? == 2, *head.get(5)? == 2);
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = head.get(at..at + length)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    };
    let (sections, size, count) = if wide {
        (number(40, 8)?, number(58, 2)?, number(60, 2)?)
    } else {
        (number(32, 4)?, number(46, 2)?, number(48, 2)?)
    };
    let mut end = sections.checked_add(size * count)?;
    let (segments, size, count) = if wide {
        (number(32, 8)?, number(54, 2)?, number(56, 2)?)
    } else {
        (number(28, 4)?, number(42, 2)?, number(44, 2)?)
    };
    for nth in 0..count {
        let Some(at) = segments.checked_add(nth * size).and_then(|at| usize::try_from(at).ok()) else { break };
        let (from, length) = if wide {
            (number(at.saturating_add(8), 8), number(at.saturating_add(32), 8))
        } else {
            (number(at.saturating_add(4), 4), number(at.saturating_add(16), 4))
        };
        let (Some(from), Some(length)) = (from, length) else { break };
        end = end.max(from.saturating_add(length));
    }
    Some(end.max(64))
}

/// Goes to the next archive; `false` at the span's end.
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
                // Enough of it may not have been there.
                if matches!(sniff(span.peek(super::HEAD)?), Found::Container(container) if container != Container::Zlib)
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
        if head.len() < ENOUGH || matches!(sniff(head), Found::Container(_)) {
            return Some(at);
        }
        from = at + 1;
    }
}
