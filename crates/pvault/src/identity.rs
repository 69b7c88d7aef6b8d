//! Identities, which open sealed files, and recipients, for which files are sealed.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use age::secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use crate::error::io_error;
use crate::guard::{self, Access};
use crate::passphrase::{self, Passphrase, Unwrapped};
use crate::{VaultError, replace};

/// The largest identity file that is read. An identity file has a few lines, so a larger file is something else.
const LONGEST: usize = 64 * 1024;

/// One or more X25519 keys in the format of `age-keygen`. New files are sealed for the first key.
///
/// ```
/// let identity = pvault::Identity::generate();
/// assert!(identity.recipient().to_string().starts_with("age1"));
/// assert_eq!(format!("{identity:?}"), "Identity");
/// ```
#[derive(Clone)]
pub struct Identity {
    keys: Vec<age::x25519::Identity>,
}

impl Identity {
    /// Makes a fresh identity.
    #[must_use]
    pub fn generate() -> Self {
        Self { keys: vec![age::x25519::Identity::generate()] }
    }

    /// Parses an identity in the format of `age-keygen`: one key on each line, and comments that begin with `#`.
    ///
    /// # Errors
    ///
    /// Returns [`VaultError::NotAnIdentity`], which names `place` and never repeats the text.
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
    /// Returns [`VaultError::NoIdentity`] if the file does not exist, [`VaultError::NeedsPassphrase`] if it is
    /// wrapped, and another error if other users may read or change it.
    pub fn load(path: &Path) -> Result<Self, VaultError> {
        File::read(path)?.open(None)
    }

    /// Reads an identity file, and unwraps it if it is wrapped.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Identity::load`], and [`VaultError::WrongPassphrase`] if the passphrase does not
    /// unwrap it.
    pub fn unwrap(path: &Path, passphrase: &Passphrase) -> Result<Self, VaultError> {
        File::read(path)?.open(Some(passphrase))
    }

    /// Reads an identity file, or makes one if it does not exist. Two processes that do so at the same time get the
    /// same identity.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Identity::load`], and [`VaultError::Io`] if the file or its folder cannot be
    /// made.
    pub fn load_or_create(path: &Path) -> Result<Self, VaultError> {
        Self::open_or_create(path, None)
    }

    /// Reads an identity file as [`Identity::unwrap`] does, or makes a wrapped one if it does not exist.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Identity::unwrap`], and [`VaultError::Io`] if the file or its folder cannot be
    /// made.
    pub fn unwrap_or_create(path: &Path, passphrase: &Passphrase) -> Result<Self, VaultError> {
        Self::open_or_create(path, Some(passphrase))
    }

    fn open_or_create(path: &Path, passphrase: Option<&Passphrase>) -> Result<Self, VaultError> {
        match File::read(path) {
            Err(VaultError::NoIdentity { path }) => {
                guard::prepare_folder(&path, Access::Private)?;
                create(&path, &Self::generate().text(&path, passphrase)?)?;
                // Another process may have made the file first, so the file is read instead of the identity that was
                // generated.
                File::read(&path)?.open(passphrase)
            }
            Ok(file) => file.open(passphrase),
            Err(error) => Err(error),
        }
    }

    /// Adds a fresh key before the existing keys of the file. The existing keys stay, because other files may still
    /// be sealed for them. A wrapped file stays wrapped.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Identity::unwrap`], and [`VaultError::Io`] if the file cannot be replaced; it
    /// then has its old content.
    pub fn renew(path: &Path, passphrase: Option<&Passphrase>) -> Result<Self, VaultError> {
        Self::change(path, passphrase, |identity, wrapped| {
            identity.keys.insert(0, age::x25519::Identity::generate());
            passphrase.filter(|_| wrapped)
        })
    }

    /// Wraps the file with a new passphrase, or unwraps it if `new` is `None`.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`Identity::renew`].
    pub fn rewrap(path: &Path, old: Option<&Passphrase>, new: Option<&Passphrase>) -> Result<Self, VaultError> {
        Self::change(path, old, |_, _| new)
    }

    fn change<'a>(
        path: &Path,
        passphrase: Option<&Passphrase>,
        work: impl FnOnce(&mut Self, bool) -> Option<&'a Passphrase>,
    ) -> Result<Self, VaultError> {
        let path = guard::resolve(path)?;
        let lock = path.with_extension("lock");
        // Without the lock, two processes that change the file at the same time would lose the key of one of them.
        let held = std::fs::File::create(&lock).and_then(|file| file.lock().map(|()| file));
        let _held = held.map_err(io_error("lock", &lock))?;
        let file = File::read(&path)?;
        let mut identity = file.open(passphrase)?;
        let wrapping = work(&mut identity, file.is_wrapped());
        replace::replace(&path, &identity.text(&path, wrapping)?, Access::Private)?;
        Ok(identity)
    }

    /// Writes the text of the file into memory that is wiped. The text is wrapped if there is a passphrase.
    fn text(&self, path: &Path, passphrase: Option<&Passphrase>) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let mut text = Zeroizing::new(Vec::with_capacity(self.keys.len() * 160));
        let mut keys = self.keys.iter();
        keys.try_for_each(|key| {
            writeln!(text, "# public key: {}\n{}", key.to_public(), key.to_string().expose_secret())
        })
        .map_err(io_error("write", path))?;
        match passphrase {
            None => Ok(text),
            Some(passphrase) => passphrase::wrap(&text, passphrase).map(Zeroizing::new).map_err(io_error("wrap", path)),
        }
    }

    /// Returns the public half of the first key.
    #[must_use]
    pub fn recipient(&self) -> Recipient {
        Recipient(self.keys[0].to_public())
    }

    /// Returns the public halves of all keys, in the order of the keys.
    pub fn recipients(&self) -> impl Iterator<Item = Recipient> {
        self.keys.iter().map(|key| Recipient(key.to_public()))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.keys.iter().map(|key| key as &dyn age::Identity)
    }
}

