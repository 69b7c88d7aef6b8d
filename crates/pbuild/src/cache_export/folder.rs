//! The private folder of a cache: an OCI layout that stays between builds, and that only one build uses at a time.
//!
//! A note in the folder lists the blobs that the last search found clean. Other blobs, which are left from a build
//! that was refused, stopped or killed, are removed when a build ends its use of the folder or opens it again.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use pimage::Digest;

use crate::files::replace::replace;
use crate::own_key::private_folder;

/// The largest size of all folders together, in bytes. The folders that were not used for the longest time are
/// removed first.
const MOST_BYTES: u64 = 20 << 30;
/// The number of kept folders for builds of one project that run at the same time. Further builds get temporary
/// folders.
const MOST_AT_ONCE: usize = 4;

/// The name of the note that lists the blobs that were found clean.
const NOTE: &str = "clean";
const LOCK: &str = "lock";

/// Returns the folder that holds all private folders. Returns `None` if the user has no place for caches.
pub(super) fn root(environment: &pvault::Environment<'_>) -> Option<PathBuf> {
    let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("pbuild/caches"))
}

/// A folder that no other build uses, until it is dropped.
#[derive(Debug)]
pub(super) struct PrivateFolder {
    path: PathBuf,
    /// The folder that holds all private folders, if this one is kept for later builds. `None` for a temporary
    /// folder, which is removed at the end.
    root: Option<PathBuf>,
    #[expect(dead_code, reason = "it is held and not used")]
    lock: File,
    #[expect(dead_code, reason = "a temporary folder goes when it is dropped")]
    temporary: Option<tempfile::TempDir>,
}

impl PrivateFolder {
    /// Opens a free folder for this key below the root. If there is no root, or if all folders of the key are in use,
    /// makes a temporary folder.
    ///
    /// # Errors
    /// Returns an error if no folder can be made.
    pub(super) fn open(root: Option<&Path>, key: &str) -> io::Result<Self> {
        let Some(root) = root.filter(|root| private_folder(root).is_some()) else {
            return Self::temporary(for_us_alone("pbuild-cache-").tempdir()?);
        };
        tidy(root, MOST_BYTES);
        let digest = Digest::of(key.as_bytes());
        let name = &digest.hex()[..32];
        for number in 0..MOST_AT_ONCE {
            let path = root.join(format!("{name}-{number}"));
            if private_folder(&path).is_none() {
                continue;
            }
            if let Some(lock) = locked(&path)? {
                return Ok(Self { path, root: Some(root.to_owned()), lock, temporary: None });
            }
        }
        Self::temporary(for_us_alone("once-").tempdir_in(root)?)
    }

