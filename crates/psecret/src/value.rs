//! The value of a user secret.

use std::fmt;

use zeroize::Zeroizing;

/// The most bytes that BuildKit's clients serve as one secret: 500 KiB (`session/secrets/secretsprovider`).
pub const LONGEST_SECRET: usize = 500 * 1024;

/// The most bytes that Linux accepts for one `NAME=VALUE` with its closing NUL (`MAX_ARG_STRLEN`, 32 pages).
pub const LONGEST_VARIABLE: usize = 128 * 1024;

/// The value of a user secret: read once, never shown, wiped when dropped.
///
/// It cannot be printed, cloned, compared or serialized. [`UserSecret::expose`] is the only way to its bytes, and a
/// lint makes each call of it a numbered door. Wiping has a limit: copies that other libraries make of the bytes that
/// they receive are not wiped.
///
/// ```
/// let secret = psecret::UserSecret::new(b"s3cr3t-value".to_vec());
/// assert_eq!(format!("{secret:?}"), "UserSecret");
/// assert_eq!(secret.len(), 12);
/// ```
///
/// ```compile_fail
/// let secret = psecret::UserSecret::new(b"s3cr3t-value".to_vec());
/// println!("{secret}");
/// ```
///
/// ```compile_fail
/// let secret = psecret::UserSecret::new(b"s3cr3t-value".to_vec());
/// let copy = secret.clone();
/// ```
pub struct UserSecret(Zeroizing<Vec<u8>>);

impl UserSecret {
    /// Takes over the bytes; they are wiped when the secret is dropped.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Returns the plaintext. Each call is a door, which needs a number, a reason and an entry in the list of doors.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the number of bytes of the value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the value has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the value is one line, followed by the line end that editors and `echo` write.
    #[must_use]
    pub fn is_one_line_with_its_end(&self) -> bool {
        self.0.iter().position(|byte| *byte == b'\n').is_some_and(|at| at > 0 && at + 1 == self.0.len())
    }

    /// Returns the value without the byte order mark that some editors write before a text, if it has one.
    pub(crate) fn without_byte_order_mark(&self) -> Option<Self> {
        Some(Self::new(self.0.strip_prefix(b"\xef\xbb\xbf")?.to_vec()))
    }

    /// Whether the value holds a NUL byte, which an environment variable cannot hold.
    #[must_use]
    pub fn has_nul(&self) -> bool {
        self.0.contains(&0)
    }
}

impl fmt::Debug for UserSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserSecret")
    }
}

#[cfg(test)]
impl UserSecret {
    /// Compares the value without a door, for tests only.
    pub(crate) fn is(&self, expected: &[u8]) -> bool {
        self.0.as_slice() == expected
    }

    /// Returns the bytes without a door, for tests only.
    pub(crate) fn bytes_for_tests(&self) -> &[u8] {
        &self.0
    }
}
