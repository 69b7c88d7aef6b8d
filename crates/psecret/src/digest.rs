//! Digests of values under a key, for programs that must know whether a value has changed, but not the value itself.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{SecretName, UserSecret};

/// A key for the digests of values. Without the key, a digest reveals nothing, not even of a short value (S21).
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
    /// Makes a key of 32 random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Makes a key of a text that many machines share: 32 bytes as hex or base64. Returns `None` for any other text:
    /// digests can be seen, in provenance for example, and with a key that can be guessed they would let people guess
    /// the values.
    #[must_use]
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        (is_hex(text) || is_base64(text))
            .then(|| Self::new(Sha256::new().chain_update(b"digest key\0").chain_update(text).finalize().into()))
    }

    /// Computes the digest of a value for one purpose: 32 hex digits, the first half of its HMAC-SHA-256. Another
    /// purpose, name or value gives another digest.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "door 60: the keyed digest of a value is made from it")]
    pub fn digest(&self, purpose: &str, name: &SecretName, value: &UserSecret) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_slice()).expect("HMAC takes keys of any length");
        for part in [purpose, name.as_str()] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part.as_bytes());
        }
        mac.update(value.expose());
        base16ct::lower::encode_string(&mac.finalize().into_bytes()[..16])
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Whether the text is 32 bytes as hex.
fn is_hex(text: &[u8]) -> bool {
    text.len() == 64 && text.iter().all(u8::is_ascii_hexdigit)
}

/// Whether the text is 32 bytes as base64 of either alphabet, with or without the padding at its end.
fn is_base64(text: &[u8]) -> bool {
    let text = text.strip_suffix(b"=").unwrap_or(text);
    text.len() == 43 && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte))
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
    fn a_text_that_is_not_32_bytes_makes_no_key() {
        let base64 = format!("{}+/", "aZ09_".repeat(8) + "-");
        for text in [&"0aF9".repeat(16), &format!("{}\n", "0a".repeat(32)), &base64, &format!("{base64}=")] {
            assert!(DigestKey::from_text(text.as_bytes()).is_some(), "{text}");
        }
        for text in
            ["", "sixteen bytes...", "a key that all runners share, in many words", &"0a".repeat(16), &"0a".repeat(33)]
        {
            assert!(DigestKey::from_text(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn the_digest_is_the_first_half_of_hmac_sha_256() {
        // The expected digest was made with Python's `hmac` over the two parts with their lengths, then the value.
        let expected = "213aecafb0e9190ccf666e0e8d0f259e";
        assert_eq!(digest(&DigestKey::new([0x61; 32]), "rebuild", "A", "value"), expected);
    }
}