/// The bytes of an identity file, wrapped or not.
struct File {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
}

impl File {
    fn read(path: &Path) -> Result<Self, VaultError> {
        let path = guard::resolve(path)?;
        let Some(file) = guard::open(&path, Access::Private)? else {
            return Err(VaultError::NoIdentity { path });
        };
        // The vector gets all of its room at once, because a vector that grows leaves copies of the keys in memory.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
        file.take(LONGEST as u64 + 1).read_to_end(&mut bytes).map_err(io_error("read", &path))?;
        if bytes.len() > LONGEST {
            return Err(VaultError::TooLarge { path, limit: LONGEST });
        }
        Ok(Self { path, bytes })
    }

    fn is_wrapped(&self) -> bool {
        passphrase::is_wrapped(&self.bytes)
    }

    fn open(&self, passphrase: Option<&Passphrase>) -> Result<Identity, VaultError> {
        let path = || self.path.clone();
        let place = self.path.display().to_string();
        let parse = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => Identity::parse(text, &place),
            Err(_) => Err(VaultError::NotAnIdentity { place: place.clone() }),
        };
        if !self.is_wrapped() {
            return parse(&self.bytes);
        }
        let passphrase = passphrase.ok_or_else(|| VaultError::NeedsPassphrase { path: path() })?;
        match passphrase::unwrap(&self.bytes, passphrase) {
            Ok(text) => parse(&text),
            Err(Unwrapped::Wrong) => Err(VaultError::WrongPassphrase { path: path() }),
            Err(Unwrapped::Damaged) => Err(VaultError::Damaged { path: path(), backup: None }),
        }
    }
}

/// Writes a new file. If the file exists by now, it stays as it is.
fn create(path: &Path, text: &[u8]) -> Result<(), VaultError> {
    let mut file = replace::temporary(path, Access::Private)?;
    file.write_all(text).map_err(io_error("write", path))?;
    file.as_file().sync_all().map_err(io_error("sync", path))?;
    match file.persist_noclobber(path) {
        Ok(_) => replace::sync_folder(path),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io_error("create", path)(error.error)),
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// A public key for which a file is sealed.
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
        let new = Identity::renew(&path, None).unwrap();
        assert_ne!(new.recipient(), old.recipient());
        assert_eq!(new.recipients().collect::<Vec<_>>(), [new.recipient(), old.recipient()]);
        assert_eq!(Identity::load(&path).unwrap().recipient(), new.recipient());
        assert!(crate::seal::open(&sealed, &new).is_ok());
        let fresh = crate::seal::seal(b"text", &[new.recipient()]).unwrap();
        assert!(crate::seal::open(&fresh, &new).is_ok() && crate::seal::open(&fresh, &old).is_err());
    }

    #[test]
    fn a_wrapped_identity_opens_with_its_passphrase_alone_k6() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.txt");
        let [one, two] = ["correct horse battery", "another passphrase"].map(|text| Passphrase::new(text.to_owned()));
        let made = Identity::unwrap_or_create(&path, &one).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----"), "no key stands there, not for a moment");
        assert!(matches!(Identity::load(&path), Err(VaultError::NeedsPassphrase { .. })));
        assert!(matches!(Identity::unwrap(&path, &two), Err(VaultError::WrongPassphrase { .. })));
        assert_eq!(Identity::unwrap(&path, &one).unwrap().recipient(), made.recipient());
        // The file stays wrapped when a key is added; it can be wrapped with a new passphrase, and it can be
        // unwrapped.
        assert!(matches!(Identity::renew(&path, None), Err(VaultError::NeedsPassphrase { .. })));
        let renewed = Identity::renew(&path, Some(&one)).unwrap();
        assert!(matches!(Identity::rewrap(&path, Some(&two), None), Err(VaultError::WrongPassphrase { .. })));
        Identity::rewrap(&path, Some(&one), Some(&two)).unwrap();
        assert!(matches!(Identity::unwrap(&path, &one), Err(VaultError::WrongPassphrase { .. })));
        Identity::rewrap(&path, Some(&two), None).unwrap();
        let plain = Identity::load(&path).unwrap();
        assert_eq!(plain.recipients().collect::<Vec<_>>(), [renewed.recipient(), made.recipient()]);
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(matches!(Identity::unwrap(&path, &one), Err(VaultError::Damaged { .. })));
    }

    #[test]
    fn there_is_nothing_to_renew_without_an_identity() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            Identity::renew(&folder.path().join("identity.txt"), None),
            Err(VaultError::NoIdentity { .. })
        ));
    }
}
