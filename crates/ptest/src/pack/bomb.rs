//! Small archives that unpack to very large content, or that never end.

use std::io::Write as _;

use super::{Zip, deflate};

/// Packs zeros with gzip, which makes them about a thousand times smaller.
///
/// # Panics
///
/// This never panics, because writing to memory cannot fail.
#[must_use]
pub fn zeros(megabytes: usize) -> Vec<u8> {
    let piece = vec![0; 1 << 20];
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(9));
    for _ in 0..megabytes {
        encoder.write_all(&piece).expect(super::MEMORY);
    }
    encoder.finish().expect(super::MEMORY)
}

/// Makes a file in the form of 42.zip: zips inside of zips, `depth` levels deep and `width` in each, with content in
/// the innermost.
#[must_use]
pub fn forty_two(depth: usize, width: usize, bottom: &[u8]) -> Vec<u8> {
    let mut inner = Zip::new().deflated("bottom", bottom).bytes();
    for _ in 1..depth {
        let mut zip = Zip::new();
        for nth in 0..width {
            zip = zip.deflated(&format!("lib {nth}.zip"), &inner);
        }
        inner = zip.bytes();
    }
    inner
}

/// Makes a zip whose directory lists the same packed zeros many times, in the simplest form of David Fifield's zip
/// bomb.
#[must_use]
pub fn overlapping_zip(members: usize, size: usize) -> Vec<u8> {
    let kernel = deflate(&vec![0; size]);
    let mut out = Vec::new();
    let mut directory = Vec::new();
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    // Each member begins with a stored block that contains the next member's header, and then continues as that
    // member.
    let header = |nth: usize| {
        let name = format!("{nth:05}");
        let sums = [&[0; 4][..], &number(kernel.len()), &number(size)].concat();
        [b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0", sums.as_slice(), &[5, 0, 0, 0], name.as_bytes()].concat()
    };
    for nth in 0..members {
        let name = format!("{nth:05}");
        let line = [
            b"PK\x01\x02\x14\0\x14\0\0\0\x08\0\0\0\0\0",
            &[0; 4][..],
            &number(kernel.len()),
            &number(size),
            &[5, 0, 0, 0, 0, 0],
            &[0; 8],
            &number(out.len()),
            name.as_bytes(),
        ];
        directory.extend(line.concat());
        out.extend(header(nth));
        if nth + 1 < members {
            let length = u16::try_from(header(0).len()).unwrap_or_default();
            out.extend([&[0][..], &length.to_le_bytes(), &(!length).to_le_bytes()].concat());
        }
    }
    out.extend(kernel);
    let count = u16::try_from(members).unwrap_or(u16::MAX).to_le_bytes();
    let at = number(out.len());
    let size = number(directory.len());
    [&out, &directory, &b"PK\x05\x06\0\0\0\0"[..], &count, &count, &size, &at, &[0, 0]].concat()
}

/// Makes gzip inside of gzip, several levels deep. For a reader with a limit, a file that unpacks to itself looks the
/// same.
#[must_use]
pub fn gzip_in_gzip(levels: usize) -> Vec<u8> {
    (0..levels).fold(b"the innermost content".to_vec(), |inner, _| super::gzip(&inner))
}
