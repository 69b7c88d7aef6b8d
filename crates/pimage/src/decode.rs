//! Recognizes the packing of a stream by its first bytes.

use crate::blob::Packing;
use crate::tar;
use crate::unpack;

/// The number of bytes that [`sniff`] needs: one tar block.
pub(crate) const HEAD: usize = tar::BLOCK;

/// The largest window of a zstd frame that is decoded: 128 MiB, which `zstd --ultra --long=27` needs.
pub(crate) const LARGEST_ZSTD_WINDOW_LOG: u32 = 27;

/// The formats that are recognized but not opened.
const UNOPENED: [(&[u8], &str); 5] = [
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"PK\x03\x04", "zip"),
    (b"LZIP", "lzip"),
    (b"\x5d\0\0", "lzma"),
];

/// Recognizes a stream's packing by its first [`HEAD`] bytes, or by fewer if the stream is shorter.
pub(crate) fn sniff(head: &[u8]) -> Packing {
    // A tar's first name may begin like another format, so tar is checked first.
    if tar::is_header(head) {
        return Packing::Plain;
    }
    match head {
        [0x1f, 0x8b, ..] => Packing::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
        // A skippable frame may come first (RFC 8878, 3.1.2).
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Packing::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Xz,
        _ if unpack::is_bzip2(head) => Packing::Bzip2,
        _ => match UNOPENED.iter().find(|(magic, _)| head.starts_with(magic)) {
            Some((_, format)) => Packing::Unopened(format),
            None => Packing::Plain,
        },
    }
}

/// Whether the bytes begin like a JSON object or array.
pub(crate) fn looks_like_json(head: &[u8]) -> bool {
    matches!(head.trim_ascii_start().first(), Some(b'{' | b'['))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A13 (`docs/cases.md`): the first name of a tar may look like the beginning of another format.
    #[test]
    fn a_tar_is_a_tar_whatever_its_first_name_begins_with() {
        for name in ["BZh", "\u{1f}", "PK\u{3}\u{4}"] {
            assert_eq!(sniff(&ptest::Layer::new().file(name, "x").tar()), Packing::Plain, "{name:?}");
        }
        assert_eq!(sniff(b"BZh91AY&SY"), Packing::Bzip2);
        assert_eq!(sniff(b"text that claims to be .gz"), Packing::Plain);
    }
}
