//! How the bytes of a source are reached.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pimage::{LayoutError, LooseBlob, Unread};

/// The bytes of a source.
pub(crate) enum Bytes {
    /// One archive, from its first byte to its last.
    Archive(Box<dyn Read + Send>),
    /// One archive, wherever its blobs lie.
    File(File),
    /// Blobs, each on its own.
    Blobs(Vec<LooseBlob>),
}

/// Why a source cannot be read.
#[derive(Debug)]
pub(crate) enum SourceReadError {
    /// The archive cannot be read.
    Archive {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is a directory where an archive should be.
    NotAnArchive {
        /// The directory.
        path: PathBuf,
    },
    /// The folder with files cannot be read.
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
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
/// When it is no file or cannot be read.
pub(crate) fn archive(path: &Path) -> Result<Bytes, SourceReadError> {
    if path == Path::new("-") {
        return Ok(Bytes::Archive(Box::new(std::io::stdin())));
    }
    let unreadable = |source| SourceReadError::Archive { path: path.to_owned(), source };
    // A pipe is opened when somebody writes to it.
    let waiting = pscreen::waiting();
    let file = File::open(path).map_err(unreadable)?;
    drop(waiting);
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(SourceReadError::NotAnArchive { path: path.to_owned() });
    }
    Ok(Bytes::File(file))
}

/// Opens a folder with files, and lists the ones that could not be read.
///
/// # Errors
/// When it is not a folder, or cannot be read.
pub(crate) fn directory(folder: &Path) -> Result<(Vec<LooseBlob>, Unread), SourceReadError> {
    pimage::tree(folder).map_err(|source| SourceReadError::Folder { path: folder.to_owned(), source })
}

/// Opens a layout.
///
/// # Errors
/// When it is not a layout, or has no such image.
pub(crate) fn layout(folder: &Path, name: Option<&str>) -> Result<Bytes, SourceReadError> {
    let blobs = pimage::layout(folder, name);
    blobs.map(Bytes::Blobs).map_err(|error| SourceReadError::Layout { path: folder.to_owned(), error })
}
