//! Replaces files in one step: a reader sees either the complete old file or the complete new one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Replaces a file by these bytes (B8). If the path is a device or a pipe, writes into it.
///
/// # Errors
/// Returns an error if the file or its folder cannot be written to; the old file then stays.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if is_special(path) {
        return File::options().write(true).open(path)?.write_all(bytes);
    }
    let mut file = beside(path)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Returns whether the path is a device or a pipe, such as `/dev/stderr`, which is written to and not replaced.
pub(crate) fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Makes a new temporary file in the folder of a path. The caller renames it to the path.
///
/// # Errors
/// Returns an error if the folder does not exist, or if this process cannot write to it.
pub(crate) fn beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    // The mode is the same as for other new files; the user's umask reduces it.
    tempfile::Builder::new()
        .prefix(".pbuild-")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder_of(path))
}

/// Returns the folder of a file.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_a_failure_leaves_the_old_one_b8() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(replace(&folder.path().join("absent/report.json"), b"x").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
