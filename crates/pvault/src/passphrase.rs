//! A passphrase, and what it wraps: an identity file as `age -p` writes it.

use std::fmt;
use std::io::{self, Read as _, Write as _};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor, scrypt};
use zeroize::Zeroizing;

/// The fewest characters of a new passphrase: below, scrypt's second per guess is no obstacle.
pub const SHORTEST_PASSPHRASE: usize = 8;

/// The most work that an identity file may ask for, `age`'s own limit: another machine's second may be longer here.
const MOST_WORK: u8 = 22;

/// A passphrase that a user remembers. Wiped when it is dropped.
pub struct Passphrase(SecretString);

impl Passphrase {
    /// Takes the text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// Whether the passphrase has too few bytes for a new one.
    #[must_use]
    pub fn is_short(&self) -> bool {
        use age::secrecy::ExposeSecret as _;
        self.0.expose_secret().chars().count() < SHORTEST_PASSPHRASE
    }
}

impl PartialEq for Passphrase {
    /// Compares two passphrases that were typed one after the other; both are at hand here, so nobody learns from how
    /// long it takes.
    fn eq(&self, other: &Self) -> bool {
        use age::secrecy::ExposeSecret as _;
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

/// Why wrapped bytes stay closed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unwrapped {
    /// Another passphrase wraps them.
    Wrong,
    /// Not what was written.
    Damaged,
}

/// Whether these are the bytes of an age file, armored or not, and no identity in plain text.
pub(crate) fn is_wrapped(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    text.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----") || text.starts_with(b"age-encryption.org/")
}

/// Wraps bytes, armored. It takes about a second, as each guess of a passphrase does.
pub(crate) fn wrap(plaintext: &[u8], passphrase: &Passphrase) -> io::Result<Vec<u8>> {
    let encryptor = Encryptor::with_user_passphrase(passphrase.0.clone());
    let mut wrapped = Vec::with_capacity(plaintext.len() * 3 / 2 + 512);
    let mut writer = encryptor.wrap_output(ArmoredWriter::wrap_output(&mut wrapped, Format::AsciiArmor)?)?;
    writer.write_all(plaintext)?;
    writer.finish()?.finish()?;
    Ok(wrapped)
}

/// Unwraps all of the bytes or none.
pub(crate) fn unwrap(wrapped: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, Unwrapped> {
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(wrapped)).map_err(|_| Unwrapped::Damaged)?;
    let mut identity = scrypt::Identity::new(passphrase.0.clone());
    identity.set_max_work_factor(MOST_WORK);
    let decrypted = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity));
    let mut reader = decrypted.map_err(|error| match error {
        // The library cannot tell a wrong passphrase from a changed stanza.
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys => {
            Unwrapped::Wrong
        }
        _ => Unwrapped::Damaged,
    })?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(wrapped.len()));
    reader.read_to_end(&mut plaintext).map_err(|_| Unwrapped::Damaged)?;
    Ok(plaintext)
}
