//! Digests of values under a key, for those who must know whether a value changed and not what it is.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{SecretName, UserSecret};

/// The shortest text that a key is made from, in bytes: a guessable key would make short values guessable.
pub const SHORTEST_KEY_TEXT: usize = 16;

/// A key under which values have digests. Without it a digest says nothing, not even of a short value (S21).
///
/// ```
/// use psecret::{DigestKey, SecretName, UserSecret};
///
/// let (key, name) = (DigestKey::new([7; 32]), SecretName::parse("TOKEN")?);
/// let digest = |value: &[u8]| key.digest("rebuild", &name, &UserSecret::new(value.to_vec()));
/// assert_eq!(digest(b"one").len(), 32);
/// assert_ne!(digest(b"one"), digest(b"two"));
/// # Ok::<(), psecret::SecretError>(())
/// ```
pub struct DigestKey(Zeroizing<[u8; 32]>);

impl DigestKey {
    /// Takes 32 random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Makes a key of a text that many machines share; `None` when it is shorter than [`SHORTEST_KEY_TEXT`].
    #[must_use]
    pub fn from_text(text: &[u8]) -> Option<Self> {
        (text.len() >= SHORTEST_KEY_TEXT)
            .then(|| Self::new(Sha256::new().chain_update(b"digest key\0").chain_update(text).finalize().into()))
    }

    /// The digest of a value for one purpose, 32 hex digits (HMAC-SHA-256, its first half). Another purpose, name or value
    /// gives another digest.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "door 60: the keyed digest of a value is made from it")]
    pub fn digest(&self, purpose: &str, name: &SecretName, value: &UserSecret) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice()).expect("HMAC takes keys of any length");
        for part in [purpose, name.as_str()] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        mac.update(value.expose());
        mac.finalize().into_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl std::fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DigestKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(key: &DigestKey, purpose: &str, name: &str, value: &str) -> String {
        key.digest(purpose, &SecretName::parse(name).unwrap(), &UserSecret::new(value.as_bytes().to_vec()))
    }

    #[test]
    fn key_purpose_name_and_value_all_count_s21() {
        let key = DigestKey::new([1; 32]);
        let one = digest(&key, "rebuild", "A", "value");
        assert_eq!(one, digest(&key, "rebuild", "A", "value"));
        assert_eq!(one.len(), 32);
        for other in [
            digest(&DigestKey::new([2; 32]), "rebuild", "A", "value"),
            digest(&key, "diff", "A", "value"),
            digest(&key, "rebuild", "B", "value"),
            digest(&key, "rebuild", "A", "values"),
            digest(&key, "rebuild", "Av", "alue"),
        ] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn a_short_text_makes_no_key() {
        assert!(DigestKey::from_text(b"fifteen bytes..").is_none());
        assert!(DigestKey::from_text(b"sixteen bytes...").is_some());
    }

    #[test]
    fn the_digest_is_the_first_half_of_hmac_sha_256() {
        // Made with Python's `hmac` over the two parts with their lengths, then the value.
        let expected = "213aecafb0e9190ccf666e0e8d0f259e";
        assert_eq!(digest(&DigestKey::new([0x61; 32]), "rebuild", "A", "value"), expected);
    }
}
