//! Recognizes content by its first bytes. Names are ignored.

use super::program;
use crate::container::Container;
use crate::tar;
use crate::unpack;

/// The number of bytes that [`sniff`] needs: one tar block.
pub(crate) const HEAD: usize = tar::BLOCK;

/// The kind of content, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    /// Content in no known format that contains other content.
    Plain,
    /// A container, or something that looks like one.
    Container(Container),
    /// A header of this length, followed by the content proper.
    Header(u64),
    /// Content that may have an archive after it. The archive begins after this many bytes or later.
    Stub(u64),
    /// Certainly a container, but of a kind that is not opened.
    Unopened(&'static str),
}

/// The formats that are not opened, and that their first bytes alone identify.
const UNOPENED: [(&[u8], &str); 7] = [
    (b"Rar!\x1a\x07\0", "rar"),
    (b"Rar!\x1a\x07\x01\0", "rar"),
    (b"\x89LZO\0\r\n\x1a\n", "lzop"),
    (b"\xff\x06\0\0sNaPpY", "snappy"),
    (b"LRZI\0", "lrzip"),
    (b"MSCF\0\0\0\0", "cab"),
    (b"\x02\x21\x4c\x18", "lz4"),
];

/// Recognizes content by its first [`HEAD`] bytes, or by fewer if the content is shorter.
pub(crate) fn sniff(head: &[u8]) -> Beginning {
    // A tar's first name may begin like another format, so tar is checked first.
    if tar::is_header(head) {
        return Beginning::Container(Container::Tar);
    }
    let container = match head {
        [0x1f, 0x8b, 8, flags, ..] if flags & 0xe0 == 0 => Container::Gzip,
        _ if unpack::is_frame(head) => Container::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Container::Xz,
        [b'L', b'Z', b'I', b'P', 1, ..] => Container::Lzip,
        _ if unpack::is_bzip2(head) => Container::Bzip2,
        [b'!', b'<', b'a', b'r', b'c', b'h', b'>', b'\n', ..] => Container::Ar,
        [b'0', b'7', b'0', b'7', b'0', b'1' | b'2' | b'7', digits @ ..] if all_hex(digits) => Container::Cpio,
        [b'P', b'K', 3, 4, ..] if is_local_header(head) => Container::Zip,
        [b'P', b'K', 5, 6, rest @ ..] if rest.starts_with(&[0; 16]) => Container::Zip,
        // These bytes mark a split archive that fits into one file.
        [b'P', b'K', b'0', b'0', b'P', b'K', 3, 4, ..] | [b'P', b'K', 7, 8, b'P', b'K', 3, 4, ..] => Container::Zip,
        [b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c, ..] => Container::SevenZip,
        [b'P', b'A', b'C', b'K', 0, 0, 0, 2 | 3, ..] => Container::GitPack,
        [0x5d, ..] if unpack::lzma_memory(head).is_some() => Container::Lzma,
        // The method is deflate, no dictionary is needed, and the header's checksum is right.
        [method @ (0x18 | 0x28 | 0x38 | 0x48 | 0x58 | 0x68 | 0x78), flags, _, _, ..]
            if flags & 0x20 == 0 && u16::from_be_bytes([*method, *flags]).is_multiple_of(31) =>
        {
            Container::Zlib
        }
        [4, 0x22, 0x4d, 0x18, flags, ..] if flags >> 6 == 1 => return Beginning::Unopened("lz4"),
        [b'h', b's', b'q', b's', ..] if head.get(28..32) == Some(&[4, 0, 0, 0]) => {
            return Beginning::Unopened("squashfs");
        }
        _ => {
            if let Some(length) = program::header_length(head) {
                return Beginning::Header(length);
            }
            if let Some(length) = program::stub_length(head) {
                return Beginning::Stub(length);
            }
            let unopened = UNOPENED.iter().find(|(magic, _)| head.starts_with(magic));
            return unopened.map_or(Beginning::Plain, |(_, format)| Beginning::Unopened(format));
        }
    };
    Beginning::Container(container)
}

/// Whether bytes with the signature of a zip's local header can be one: they have a known version, a known method,
/// and a name.
pub(crate) fn is_local_header(head: &[u8]) -> bool {
    let Some(fields) = head.get(4..30) else { return false };
    let short = |at: usize| u16::from_le_bytes([fields[at], fields[at + 1]]);
    let (version, method, name) = (fields[0], short(4), short(22));
    version <= 63 && (method <= 20 || (93..=99).contains(&method)) && (1..=4096).contains(&name)
}

/// Whether the fields of a cpio header are digits.
fn all_hex(digits: &[u8]) -> bool {
    digits.get(..64).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A13 (`docs/cases.md`): the first name of a tar may look like the beginning of another format.
    #[test]
    fn a_tar_is_a_tar_whatever_its_first_name_begins_with() {
        for name in ["BZh91AY&SY", "\u{1f}", "PK\u{3}\u{4}"] {
            let tar = ptest::Layer::new().file(name, "x").tar();
            assert_eq!(sniff(&tar[..HEAD]), Beginning::Container(Container::Tar), "{name:?}");
        }
        assert_eq!(sniff(b"text that claims to be .gz"), Beginning::Plain);
        assert_eq!(sniff(b""), Beginning::Plain);
    }
}
