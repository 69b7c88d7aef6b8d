//! The digests that an archive states, and those of the bytes that were read.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A digest: `sha256:` and 64 hex digits in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl Digest {
    /// Computes the digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(format!("sha256:{}", base16ct::lower::encode_string(&Sha256::digest(bytes))))
    }

    /// Parses a digest. Returns `None` for other algorithms.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        Self::from_hex(hex)
    }

    /// Parses the hex digits of a digest.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (hex.len() == 64 && hex.bytes().all(lower_hex)).then(|| Self(format!("sha256:{hex}")))
    }

    /// Returns the whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns only the hex digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        self.0.split_at("sha256:".len()).1
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A hasher of bytes that are read, or one that does nothing.
pub(crate) struct Hasher(Option<Sha256>);

impl Hasher {
    pub(crate) fn new(wanted: bool) -> Self {
        Self(wanted.then(Sha256::new))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        if let Some(hash) = &mut self.0 {
            hash.update(bytes);
        }
    }

    pub(crate) fn finish(self) -> Option<Digest> {
        Digest::from_hex(&base16ct::lower::encode_string(&self.0?.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lower_case_sha256_is_a_digest() {
        let hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert_eq!(Digest::parse(&format!("sha256:{hex}")).unwrap().hex(), hex);
        for wrong in [format!("sha512:{hex}"), format!("sha256:{}", hex.to_uppercase()), hex.to_owned(), String::new()]
        {
            assert_eq!(Digest::parse(&wrong), None);
        }
        let mut hasher = Hasher::new(true);
        hasher.update(b"te");
        hasher.update(b"st");
        assert_eq!(hasher.finish(), Digest::from_hex(hex));
    }
}
