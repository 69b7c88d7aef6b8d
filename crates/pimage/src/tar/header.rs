//! Parses one 512-byte block of a tar, in the formats of POSIX ustar, GNU and v7.

use crate::visit::EntryKind;

pub(crate) const BLOCK: usize = 512;

/// The fields of one header block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u8,
    pub(super) size: u64,
    pub(super) path: Vec<u8>,
    pub(super) link: Vec<u8>,
    /// Whether this is an old GNU sparse entry whose map continues in further blocks.
    pub(super) map_goes_on: bool,
}

/// Parses a block. Returns `None` if it is not a header: its checksum is wrong, or its size is not a number.
pub(super) fn parse(block: &[u8]) -> Option<Header> {
    if block.len() < BLOCK || !checksum_is_right(block) {
        return None;
    }
    let kind = block[156];
    let ustar = &block[257..263] == b"ustar\0";
    let name = until_nul(&block[..100]);
    let prefix = until_nul(&block[345..500]);
    let path = if ustar && !prefix.is_empty() { [prefix, b"/", name].concat() } else { name.to_vec() };
    Some(Header {
        kind,
        size: number(&block[124..136])?,
        path,
        link: until_nul(&block[157..257]).to_vec(),
        map_goes_on: kind == b'S' && block[482] != 0,
    })
}

/// Compares the sum of all bytes with the checksum, whose own bytes count as blanks. Old writers added signed bytes.
fn checksum_is_right(block: &[u8]) -> bool {
    let Some(claimed) = number(&block[148..156]) else { return false };
    let own = |at: usize| (148..156).contains(&at);
    let bytes = || block[..BLOCK].iter().enumerate().map(|(at, byte)| if own(at) { b' ' } else { *byte });
    let unsigned: u64 = bytes().map(u64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    claimed == unsigned || i64::try_from(claimed) == Ok(signed)
}

/// Reads a number in octal digits, or in base 256 if the first bit is set (GNU).
fn number(field: &[u8]) -> Option<u64> {
    let (first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        // The byte 0xff begins a negative number.
        if *first == 0xff {
            return None;
        }
        return rest
            .iter()
            .try_fold(u64::from(first & 0x7f), |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let digits = field.iter().skip_while(|byte| **byte == b' ').take_while(|byte| !matches!(**byte, b' ' | 0));
    digits.copied().try_fold(0_u64, |sum, digit| match digit {
        b'0'..=b'7' => sum.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

fn until_nul(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

pub(super) fn entry_kind(kind: u8) -> EntryKind {
    match kind {
        0 | b'0' | b'7' | b'S' => EntryKind::File,
        b'5' => EntryKind::Directory,
        b'1' | b'2' => EntryKind::Link,
        _ => EntryKind::Other,
    }
}

/// Whether readers disagree about content after such a header: some use the stated size, some assume zero.
pub(super) fn content_is_disputed(kind: u8) -> bool {
    matches!(kind, b'1'..=b'6')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"00000000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0\0\0\0\0"), Some(0o644));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x01\0\0\0\0"), Some(1 << 32));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None, "negative");
        assert_eq!(number(b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), None, "past 64 bits");
        assert_eq!(number(b"0000008\0"), None);
    }
}
