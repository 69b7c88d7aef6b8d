//! The value of a service credential.

use std::fmt;

use rand::Rng;
use rand::distr::{Alphabetic, Alphanumeric, Distribution};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

/// The number of characters of a generated credential: 32 of 62 possible characters give 190 bits.
pub(crate) const LENGTH: usize = 32;

/// The value of a service credential. It is generated or, for data that prun did not make, given by the user. It is
/// never shown, and it is wiped when it is dropped.
///
/// A generated credential has only letters and digits, so that it needs no quotes in a shell, a URL, a configuration
/// file or a query; it begins with a letter (R10). The type cannot be printed, cloned, compared or serialized. Its
/// bytes are only available through [`ServiceCredential::expose`], and a lint demands that each call of it is a
/// numbered door. There is no conversion from or to a user secret.
///
/// ```
/// let credential = pcredential::ServiceCredential::generate();
/// assert_eq!(format!("{credential:?}"), "ServiceCredential");
/// assert_eq!(credential.len(), 32);
/// ```
///
/// ```compile_fail
/// let credential = pcredential::ServiceCredential::generate();
/// println!("{credential}");
/// ```
pub struct ServiceCredential(Zeroizing<String>);

impl ServiceCredential {
    /// Makes a fresh credential from the kernel's random numbers.
    ///
    /// # Panics
    ///
    /// Panics if the kernel has no random numbers, because no service may be started without them (R11).
    #[must_use]
    pub fn generate() -> Self {
        Self(Zeroizing::new(letters(LENGTH)))
    }

    /// Makes a credential from a text that was sealed, composed or imported.
    #[must_use]
    pub(crate) fn from_text(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Makes a credential from the text that a user gives for data that others made. Any line of text is accepted, so
    /// code that writes the credential into a file or a script has to quote it.
    #[must_use]
    pub fn given(text: Zeroizing<String>) -> Option<Self> {
        (!text.is_empty() && !text.contains(char::is_control)).then_some(Self(text))
    }

    /// Makes the same credential again.
    pub(crate) fn again(&self) -> Self {
        Self(self.0.clone())
    }

    /// Returns whether two credentials are the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Returns the plaintext. This is a door: number each call, give its reason, and list it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the number of bytes of the value.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if the value is empty, which a generated credential never is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Makes a text of random letters and digits that begins with a letter, in a buffer that never grew.
pub(crate) fn letters(count: usize) -> String {
    letters_of(UnwrapErr(SysRng), count)
}

fn letters_of(mut random: impl Rng, count: usize) -> String {
    let mut letters = String::with_capacity(count);
    letters.push(char::from(Alphabetic.sample(&mut random)));
    letters.extend((1..count).map(|_| char::from(Alphanumeric.sample(&mut random))));
    letters
}

impl fmt::Debug for ServiceCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceCredential")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn r10_a_generated_value_needs_no_quoting_anywhere() {
        for _ in 0..500 {
            let credential = ServiceCredential::generate();
            assert_eq!(credential.0.len(), LENGTH);
            assert!(credential.0.chars().all(|character| character.is_ascii_alphanumeric()));
            assert!(credential.0.starts_with(|first: char| first.is_ascii_alphabetic()));
        }
    }

    /// A source of random numbers that always fails.
    struct Broken;

    impl rand::TryRng for Broken {
        type Error = std::io::Error;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Err(std::io::Error::other("no random numbers"))
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Err(std::io::Error::other("no random numbers"))
        }

        fn try_fill_bytes(&mut self, _: &mut [u8]) -> Result<(), Self::Error> {
            Err(std::io::Error::other("no random numbers"))
        }
    }

    #[test]
    #[should_panic(expected = "no random numbers")]
    fn r11_without_random_numbers_there_is_no_credential() {
        letters_of(UnwrapErr(Broken), LENGTH);
    }

    #[test]
    fn no_value_comes_twice() {
        let values: HashSet<String> = (0..500).map(|_| ServiceCredential::generate().0.to_string()).collect();
        assert_eq!(values.len(), 500);
    }
}
