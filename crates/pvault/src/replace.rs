//! Replacing a file in one step.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::VaultError;
use crate::error::io_error;
use crate::guard::{self, Access};

/// The suffix of the names of files that are being written. A file with this suffix that a dead writer left is never
/// read.
const SUFFIX: &str = ".new";

/// Makes an empty file in the folder of the given one. The new file is removed when it is dropped.
pub(crate) fn temporary(path: &Path, access: Access) -> Result<NamedTempFile, VaultError> {
    let folder = guard::folder_of(path);
    let file = tempfile::Builder::new()
        .prefix(&prefix(path))
        .suffix(SUFFIX)
        .tempfile_in(folder)
        .map_err(io_error("create a file in", folder))?;
    guard::set_mode(file.as_file(), file.path(), access)?;
    Ok(file)
}

fn prefix(path: &Path) -> String {
    format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy())
}

/// Replaces the content of a file. Every reader sees either the old or the new content as a whole, even after a power
/// failure.
pub(crate) fn replace(path: &Path, bytes: &[u8], access: Access) -> Result<(), VaultError> {
    let mut file = temporary(path, access)?;
    file.write_all(bytes).map_err(io_error("write", path))?;
    file.as_file().sync_all().map_err(io_error("sync", path))?;
    file.persist(path).map_err(|error| io_error("replace", path)(error.error))?;
    sync_folder(path)
}

/// Makes a rename in the file's folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), VaultError> {
    let folder = guard::folder_of(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("sync the folder", folder))
}

/// Removes the files that dead writers left. The caller must hold the file's lock.
pub(crate) fn remove_leftovers(path: &Path) {
    let prefix = prefix(path);
    for entry in fs::read_dir(guard::folder_of(path)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix) && name.ends_with(SUFFIX) {
            // A file that cannot be removed does no harm, so this is not an error.
            let _ = fs::remove_file(entry.path());
        }
    }
}
