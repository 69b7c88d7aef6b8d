//! Passphrases, which wrap an identity file in the format of `age -p`.

use std::fmt;
use std::io::{self, Read as _, Write as _};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor, scrypt};
use zeroize::Zeroizing;

/// The fewest characters of a new passphrase. A shorter one could be guessed, although scrypt makes each guess take a
/// second.
pub const SHORTEST_PASSPHRASE: usize = 8;

/// The largest work factor of an identity file that is accepted, which is `age`'s own limit. A file that takes a
/// second to open on another machine may take longer on this one.
const MOST_WORK: u8 = 22;

/// A passphrase that a user remembers. It is wiped when it is dropped.
pub struct Passphrase(SecretString);

impl Passphrase {
    /// Makes a passphrase from a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// Returns true if the passphrase has too few characters to be used as a new one.
    #[must_use]
    pub fn is_short(&self) -> bool {
        use age::secrecy::ExposeSecret as _;
        self.0.expose_secret().chars().count() < SHORTEST_PASSPHRASE
    }
}

impl PartialEq for Passphrase {
    /// Compares two passphrases that a user typed one after the other. The time that this takes reveals nothing,
    /// because the user knows both.
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

/// The reason why wrapped bytes cannot be unwrapped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unwrapped {
    /// The bytes are wrapped with another passphrase.
    Wrong,
    /// The bytes are not what was written.
    Damaged,
}

/// Returns true if the bytes are an age file, armored or not, and not an identity in plain text.
pub(crate) fn is_wrapped(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    text.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----") || text.starts_with(b"age-encryption.org/")
}

/// Wraps bytes with a passphrase, armored. This takes about a second by design, because each guess of the passphrase
/// then takes as long.
pub(crate) fn wrap(plaintext: &[u8], passphrase: &Passphrase) -> io::Result<Vec<u8>> {
    let encryptor = Encryptor::with_user_passphrase(passphrase.0.clone());
    let mut wrapped = Vec::with_capacity(plaintext.len() * 3 / 2 + 512);
    let mut writer = encryptor.wrap_output(ArmoredWriter::wrap_output(&mut wrapped, Format::AsciiArmor)?)?;
    writer.write_all(plaintext)?;
    writer.finish()?.finish()?;
    Ok(wrapped)
}

/// Unwraps bytes completely, or returns an error.
pub(crate) fn unwrap(wrapped: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, Unwrapped> {
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(wrapped)).map_err(|_| Unwrapped::Damaged)?;
    let mut identity = scrypt::Identity::new(passphrase.0.clone());
    identity.set_max_work_factor(MOST_WORK);
    let decrypted = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity));
    let mut reader = decrypted.map_err(|error| match error {
        // The library cannot distinguish a wrong passphrase from a changed stanza.
        DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys => {
            Unwrapped::Wrong
        }
        _ => Unwrapped::Damaged,
    })?;
    let mut plaintext = Zeroizing::new(Vec::with_capacity(wrapped.len()));
    reader.read_to_end(&mut plaintext).map_err(|_| Unwrapped::Damaged)?;
    Ok(plaintext)
}
