//! Who may open sealed files, and for whom they are sealed.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::str::FromStr;

use age::secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use crate::error::io_error;
use crate::guard::{self, Access};
use crate::{VaultError, replace};

/// An identity file is a few lines; more than this is something else.
const LONGEST: usize = 64 * 1024;

/// One or more X25519 keys, as `age-keygen` writes them. The first one is the key that new files are sealed for.
///
/// ```
/// let identity = pvault::Identity::generate();
/// assert!(identity.recipient().to_string().starts_with("age1"));
/// assert_eq!(format!("{identity:?}"), "Identity");
/// ```
pub struct Identity {
    keys: Vec<age::x25519::Identity>,
}

impl Identity {
    /// Makes a fresh identity.
    #[must_use]
    pub fn generate() -> Self {
        Self { keys: vec![age::x25519::Identity::generate()] }
    }

    /// Parses an identity as `age-keygen` writes it: one key a line, `#` begins a comment.
    ///
    /// # Errors
    ///
    /// [`VaultError::NotAnIdentity`], which names the place and never repeats the text.
    pub fn parse(text: &str, place: &str) -> Result<Self, VaultError> {
        let keys: Option<Vec<_>> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| age::x25519::Identity::from_str(line).ok())
            .collect();
        match keys {
            Some(keys) if !keys.is_empty() => Ok(Self { keys }),
            _ => Err(VaultError::NotAnIdentity { place: place.to_owned() }),
        }
    }

    /// Reads an identity file of mode 0600.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoIdentity`] when there is none; those of its checks when others may read or change it.
    pub fn load(path: &Path) -> Result<Self, VaultError> {
        let path = guard::resolve(path)?;
        let Some(file) = guard::open(&path, Access::Private)? else {
            return Err(VaultError::NoIdentity { path });
        };
        let mut text = Zeroizing::new(String::with_capacity(LONGEST + 1));
        file.take(LONGEST as u64 + 1).read_to_string(&mut text).map_err(io_error("read", &path))?;
        if text.len() > LONGEST {
            return Err(VaultError::TooLarge { path, limit: LONGEST });
        }
        Self::parse(&text, &path.display().to_string())
    }

    /// Reads an identity file, or makes one if there is none. Two processes that do so at once get the same one.
    ///
    /// # Errors
    ///
    /// Those of [`Identity::load`], and [`VaultError::Io`] when the file or its folder cannot be made.
    pub fn load_or_create(path: &Path) -> Result<Self, VaultError> {
        match Self::load(path) {
            Err(VaultError::NoIdentity { path }) => {
                guard::prepare_folder(&path, Access::Private)?;
                Self::generate().create(&path)?;
                // Whichever process came first made the file; all read that one.
                Self::load(&path)
            }
            other => other,
        }
    }

    /// Puts a fresh key before those of the file, which stay: other files may still be sealed for them.
    ///
    /// # Errors
    ///
    /// Those of [`Identity::load`], and [`VaultError::Io`], after which the file is as it was.
    pub fn renew(path: &Path) -> Result<Self, VaultError> {
        let path = guard::resolve(path)?;
        let lock = path.with_extension("lock");
        // Two that renew at once must not lose each other's key.
        let held = std::fs::File::create(&lock).and_then(|file| file.lock().map(|()| file));
        let _held = held.map_err(io_error("lock", &lock))?;
        let mut identity = Self::load(&path)?;
        identity.keys.insert(0, age::x25519::Identity::generate());
        replace::replace(&path, &identity.text(&path)?, Access::Private)?;
        Ok(identity)
    }

    /// The file's text, in wiped memory.
    fn text(&self, path: &Path) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let mut text = Zeroizing::new(Vec::with_capacity(self.keys.len() * 160));
        let mut keys = self.keys.iter();
        keys.try_for_each(|key| {
            writeln!(text, "# public key: {}\n{}", key.to_public(), key.to_string().expose_secret())
        })
        .map_err(io_error("write", path))?;
        Ok(text)
    }

    /// Writes the identity to a new file; leaves one that appeared meanwhile as it is.
    fn create(&self, path: &Path) -> Result<(), VaultError> {
        let mut file = replace::temporary(path, Access::Private)?;
        file.write_all(&self.text(path)?).map_err(io_error("write", path))?;
        file.as_file().sync_all().map_err(io_error("sync", path))?;
        match file.persist_noclobber(path) {
            Ok(_) => replace::sync_folder(path),
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(io_error("create", path)(error.error)),
        }
    }

    /// The public half of the first key.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        Recipient(self.keys[0].to_public())
    }

    /// The public halves of all keys, the first key's first.
    pub fn recipients(&self) -> impl Iterator<Item = Recipient> {
        self.keys.iter().map(|key| Recipient(key.to_public()))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.keys.iter().map(|key| key as &dyn age::Identity)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// Somebody for whom a file is sealed; public.
#[derive(Clone)]
pub struct Recipient(pub(crate) age::x25519::Recipient);

impl FromStr for Recipient {
    type Err = VaultError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.trim().parse().map(Self).map_err(|_| VaultError::NotARecipient)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Recipient {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewed_identity_still_opens_what_was_sealed_for_the_old_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.txt");
        let old = Identity::load_or_create(&path).unwrap();
        let sealed = crate::seal::seal(b"text", &[old.recipient()]).unwrap();
        let new = Identity::renew(&path).unwrap();
        assert_ne!(new.recipient(), old.recipient());
        assert_eq!(new.recipients().collect::<Vec<_>>(), [new.recipient(), old.recipient()]);
        assert_eq!(Identity::load(&path).unwrap().recipient(), new.recipient());
        assert!(crate::seal::open(&sealed, &new).is_ok());
        let fresh = crate::seal::seal(b"text", &[new.recipient()]).unwrap();
        assert!(crate::seal::open(&fresh, &new).is_ok() && crate::seal::open(&fresh, &old).is_err());
    }

    #[test]
    fn there_is_nothing_to_renew_without_an_identity() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(Identity::renew(&folder.path().join("identity.txt")), Err(VaultError::NoIdentity { .. })));
    }
}
