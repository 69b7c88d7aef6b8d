//! `pbuild build -`: standard input is a Dockerfile, or an archive that holds one.

use std::io::{self, Cursor, Read};

use pbuildkit::Archive;

/// The largest Dockerfile, in bytes. BuildKit's frontend reads no more of the file.
pub(crate) const DOCKERFILE_LIMIT: usize = 16 << 20;

/// The length of a tar entry's header, in bytes.
const HEADER: usize = 512;

/// The content of standard input.
pub(crate) enum Input {
    /// A complete Dockerfile.
    Dockerfile(Vec<u8>),
    /// An archive that was not read yet.
    Archive(Archive),
}

/// Decides by the beginning of the input, as docker does: a tar, or data that is compressed in a way that docker
/// unpacks, is an archive; everything else is a Dockerfile.
///
/// # Errors
/// Returns an error if the input cannot be read.
pub(crate) fn read(mut input: impl Read + Send + 'static) -> io::Result<Input> {
    let mut beginning = Vec::with_capacity(HEADER);
    let _waiting = pscreen::waiting();
    input.by_ref().take(HEADER as u64).read_to_end(&mut beginning)?;
    if is_archive(&beginning) {
        return Ok(Input::Archive(Archive::new(Cursor::new(beginning).chain(input))));
    }
    input.take((DOCKERFILE_LIMIT - HEADER) as u64).read_to_end(&mut beginning)?;
    Ok(Input::Dockerfile(beginning))
}

fn is_archive(beginning: &[u8]) -> bool {
    let packed: [&[u8]; 3] = [b"BZh", b"\x1f\x8b\x08", b"\xfd7zXZ\0"];
    packed.iter().any(|magic| beginning.starts_with(magic)) || is_tar(beginning)
}

/// Returns whether the checksum of a tar header is right. The checksum is used because old archives have no magic
/// bytes.
fn is_tar(header: &[u8]) -> bool {
    let Some((header, _)) = header.split_first_chunk::<HEADER>() else { return false };
    let (before, rest) = header.split_at(148);
    let (field, after) = rest.split_at(8);
    let sum: u32 = before.iter().chain(after).map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
    let digits = String::from_utf8_lossy(field);
    let written = u32::from_str_radix(digits.trim_matches([' ', '\0']), 8);
    header[0] != 0 && written == Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar() -> Vec<u8> {
        let mut header = vec![0; HEADER];
        header[..10].copy_from_slice(b"Dockerfile");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header
    }

    #[test]
    fn an_archive_is_told_from_a_dockerfile_by_its_beginning() {
        assert!(is_archive(&tar()));
        assert!(is_archive(b"\x1f\x8b\x08rest") && is_archive(b"BZh9") && is_archive(b"\xfd7zXZ\0\0"));
        let mut damaged = tar();
        damaged[0] = b'X';
        for other in [&b"FROM busybox\n"[..], b"", &[0; HEADER], &damaged] {
            assert!(!is_archive(other));
        }
    }

    #[test]
    fn a_long_dockerfile_is_read_whole() {
        let text = "# x\n".repeat(1000);
        let Input::Dockerfile(read) = read(Cursor::new(text.clone())).unwrap() else { panic!("this is no archive") };
        assert_eq!(read, text.as_bytes());
    }
}
