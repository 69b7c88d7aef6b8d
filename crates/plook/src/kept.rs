//! The data that the builder keeps from build to build: a key for digests, and the steps that once leaked.
//!
//! Other builds may use the folder at the same time, and any client of the builder can remove or forge its files. So
//! the key is only used for digests that decide which steps run again, and a note only makes a step run again.
//! Nothing in this module makes anything count as clean. The notes of clean bases have seals
//! ([`bases`](crate::bases)).

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use psecret::DigestKey;
use zeroize::Zeroizing;

use crate::wire::Note;

/// The maximal number of notes that are read. No build writes more.
const MOST_NOTES: usize = 10_000;

/// The bytes of a key.
pub type KeyBytes = Zeroizing<[u8; 32]>;

/// Reads the builder's own key, or makes one. Returns `None` if the builder cannot keep a key.
#[must_use]
pub fn own_key(folder: &Path) -> Option<DigestKey> {
    own_key_or(folder, None).map(|key| DigestKey::new(*key))
}

/// Reads the builder's own key as bytes. A builder without a key keeps the offered key, because a client may remember
/// a key that the builder has lost.
#[must_use]
pub fn own_key_or(folder: &Path, offered: Option<KeyBytes>) -> Option<KeyBytes> {
    let path = folder.join("key");
    if let Some(key) = read_key(&path) {
        return Some(key);
    }
    // Write the key to a new file and link it into place, so that a parallel build never reads half a key. If `key`
    // exists but is not a file of 32 bytes, remove it first.
    let made = folder.join(format!("key.{}", random_name()?));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&made).ok()?;
    let written = offered.or_else(random_key).and_then(|key| file.write_all(key.as_slice()).ok());
    drop(file);
    if written.is_some() && fs::symlink_metadata(&path).is_ok_and(|there| !there.is_file() || there.len() != 32) {
        let _ = fs::remove_file(&path);
    }
    let linked = written.map(|()| fs::hard_link(&made, &path));
    let _ = fs::remove_file(&made);
    match linked? {
        Ok(()) => read_key(&path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read_key(&path),
        Err(_) => None,
    }
}

/// Makes a key that is not stored.
#[must_use]
pub fn passing_key() -> Option<DigestKey> {
    Some(DigestKey::new(*random_key()?))
}

fn read_key(path: &Path) -> Option<KeyBytes> {
    let flags = rustix::fs::OFlags::NOFOLLOW.union(rustix::fs::OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let mut bytes = Zeroizing::new([0; 32]);
    let metadata = file.metadata().ok().filter(|metadata| metadata.is_file() && metadata.len() == 32)?;
    let mut content = file.take(metadata.len());
    content.read_exact(bytes.as_mut_slice()).ok()?;
    Some(bytes)
}

/// Makes a new key. Returns `None` if the kernel gives no random bytes.
#[must_use]
pub fn random_key() -> Option<KeyBytes> {
    let mut bytes = Zeroizing::new([0; 32]);
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(bytes.as_mut_slice())).ok()?;
    Some(bytes)
}

pub(crate) fn random_name() -> Option<String> {
    Some(random_key()?.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// Lists the steps that, by their notes, leaked.
#[must_use]
pub fn leaked(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(notes(folder)).into_iter().flatten().flatten().take(MOST_NOTES);
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut steps: Vec<String> = names.filter(|name| is_digest(name)).map(|name| format!("sha256:{name}")).collect();
    steps.sort_unstable();
    steps
}

/// Writes the notes of leaked steps, and removes those of clean steps.
///
/// # Errors
///
/// Returns an error if the notes cannot be written or removed.
pub fn note(folder: &Path, note: &Note) -> io::Result<()> {
    let notes = notes(folder);
    fs::create_dir_all(&notes)?;
    for name in note.leaked.iter().filter_map(|step| name_of(step)) {
        File::create(notes.join(name))?;
    }
    for name in note.clean.iter().filter_map(|step| name_of(step)) {
        match fs::remove_file(notes.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn notes(folder: &Path) -> PathBuf {
    folder.join("leaked")
}

fn name_of(step: &str) -> Option<&str> {
    step.strip_prefix("sha256:").filter(|name| is_digest(name))
}

fn is_digest(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use psecret::{SecretName, UserSecret};

    use super::*;
    use crate::wire;

    fn digest(key: &DigestKey) -> String {
        key.digest("x", &SecretName::parse("A").unwrap(), &UserSecret::new(b"value".to_vec()))
    }

    #[test]
    fn the_builder_s_key_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let one = digest(&own_key(folder.path()).unwrap());
        assert_eq!(digest(&own_key(folder.path()).unwrap()), one);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        let other = tempfile::tempdir().unwrap();
        assert_ne!(digest(&own_key(other.path()).unwrap()), one);
        assert!(own_key(&other.path().join("missing")).is_none());
        assert_ne!(digest(&passing_key().unwrap()), digest(&passing_key().unwrap()));
    }

    #[test]
    fn an_offered_key_is_kept_where_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let offered = |byte| Some(Zeroizing::new([byte; 32]));
        assert_eq!(own_key_or(folder.path(), offered(1)).as_deref(), Some(&[1; 32]));
        assert_eq!(own_key_or(folder.path(), offered(2)).as_deref(), Some(&[1; 32]), "the first one stays");
        assert_eq!(digest(&own_key(folder.path()).unwrap()), digest(&DigestKey::new([1; 32])));
    }

    #[test]
    fn what_is_no_key_is_replaced_and_a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key"), b"short").unwrap();
        let one = digest(&own_key(folder.path()).unwrap());
        assert_eq!(digest(&own_key(folder.path()).unwrap()), one);

        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, [7; 32]).unwrap();
        fs::remove_file(folder.path().join("key")).unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.path().join("key")).unwrap();
        assert_ne!(digest(&own_key(folder.path()).unwrap()), digest(&DigestKey::new([7; 32])));
    }

    #[test]
    fn notes_are_digests_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let step = |digit: &str| format!("sha256:{}", digit.repeat(64));
        let (one, two) = (step("1"), step("2"));
        let say = |leaky: &[&str], clean: &[&str]| {
            let list = |steps: &[&str]| steps.iter().map(|step| (*step).to_owned()).collect();
            note(folder.path(), &Note { version: wire::VERSION, leaked: list(leaky), clean: list(clean) }).unwrap();
            leaked(folder.path())
        };
        assert!(leaked(folder.path()).is_empty());
        assert_eq!(say(&[&two, &one, "sha256:../../key", "sha512:aa"], &[]), [one.clone(), two.clone()]);
        assert_eq!(say(&[], &[&one, &step("3")]), [two]);
        fs::write(folder.path().join("leaked/forged"), "").unwrap();
        assert_eq!(leaked(folder.path()).len(), 1);
    }
}
