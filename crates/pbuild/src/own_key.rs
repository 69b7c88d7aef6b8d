//! Keys of the user's own, in private files of the state folder: each is made when it is first needed.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use psecret::DigestKey;
use zeroize::Zeroizing;

/// The key in this file of the folder. `None` where it has no place; a key that others may read or write does not count.
pub(crate) fn own_key(state: &Path, file_name: &str) -> Option<DigestKey> {
    private_folder(state)?;
    let path = state.join(file_name);
    let mut bytes = Zeroizing::new([0; 32]);
    match OpenOptions::new().read(true).custom_flags(as_it_lies()).open(&path) {
        Ok(mut file) => {
            let metadata = file.metadata().ok()?;
            let ours = metadata.mode() & 0o077 == 0 && metadata.uid() == rustix::process::geteuid().as_raw();
            file.read_exact(bytes.as_mut_slice()).ok().filter(|()| ours)?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fill(bytes.as_mut_slice())?;
            // Whole or not at all: two first runs at once must not read half a key.
            let mut file = tempfile::Builder::new().prefix(".key-").tempfile_in(state).ok()?;
            file.write_all(bytes.as_slice()).ok()?;
            match file.persist_noclobber(&path) {
                Ok(_) => {}
                Err(error) if error.error.kind() == ErrorKind::AlreadyExists => return own_key(state, file_name),
                Err(_) => return None,
            }
        }
        Err(_) => return None,
    }
    Some(DigestKey::new(*bytes))
}

/// A key that nothing keeps.
pub(crate) fn passing_key() -> Option<DigestKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    fill(bytes.as_mut_slice())?;
    Some(DigestKey::new(*bytes))
}

/// A folder that only its owner can look into.
pub(crate) fn private_folder(path: &Path) -> Option<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).ok()?;
    let metadata = fs::symlink_metadata(path).ok()?;
    (metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o022 == 0)
        .then_some(())
}

fn fill(bytes: &mut [u8]) -> Option<()> {
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(bytes)).ok()
}

/// No link is followed, and no pipe waited for.
fn as_it_lies() -> i32 {
    (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits().cast_signed()
}

#[cfg(test)]
mod tests {
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
        assert_ne!(digest(&passing_key().unwrap()), digest(&passing_key().unwrap()));
        let path = folder.path().join("a.key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(own_key(folder.path(), "a.key").is_none(), "others could read it");
    }
}
