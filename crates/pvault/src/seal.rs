//! Sealing and opening bytes in memory.

use std::io::{self, Read as _, Write as _};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::{DecryptError, Decryptor, Encryptor};
use zeroize::Zeroizing;

use crate::{Identity, Recipient};

/// The reason why sealed bytes cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unopened {
    /// The bytes are not what was written.
    #[error("the sealed bytes are damaged")]
    Damaged,
    /// The bytes are sealed for other identities.
    #[error("the bytes are not sealed for this identity")]
    NotForThisIdentity,
    /// The bytes have a newer age format.
    #[error("the bytes are sealed in a newer format")]
    Newer,
}

/// Seals bytes for the recipients, armored. The sealed bytes are meant for a place other than a file of this machine;
/// [`crate::SealedFile`] is for files.
///
/// # Errors
///
/// Returns an error if the operating system provides no random numbers, or if there are no recipients.
///
/// ```
/// let identity = pvault::Identity::generate();
/// let sealed = pvault::seal(b"state", &[identity.recipient()])?;
/// assert_eq!(pvault::open(&sealed, &identity)?.as_slice(), b"state");
/// assert_eq!(pvault::open(&sealed, &pvault::Identity::generate()), Err(pvault::Unopened::NotForThisIdentity));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn seal(plaintext: &[u8], recipients: &[Recipient]) -> io::Result<Vec<u8>> {
    let recipients = recipients.iter().map(|recipient| &recipient.0 as &dyn age::Recipient);
    let encryptor = Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
    let mut sealed = Vec::with_capacity(plaintext.len() * 3 / 2 + 512);
    let armor = ArmoredWriter::wrap_output(&mut sealed, Format::AsciiArmor)?;
    let mut writer = encryptor.wrap_output(armor)?;
    writer.write_all(plaintext)?;
    writer.finish()?.finish()?;
    Ok(sealed)
}

/// Opens sealed bytes completely, or returns an error.
///
/// # Errors
///
/// Returns an [`Unopened`] with the reason.
pub fn open(sealed: &[u8], identity: &Identity) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(sealed)).map_err(unopened)?;
    let mut reader = decryptor.decrypt(identity.keys()).map_err(unopened)?;
    // The plaintext is shorter than the sealed bytes, so the buffer never moves and leaves no copy in memory.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(sealed.len()));
    reader.read_to_end(&mut plaintext).map_err(|_| Unopened::Damaged)?;
    Ok(plaintext)
}

fn unopened(error: DecryptError) -> Unopened {
    match error {
        DecryptError::NoMatchingKeys | DecryptError::ExcessiveWork { .. } | DecryptError::KeyDecryptionFailed => {
            Unopened::NotForThisIdentity
        }
        DecryptError::UnknownFormat => Unopened::Newer,
        // Other errors, and errors that a later version of the library adds, mean that the bytes are damaged.
        _ => Unopened::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(plaintext: &[u8]) -> (Vec<u8>, Identity) {
        let identity = Identity::generate();
        (seal(plaintext, &[identity.recipient()]).unwrap(), identity)
    }

    #[test]
    fn what_is_sealed_opens_again() {
        for length in [0, 1, 100, 65_535, 65_536, 65_537, 200_000] {
            let plaintext: Vec<u8> = (0..length).map(|at: u32| at.to_le_bytes()[0]).collect();
            let (sealed, identity) = sealed(&plaintext);
            assert!(sealed.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----\n"));
            assert_eq!(*open(&sealed, &identity).unwrap(), plaintext);
        }
    }

    #[test]
    fn each_of_several_recipients_opens_it_and_nobody_else() {
        let (one, other, stranger) = (Identity::generate(), Identity::generate(), Identity::generate());
        let sealed = seal(b"text", &[one.recipient(), other.recipient()]).unwrap();
        assert!(open(&sealed, &one).is_ok() && open(&sealed, &other).is_ok());
        assert_eq!(open(&sealed, &stranger).unwrap_err(), Unopened::NotForThisIdentity);
    }

    #[test]
    fn a_changed_bit_is_never_accepted_k4() {
        let (sealed, identity) = sealed(b"the sealed state of a project");
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1 << bit;
                assert!(open(&changed, &identity).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_file_cut_short_is_never_accepted_k4() {
        let (sealed, identity) = sealed(b"the sealed state of a project");
        // If only the last line end is missing, nothing is lost. Any shorter text is refused.
        assert!(open(&sealed[..sealed.len() - 1], &identity).is_ok());
        for length in 0..sealed.len() - 1 {
            assert!(open(&sealed[..length], &identity).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn bytes_behind_the_end_are_not_accepted_k4() {
        let (sealed, identity) = sealed(b"the sealed state of a project");
        for more in [&b"x"[..], b"-----", &sealed] {
            assert!(open(&[&sealed, more].concat(), &identity).is_err());
        }
    }

    #[test]
    fn another_version_is_not_called_damaged_k4() {
        let newer = b"age-encryption.org/v2\n-> X25519 abc\n--- def\n";
        let identity = Identity::generate();
        assert!(matches!(open(newer, &identity), Err(Unopened::Newer | Unopened::Damaged)));
    }
}
