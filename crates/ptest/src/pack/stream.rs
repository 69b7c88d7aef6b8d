//! Bytes packed into one compressed stream.

use std::io::Write as _;

use flate2::Compression;

use super::MEMORY;

/// Packs with gzip, as one member.
///
/// # Panics
///
/// This never panics, because writing to memory cannot fail.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// Packs with gzip, with an extra field, a name and a comment.
///
/// # Panics
///
/// This never panics, because writing to memory cannot fail.
#[must_use]
pub fn gzip_with_fields(bytes: &[u8], extra: &[u8], name: &[u8], comment: &[u8]) -> Vec<u8> {
    let builder = flate2::GzBuilder::new().extra(extra).filename(name).comment(comment);
    let mut encoder = builder.write(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// Packs as a zlib stream.
///
/// # Panics
///
/// This never panics, because writing to memory cannot fail.
#[must_use]
pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// Packs as a raw deflate stream.
///
/// # Panics
///
/// This never panics, because writing to memory cannot fail.
#[must_use]
pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// Packs with Zstandard, as one frame.
///
/// # Panics
///
/// This never panics, because writing to memory cannot fail.
#[must_use]
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect(MEMORY)
}

/// Packs with bzip2, as one stream.
///
/// # Panics
///
/// This never panics, because writing to memory cannot fail.
#[must_use]
pub fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// Packs with xz, as one stream.
///
/// # Panics
///
/// This never panics, because writing to memory cannot fail.
#[must_use]
pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).expect(MEMORY);
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// Packs with lzma in its old format, with its header.
///
/// # Panics
///
/// This never panics, because writing to memory cannot fail.
#[must_use]
pub fn lzma(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::LzmaOptions::with_preset(1);
    let mut encoder = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).expect(MEMORY);
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// Packs with lzip, as one member.
///
/// # Panics
///
/// This never panics, because writing to memory cannot fail.
#[must_use]
pub fn lzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lzma_rust2::LzipWriter::new(Vec::new(), lzma_rust2::LzipOptions::with_preset(1));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}
