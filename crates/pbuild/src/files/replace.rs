//! Files that are replaced in one step: a reader sees the old one or the new one, whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Replaces a file by these bytes (B8). A device or a pipe is written to.
///
/// # Errors
/// When the file or its folder cannot be written to; the old file is there then.
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

/// Whether a device or a pipe stands there, such as `/dev/stderr`, which is written to and not replaced.
pub(crate) fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// Makes a new file in the folder of a path, to take the place of the file there.
///
/// # Errors
/// When the folder is not there, or not ours to write to.
pub(crate) fn beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    // As readable as any file that a tool writes; the user's umask has the last word.
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
