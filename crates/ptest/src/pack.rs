//! Bytes packed into archives of every kind, valid or not.

mod bomb;
mod git;
mod plain;
mod quine;
pub(crate) mod stream;
mod zip;

pub use bomb::{forty_two, gzip_in_gzip, overlapping_zip, zeros};
pub use git::{git_loose, git_pack};
pub use plain::{ar, cpio_newc, cpio_odc, deb, elf, rpm};
pub use quine::quine;
pub use stream::{bzip2, deflate, gzip, gzip_with_fields, lzip, lzma, xz, zlib, zstd};
pub use zip::Zip;

const MEMORY: &str = "memory takes everything";

/// Makes a 7z archive with these members, all in one block of LZMA2.
///
/// # Panics
///
/// This never panics, because writing to memory cannot fail.
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
