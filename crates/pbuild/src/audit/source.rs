//! Opens the bytes of an audit's source.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pimage::{LayoutError, LooseBlob, Unread};

/// The bytes of a source.
pub(crate) enum Bytes {
    /// One archive that is read from its first byte to its last.
    Archive(Box<dyn Read + Send>),
    /// One archive in a file, in which blobs are found wherever they are.
    File(File),
    /// Separate blobs.
    Blobs(Vec<LooseBlob>),
}

/// The reasons why a source cannot be read.
#[derive(Debug)]
pub(crate) enum SourceReadError {
    /// The archive cannot be read.
    Archive {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The path of an archive is a directory.
    NotAnArchive {
        /// The directory.
        path: PathBuf,
    },
    /// The folder with files cannot be read.
    Folder {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The folder is not an OCI layout, or has no such image.
    Layout {
        /// The folder.
        path: PathBuf,
        /// The problem of the layout.
        error: LayoutError,
    },
}

/// Opens an archive.
///
/// # Errors
/// Returns an error if the path is a directory, or if the file cannot be read.
pub(crate) fn archive(path: &Path) -> Result<Bytes, SourceReadError> {
    if path == Path::new("-") {
        return Ok(Bytes::Archive(Box::new(std::io::stdin())));
    }
    let unreadable = |source| SourceReadError::Archive { path: path.to_owned(), source };
    // Opening a pipe waits until another process opens it to write.
    let waiting = pscreen::waiting();
    let file = File::open(path).map_err(unreadable)?;
    drop(waiting);
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(SourceReadError::NotAnArchive { path: path.to_owned() });
    }
    Ok(Bytes::File(file))
}

/// Opens a folder with files. Returns also a list of the files that could not be read.
///
/// # Errors
/// Returns an error if the path is not a folder, or if the folder cannot be read.
pub(crate) fn directory(folder: &Path) -> Result<(Vec<LooseBlob>, Unread), SourceReadError> {
    pimage::tree(folder).map_err(|source| SourceReadError::Folder { path: folder.to_owned(), source })
}

/// Opens an OCI layout.
///
/// # Errors
/// Returns an error if the folder is not a layout, or if it has no such image.
pub(crate) fn layout(folder: &Path, name: Option<&str>) -> Result<Bytes, SourceReadError> {
    let blobs = pimage::layout(folder, name);
    blobs.map(Bytes::Blobs).map_err(|error| SourceReadError::Layout { path: folder.to_owned(), error })
}
