//! Replacing a file in one step.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::VaultError;
use crate::error::io_error;
use crate::guard::{self, Access};

/// How the names of files being written end. Nobody reads such a file, so a leftover is litter and no more.
const SUFFIX: &str = ".new";

/// Makes an empty file beside the given one, which is gone again when it is dropped.
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

/// Replaces the file's content: whoever looks sees the old or the new one, whole, also after a power cut.
pub(crate) fn replace(path: &Path, bytes: &[u8], access: Access) -> Result<(), VaultError> {
    let mut file = temporary(path, access)?;
    file.write_all(bytes).map_err(io_error("write", path))?;
    file.as_file().sync_all().map_err(io_error("sync", path))?;
    file.persist(path).map_err(|error| io_error("replace", path)(error.error))?;
    sync_folder(path)
}

/// Makes a rename in the file's folder last.
pub(crate) fn sync_folder(path: &Path) -> Result<(), VaultError> {
    let folder = guard::folder_of(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error("sync the folder", folder))
}

/// Removes what writers that died left behind. Only the holder of the file's lock may.
pub(crate) fn remove_leftovers(path: &Path) {
    let prefix = prefix(path);
    for entry in fs::read_dir(guard::folder_of(path)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix) && name.ends_with(SUFFIX) {
            // Litter that stays is no reason to fail.
            let _ = fs::remove_file(entry.path());
        }
    }
}
