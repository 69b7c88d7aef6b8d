//! A private list of lines that is not sealed, changed by one at a time.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::io_error;
use crate::guard::{self, Access};
use crate::lock::{self, Lock};
use crate::{VaultError, replace};

/// The longest list: half a million digests.
const LONGEST: u64 = 64 << 20;

/// Reads a list that is its reader's own and that nobody else may write to; another one is not believed, and neither is
/// one of more than 64 MiB.
#[must_use]
pub fn read_list(path: &Path) -> Option<String> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    let is_list = metadata.is_file() && metadata.mode() & 0o022 == 0 && is_ours && metadata.len() <= LONGEST;
    is_list.then(|| fs::read_to_string(path).ok())?
}

/// Changes a list under its lock (`.FILE.lock`), in one step and for good. A list that is not believed counts as empty.
///
/// # Errors
///
/// [`VaultError::Locked`] after ten seconds; a folder that is not ours alone; the operating system's own.
pub fn change_list(path: &Path, change: impl FnOnce(&str) -> String) -> Result<(), VaultError> {
    let folder = guard::folder_of(path);
    guard::private_folder(folder)?;
    let name = path.file_name().ok_or_else(|| io_error("write", path)(io::ErrorKind::InvalidFilename.into()))?;
    let _lock = Lock::wait(&folder.join(format!(".{}.lock", name.to_string_lossy())), path, lock::PATIENCE)?;
    replace::remove_leftovers(path);
    let known = read_list(path).unwrap_or_default();
    replace::replace(path, change(&known).as_bytes(), Access::Private)
}
