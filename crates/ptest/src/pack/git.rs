//! Files of git's object store.

use super::zlib;

/// Makes a loose object.
#[must_use]
pub fn git_loose(content: &[u8]) -> Vec<u8> {
    zlib(&[format!("blob {}\0", content.len()).as_bytes(), content].concat())
}

/// Makes a pack of two blobs. The second one is stored as a delta: the bytes before `cut` are copied from the first
/// blob, and the rest is new.
#[must_use]
pub fn git_pack(first: &[u8], second: &[u8], cut: usize) -> Vec<u8> {
    let mut out = b"PACK\0\0\0\x02\0\0\0\x02".to_vec();
    let at = out.len();
    out.extend(object(3, first.len()));
    out.extend(zlib(first));
    let mut delta = number(first.len());
    delta.extend(number(second.len()));
    let length = u16::try_from(cut).unwrap_or_default().to_le_bytes();
    delta.extend([0xb0, length[0], length[1]]);
    for piece in second[cut..].chunks(100) {
        delta.push(u8::try_from(piece.len()).unwrap_or_default());
        delta.extend(piece);
    }
    let before = out.len() - at;
    out.extend(object(6, delta.len()));
    // The encoding of the offset subtracts one for each further byte (gitformat-pack, "offset encoding").
    let mut offset = vec![u8::try_from(before & 0x7f).unwrap_or_default()];
    let mut rest = before >> 7;
    while rest > 0 {
        rest -= 1;
        offset.insert(0, 0x80 | u8::try_from(rest & 0x7f).unwrap_or_default());
        rest >>= 7;
    }
    out.extend(offset);
    out.extend(zlib(&delta));
    out.extend([0; 20]);
    out
}

fn object(kind: u8, size: usize) -> Vec<u8> {
    let mut bytes = vec![kind << 4 | u8::try_from(size & 15).unwrap_or_default()];
    let mut rest = size >> 4;
    while rest > 0 {
        if let Some(last) = bytes.last_mut() {
            *last |= 0x80;
        }
        bytes.push(u8::try_from(rest & 0x7f).unwrap_or_default());
        rest >>= 7;
    }
    bytes
}

fn number(mut rest: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap_or_default();
        rest >>= 7;
        bytes.push(if rest > 0 { low | 0x80 } else { low });
        if rest == 0 {
            return bytes;
        }
    }
}