    fn temporary(folder: tempfile::TempDir) -> io::Result<Self> {
        let lock = locked(folder.path())?.ok_or(io::ErrorKind::ResourceBusy)?;
        Ok(Self { path: folder.path().to_owned(), root: None, lock, temporary: Some(folder) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes the blobs that were found clean, and removes all others.
    ///
    /// # Errors
    /// Returns an error if the note cannot be written.
    pub(super) fn keep(&mut self, digests: BTreeSet<Digest>) -> io::Result<()> {
        let note: String = digests.iter().map(|digest| format!("{}\n", digest.hex())).collect();
        replace(&self.path.join(NOTE), note.as_bytes())?;
        sweep(&self.path);
        Ok(())
    }

    /// Removes all blobs, because one of them holds a value or cannot be searched.
    pub(super) fn forget(&mut self) {
        let _ = fs::remove_file(self.path.join(NOTE));
        sweep(&self.path);
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        sweep(&self.path);
        if let Some(root) = &self.root {
            tidy(root, MOST_BYTES);
        }
    }
}

/// Returns a builder of temporary folders that only their owner may read.
fn for_us_alone(prefix: &str) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).permissions(fs::Permissions::from_mode(0o700));
    builder
}

/// Locks a folder. Returns `None` if another build holds the lock, or has just removed the folder.
fn locked(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = match open {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        // On a file system without locks, two builds could use the same folder, so this is an error.
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // The opened file may belong to a folder that was removed in the meantime, so it is compared with the present
    // file.
    let is_there =
        fs::metadata(&path).is_ok_and(|there| Some(there.ino()) == file.metadata().map(|own| own.ino()).ok());
    Ok(is_there.then_some(file))
}

/// Removes every blob that the folder's note does not list.
fn sweep(folder: &Path) {
    let note = fs::read_to_string(folder.join(NOTE)).unwrap_or_default();
    let kept: BTreeSet<&str> = note.lines().collect();
    for entry in fs::read_dir(folder.join("blobs/sha256")).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(|name| kept.contains(name)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Sweeps the folders that no build uses, and removes those that were not used for the longest time until the others
/// fit.
fn tidy(root: &Path, most: u64) {
    let mut folders = Vec::new();
    let mut total = 0;
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(Some(lock)) = locked(&path) else {
            total += size(&path);
            continue;
        };
        sweep(&path);
        let size = size(&path);
        total += size;
        let used = fs::metadata(path.join(NOTE)).and_then(|metadata| metadata.modified());
        folders.push((used.unwrap_or(SystemTime::UNIX_EPOCH), path, size, lock));
    }
    folders.sort_by_key(|(used, ..)| *used);
    for (used, path, size, _lock) in folders {
        // A folder without a note holds no clean blobs, so it is removed.
        if total > most || used == SystemTime::UNIX_EPOCH {
            let _ = fs::remove_dir_all(&path);
            total -= size;
        }
    }
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder.join("blobs/sha256")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(folder: &PrivateFolder, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let blobs = folder.path().join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        digest
    }

    fn blobs(folder: &PrivateFolder) -> usize {
        fs::read_dir(folder.path().join("blobs/sha256")).into_iter().flatten().count()
    }

    #[test]
    fn what_was_found_clean_stays_and_nothing_else_does() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("caches");
        let mut folder = PrivateFolder::open(Some(&root), "a").unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let clean = put(&folder, b"clean");
        put(&folder, b"of an earlier build");
        folder.keep([clean.clone()].into()).unwrap();
        assert_eq!(blobs(&folder), 1);
        put(&folder, b"not searched");
        drop(folder);
        let mut folder = PrivateFolder::open(Some(&root), "a").unwrap();
        assert_eq!(blobs(&folder), 1);
        // Imitates a killed process: nothing is dropped, and the kernel releases the lock.
        put(&folder, b"not searched");
        sweep(folder.path());
        assert_eq!(blobs(&folder), 1);
        folder.forget();
        assert_eq!(blobs(&folder), 0);
    }

    #[test]
    fn two_builds_at_once_have_a_folder_each() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("caches");
        let open = || PrivateFolder::open(Some(&root), "a").unwrap();
        let mut folders: Vec<PrivateFolder> = (0..=MOST_AT_ONCE).map(|_| open()).collect();
        let paths: BTreeSet<PathBuf> = folders.iter().map(|folder| folder.path().to_owned()).collect();
        assert_eq!(paths.len(), MOST_AT_ONCE + 1);
        let last = folders.pop().unwrap();
        let path = last.path().to_owned();
        drop(last);
        assert!(!path.exists(), "nobody can come back to it");
        let first = folders.swap_remove(0);
        let path = first.path().to_owned();
        drop(first);
        assert_eq!(open().path(), path);
        assert_ne!(PrivateFolder::open(Some(&root), "b").unwrap().path(), path);
        let temporary = PrivateFolder::open(None, "a").unwrap();
        assert_eq!(fs::metadata(temporary.path()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn the_folders_are_bounded_and_the_oldest_goes_first() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("caches");
        let make = |key: &str| {
            let mut folder = PrivateFolder::open(Some(&root), key).unwrap();
            let kept = put(&folder, &[7; 100]);
            folder.keep([kept].into()).unwrap();
            folder
        };
        let (old, new) = (make("old"), make("new"));
        let (at, used) = (old.path().to_owned(), new.path().to_owned());
        let before = SystemTime::now() - std::time::Duration::from_secs(60);
        File::options().append(true).open(at.join(NOTE)).unwrap().set_modified(before).unwrap();
        tidy(&root, 150);
        assert!(at.exists() && used.exists(), "both are in use");
        drop((old, new));
        tidy(&root, 150);
        assert!(!at.exists() && used.exists());
    }
}
