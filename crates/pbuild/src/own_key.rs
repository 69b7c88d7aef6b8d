//! Keys of the user, in private files of the state folder. Each key is made when it is first needed.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pproof::{KeyBytes, random_key};
use psecret::DigestKey;
use tempfile::NamedTempFile;

/// Reads the key in this file of the folder, or makes one. Returns `None` if there is no place for the key, or if
/// other users may read or write the file.
pub(crate) fn own_key(state: &Path, file_name: &str) -> Option<DigestKey> {
    private_folder(state)?;
    let path = state.join(file_name);
    let bytes = match fs::symlink_metadata(&path) {
        Ok(_) => read_private(&path)?.0,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let bytes = random_key()?;
            match write_private(state, &bytes)?.persist_noclobber(&path) {
                Ok(_) => bytes,
                Err(error) if error.error.kind() == ErrorKind::AlreadyExists => read_private(&path)?.0,
                Err(_) => return None,
            }
        }
        Err(_) => return None,
    };
    Some(DigestKey::new(*bytes))
}

/// The key of a builder, which everybody who builds there shares, as this user remembers it.
#[derive(Debug)]
pub(crate) struct RememberedKey {
    state: PathBuf,
    path: PathBuf,
}

impl RememberedKey {
    /// The time for which a remembered key is used before the builder is asked again. The builder removes a key that
    /// was not used for two days.
    const FRESH: Duration = Duration::from_hours(12);

    /// Opens the remembered key of the builder with this identity. Returns `None` if there is no place for it.
    pub(crate) fn of(state: &Path, builder: &str) -> Option<Self> {
        private_folder(state)?;
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = builder.chars().take(200).map(plain).collect();
        Some(Self { state: state.to_owned(), path: state.join(format!("builder-{name}.key")) })
    }

    /// Returns the remembered key, however old it is.
    pub(crate) fn recall(&self) -> Option<KeyBytes> {
        read_private(&self.path).map(|(bytes, _)| bytes)
    }

    /// Returns the remembered key if the builder gave it within [`Self::FRESH`].
    pub(crate) fn recall_fresh(&self) -> Option<KeyBytes> {
        let (bytes, told) = read_private(&self.path)?;
        told.elapsed().is_ok_and(|age| age < Self::FRESH).then_some(bytes)
    }

    /// Remembers the builder's key. An error of writing is ignored, because a forgotten key costs only time.
    pub(crate) fn remember(&self, bytes: &KeyBytes) {
        if let Some(file) = write_private(&self.state, bytes) {
            let _ = file.persist(&self.path);
        }
    }
}

/// Reads a file of 32 bytes that only its owner may read, and the time when the file was written.
fn read_private(path: &Path) -> Option<(KeyBytes, SystemTime)> {
    let mut file = OpenOptions::new().read(true).custom_flags(as_it_lies()).open(path).ok()?;
    let metadata = file.metadata().ok()?;
    let ours = metadata.mode() & 0o077 == 0 && metadata.uid() == rustix::process::geteuid().as_raw();
    let mut bytes = KeyBytes::default();
    file.read_exact(bytes.as_mut_slice()).ok().filter(|()| ours && metadata.is_file())?;
    Some((bytes, metadata.modified().ok()?))
}

/// Writes a new file with a temporary name. The caller renames it when it is complete, so that two first runs at once
/// never read half a key.
fn write_private(state: &Path, bytes: &KeyBytes) -> Option<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix(".key-").tempfile_in(state).ok()?;
    file.write_all(bytes.as_slice()).ok()?;
    Some(file)
}

/// Makes a folder that only its owner may use. Returns `None` if the folder belongs to another user, or if others may
/// write to it.
pub(crate) fn private_folder(path: &Path) -> Option<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).ok()?;
    let metadata = fs::symlink_metadata(path).ok()?;
    (metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0)
        .then_some(())
}

/// Returns flags that make `open` neither follow a link nor wait for a pipe.
fn as_it_lies() -> i32 {
    (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::PermissionsExt as _;

    use psecret::{SecretName, UserSecret};

    use super::*;

    fn digest(key: &DigestKey) -> String {
        key.digest("x", &SecretName::parse("A").unwrap(), &UserSecret::new(b"value".to_vec()))
    }

    #[test]
    fn a_key_is_made_once_and_is_nobody_else_s() {
        let folder = tempfile::tempdir().unwrap();
        let one = digest(&own_key(folder.path(), "a.key").unwrap());
        assert_eq!(digest(&own_key(folder.path(), "a.key").unwrap()), one);
        assert_ne!(digest(&own_key(folder.path(), "b.key").unwrap()), one);
        let path = folder.path().join("a.key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(own_key(folder.path(), "a.key").is_none(), "others could read it");
    }

    #[test]
    fn the_key_of_a_builder_is_remembered_for_half_a_day() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (KeyBytes::new([1; 32]), KeyBytes::new([2; 32]));
        let builder = RememberedKey::of(folder.path(), "ABCD:../x").unwrap();
        assert!(builder.recall().is_none());
        builder.remember(&one);
        builder.remember(&other);
        assert_eq!(builder.recall_fresh().as_deref(), Some(&*other));
        assert!(RememberedKey::of(folder.path(), "another").unwrap().recall().is_none());
        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let old = SystemTime::now() - Duration::from_hours(13);
        File::options().append(true).open(&files[0]).unwrap().set_modified(old).unwrap();
        assert!(builder.recall_fresh().is_none(), "the builder is asked again");
        assert_eq!(builder.recall().as_deref(), Some(&*other), "and offered what it may have forgotten");
        fs::set_permissions(&files[0], fs::Permissions::from_mode(0o644)).unwrap();
        assert!(builder.recall().is_none(), "others could read it");
    }
}
