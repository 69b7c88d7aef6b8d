//! Bytes packed into archives of every kind, honest or not.

mod bomb;
mod git;
mod plain;
mod quine;
mod zip;

use std::io::Write as _;

use flate2::Compression;

pub use bomb::{forty_two, gzip_in_gzip, overlapping_zip, zeros};
pub use git::{git_loose, git_pack};
pub use plain::{ar, cpio_newc, cpio_odc, deb, elf, rpm};
pub use quine::quine;
pub use zip::Zip;

const MEMORY: &str = "memory takes everything";

/// gzip, one member.
///
/// # Panics
///
/// Never: memory takes everything. So it is for all of these.
#[must_use]
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// gzip with an extra field, a name and a comment.
///
/// # Panics
///
/// Never.
#[must_use]
pub fn gzip_with_fields(bytes: &[u8], extra: &[u8], name: &[u8], comment: &[u8]) -> Vec<u8> {
    let builder = flate2::GzBuilder::new().extra(extra).filename(name).comment(comment);
    let mut encoder = builder.write(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// A zlib stream.
///
/// # Panics
///
/// Never.
#[must_use]
pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// A bare deflate stream.
///
/// # Panics
///
/// Never.
#[must_use]
pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// Zstandard, one frame.
///
/// # Panics
///
/// Never.
#[must_use]
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect(MEMORY)
}

/// bzip2, one stream.
///
/// # Panics
///
/// Never.
#[must_use]
pub fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// xz, one stream.
///
/// # Panics
///
/// Never.
#[must_use]
pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).expect(MEMORY);
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// lzma alone, with its header.
///
/// # Panics
///
/// Never.
#[must_use]
pub fn lzma(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::LzmaOptions::with_preset(1);
    let mut encoder = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).expect(MEMORY);
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// lzip, one member.
///
/// # Panics
///
/// Never.
#[must_use]
pub fn lzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lzma_rust2::LzipWriter::new(Vec::new(), lzma_rust2::LzipOptions::with_preset(1));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect(MEMORY)
}

/// 7z with these members, all in one block of LZMA2.
///
/// # Panics
///
/// Never.
#[must_use]
pub fn seven_zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = sevenz_rust2::ArchiveWriter::new(std::io::Cursor::new(Vec::new())).expect(MEMORY);
    let options = sevenz_rust2::encoder_options::Lzma2Options::from_level(1);
    writer.set_content_methods(vec![options.into()]);
    for (name, bytes) in members {
        let entry = sevenz_rust2::ArchiveEntry::new_file(name);
        writer.push_archive_entry(entry, Some(*bytes)).expect(MEMORY);
    }
    writer.finish().expect(MEMORY).into_inner()
}
