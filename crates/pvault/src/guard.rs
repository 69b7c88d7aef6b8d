//! Checks that only the owner of a file can use it.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::VaultError;
use crate::error::io_error;

/// The users who may read a file of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only the owner may read the file: it has mode 0600, and lies in a folder that nobody else may write to.
    Private,
    /// Anybody may read the file, because its content is sealed and it lies in a repository.
    Shared,
}

impl Access {
    pub(crate) fn mode(self) -> u32 {
        match self {
            Self::Private => 0o600,
            Self::Shared => 0o644,
        }
    }
}

pub(crate) fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Returns the file that a path leads to: the path itself, or the target of a symbolic link of our own (K3).
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, VaultError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => {
            if metadata.uid() != user() {
                let kind = "another user's symbolic link";
                return Err(VaultError::NotAFile { path: path.to_owned(), kind });
            }
            fs::canonicalize(path).map_err(io_error("follow", path))
        }
        Ok(_) => Ok(path.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(io_error("look at", path)(error)),
    }
}

/// Returns the folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes the folder of a private file if it is missing, and refuses a folder that others may change (K1, K13).
pub(crate) fn prepare_folder(path: &Path, access: Access) -> Result<(), VaultError> {
    match access {
        Access::Private => private_folder(folder_of(path)),
        Access::Shared => Ok(()),
    }
}

/// Makes a folder of mode 0700 if it is missing, and refuses a folder that others may change.
///
/// # Errors
///
/// Returns [`VaultError::OpenToOthers`] if others may write to the folder. Returns [`VaultError::Foreign`] if the
/// folder belongs to another user, or would be made inside a folder of another user, as `sudo` would do in the home
/// of the user who called it (K13). Returns [`VaultError::Io`] if the folder cannot be made.
pub fn private_folder(folder: &Path) -> Result<(), VaultError> {
    if let Some(there) = folder.ancestors().find(|folder| folder.exists())
        && there != folder
    {
        let metadata = fs::metadata(there).map_err(io_error("look at", there))?;
        // A folder of root is as safe as our own, for example /tmp, or the home in an image of a container.
        if metadata.uid() != 0 {
            own(there, &metadata)?;
        }
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io_error("make the folder", folder))?;
    check_folder(folder)
}

/// Removes the rights of other users to a file of ours and its folder (K1), and returns true if there were any. A
/// missing path needs no change.
///
/// # Errors
///
/// Returns [`VaultError::Foreign`] if the path belongs to another user, and [`VaultError::NotAFile`] or
/// [`VaultError::Io`] if it cannot be used.
pub fn close_to_others(path: &Path) -> Result<bool, VaultError> {
    let path = resolve(path)?;
    let mut changed = false;
    for (path, keep) in [(folder_of(&path), 0o755), (&path, 0o600)] {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error("look at", path)(error)),
        };
        own(path, &metadata)?;
        let mode = metadata.mode() & 0o7777;
        if !metadata.is_symlink() && mode & 0o777 & !keep != 0 {
            let closed = fs::Permissions::from_mode(mode & !(0o777 & !keep));
            fs::set_permissions(path, closed).map_err(io_error("set the mode of", path))?;
            changed = true;
        }
    }
    Ok(changed)
}

fn check_folder(folder: &Path) -> Result<(), VaultError> {
    let metadata = fs::metadata(folder).map_err(io_error("look at", folder))?;
    own(folder, &metadata)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(VaultError::OpenToOthers { path: folder.to_owned(), mode, wanted: mode & 0o755 });
    }
    Ok(())
}

fn own(path: &Path, metadata: &Metadata) -> Result<(), VaultError> {
    let (owner, user) = (metadata.uid(), user());
    if owner == user { Ok(()) } else { Err(VaultError::Foreign { path: path.to_owned(), owner, user }) }
}

/// Opens a file for reading, and checks that it is a regular file and, for [`Access::Private`], that it is ours and
/// closed to others. Returns `None` if it does not exist.
pub(crate) fn open(path: &Path, access: Access) -> Result<Option<File>, VaultError> {
    // The flags keep the call from following links and from waiting for pipes, so the checks are about the opened
    // file itself.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(VaultError::NotAFile { path: path.to_owned(), kind: "a symbolic link" });
        }
        Err(error) => return Err(io_error("open", path)(error)),
    };
    let metadata = file.metadata().map_err(io_error("look at", path))?;
    if !metadata.is_file() {
        let kind = if metadata.is_dir() { "a folder" } else { "a pipe or device" };
        return Err(VaultError::NotAFile { path: path.to_owned(), kind });
    }
    if access == Access::Private {
        own(path, &metadata)?;
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(VaultError::OpenToOthers { path: path.to_owned(), mode, wanted: 0o600 });
        }
        check_folder(folder_of(path))?;
    }
    Ok(Some(file))
}

/// Sets the mode of a new file, whatever the umask is, and checks that the file system kept the mode (K9, K10).
pub(crate) fn set_mode(file: &File, path: &Path, access: Access) -> Result<(), VaultError> {
    file.set_permissions(fs::Permissions::from_mode(access.mode())).map_err(io_error("set the mode of", path))?;
    let mode = file.metadata().map_err(io_error("look at", path))?.mode();
    if mode & 0o777 & !access.mode() != 0 {
        return Err(VaultError::NoModes { path: path.to_owned() });
    }
    Ok(())
}
