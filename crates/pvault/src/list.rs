//! A private list of lines, which is not sealed, and which one process at a time may change.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::io_error;
use crate::guard::{self, Access};
use crate::lock::{self, Lock};
use crate::{VaultError, replace};

/// The longest list in bytes, enough for half a million digests.
const LONGEST: u64 = 64 << 20;

/// Reads a list that belongs to this user and that nobody else may write to. Returns `None` for any other file, and
/// for one of more than 64 MiB.
#[must_use]
pub fn read_list(path: &Path) -> Option<String> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
    let is_list = metadata.is_file() && metadata.mode() & 0o022 == 0 && is_ours && metadata.len() <= LONGEST;
    is_list.then(|| fs::read_to_string(path).ok())?
}

/// Changes a list under its lock (`.FILE.lock`), in one step and durably. A list that [`read_list`] refuses counts as
/// empty.
///
/// # Errors
///
/// Returns [`VaultError::Locked`] if the lock is not free within ten seconds, and another error if the folder is open
/// to others or the list cannot be written.
pub fn change_list(path: &Path, change: impl FnOnce(&str) -> String) -> Result<(), VaultError> {
    let folder = guard::folder_of(path);
    guard::private_folder(folder)?;
    let name = path.file_name().ok_or_else(|| io_error("write", path)(io::ErrorKind::InvalidFilename.into()))?;
    let _lock = Lock::wait(&folder.join(format!(".{}.lock", name.to_string_lossy())), path, lock::PATIENCE)?;
    replace::remove_leftovers(path);
    let known = read_list(path).unwrap_or_default();
    replace::replace(path, change(&known).as_bytes(), Access::Private)
}
