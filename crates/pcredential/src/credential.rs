//! The value of a service credential.

use std::fmt;

use rand::Rng;
use rand::distr::{Alphabetic, Alphanumeric, Distribution};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

/// How many characters a generated credential has: 32 of 62 are 190 bits.
pub(crate) const LENGTH: usize = 32;

/// The value of a service credential: generated, never typed, never shown, wiped when dropped.
///
/// Only letters and digits, so that no shell, URL, configuration file or query needs to quote it; the first is a
/// letter (R10). It cannot be printed, cloned, compared or serialized; [`ServiceCredential::expose`] is the only way to
/// its bytes, and a lint makes each call of it a numbered door. There is no conversion from or to a user's secret.
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
    /// When the kernel has no random numbers: without them nothing may be started (R11).
    #[must_use]
    pub fn generate() -> Self {
        Self(Zeroizing::new(letters(LENGTH)))
    }

    /// Takes over a text that was sealed, composed or imported.
    #[must_use]
    pub(crate) fn from_text(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Takes over what a user gives as the credential of data that others made: any line of text. Whoever writes it into
    /// a file or a script quotes it there.
    #[must_use]
    pub fn given(text: Zeroizing<String>) -> Option<Self> {
        (!text.is_empty() && !text.contains(char::is_control)).then_some(Self(text))
    }

    /// Makes the same credential again.
    pub(crate) fn again(&self) -> Self {
        Self(self.0.clone())
    }

    /// Whether two credentials are the same one.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// The plaintext. A door: number each call, give its reason, list it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// How many bytes the value has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the value has no bytes; a generated one never is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Makes random letters and digits, a letter first, in a buffer that never grew.
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

    /// A source of random numbers that has none.
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
