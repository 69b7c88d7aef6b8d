//! A file that was searched and is read again to be written elsewhere. Its digest shows whether it has changed.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pimage::Digest;
use sha2::{Digest as _, Sha256};

/// The largest piece that is read at once, in bytes.
const PIECE: usize = 256 << 10;

/// A file that was searched, and the digest of the searched bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileBlob {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// The reasons why a file is not written elsewhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// The file has changed since it was searched.
    #[error("{} has changed since it was searched", .0.display())]
    Changed(PathBuf),
    /// The file cannot be read.
    #[error("{}: {}", path.display(), source.kind())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl FileBlob {
    /// Reads the bytes after an offset in pieces, until `give` returns false. The whole file is hashed, from its
    /// first byte. The last piece is given only if the file has not changed since it was searched.
    ///
    /// # Errors
    /// Returns a [`BlobError`].
    pub(crate) fn read(&self, offset: u64, mut give: impl FnMut(Bytes) -> bool) -> Result<(), BlobError> {
        let unreadable = |source| BlobError::Unreadable { path: self.path.clone(), source };
        let mut file = open(&self.path).map_err(unreadable)?;
        let (mut hasher, mut at) = (Sha256::new(), 0);
        let mut held: Option<Bytes> = None;
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            (&mut file).take(PIECE as u64).read_to_end(&mut piece).map_err(unreadable)?;
            if piece.is_empty() {
                break;
            }
            hasher.update(&piece);
            let skipped = usize::try_from(offset.saturating_sub(at)).unwrap_or(usize::MAX).min(piece.len());
            at += piece.len() as u64;
            if at > self.size {
                return Err(BlobError::Changed(self.path.clone()));
            }
            let piece = Bytes::from(piece).slice(skipped..);
            if piece.is_empty() {
                continue;
            }
            if let Some(before) = held.replace(piece)
                && !give(before)
            {
                return Ok(());
            }
        }
        let digest = Digest::from_hex(&base16ct::lower::encode_string(&hasher.finalize()));
        if at != self.size || digest.as_ref() != Some(&self.digest) {
            return Err(BlobError::Changed(self.path.clone()));
        }
        if let Some(last) = held {
            give(last);
        }
        Ok(())
    }
}

/// Opens a file without following a link.
fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(folder: &Path, bytes: &[u8]) -> FileBlob {
        let path = folder.join("blob");
        std::fs::write(&path, bytes).unwrap();
        FileBlob { path, digest: Digest::of(bytes), size: bytes.len() as u64 }
    }

    fn bytes(blob: &FileBlob, offset: u64) -> Result<Vec<u8>, BlobError> {
        let mut all = Vec::new();
        blob.read(offset, |piece| {
            all.extend_from_slice(&piece);
            true
        })
        .map(|()| all)
    }

    #[test]
    fn the_rest_of_a_file_is_given_from_any_offset() {
        let folder = tempfile::tempdir().unwrap();
        let whole: Vec<u8> = (0..2 * PIECE + 7).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let blob = blob(folder.path(), &whole);
        for offset in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE + 6, 2 * PIECE + 7] {
            assert_eq!(bytes(&blob, offset as u64).unwrap(), whole[offset..], "{offset}");
        }
    }

    #[test]
    fn the_last_bytes_of_a_file_that_changed_stay_here() {
        let folder = tempfile::tempdir().unwrap();
        let whole = vec![7; 3 * PIECE];
        let blob = blob(folder.path(), &whole);
        for changed in [vec![7; 3 * PIECE - 1], vec![7; 3 * PIECE + 1], [&whole[1..], b"8"].concat()] {
            std::fs::write(&blob.path, &changed).unwrap();
            let mut given = 0;
            let read = blob.read(0, |piece| {
                given += piece.len();
                true
            });
            assert!(matches!(read, Err(BlobError::Changed(_))) && given < whole.len(), "{given}");
        }
        std::fs::remove_file(&blob.path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &blob.path).unwrap();
        assert!(matches!(bytes(&blob, 0), Err(BlobError::Unreadable { .. })), "a link is not followed");
    }
}
