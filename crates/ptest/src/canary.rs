//! Values that exist only in one test.

use std::fmt;

use rand::RngExt as _;
use rand::distr::Alphanumeric;

/// A value that one test planted. It is unique and random, and its [`Oracle`](crate::Oracle) can find it.
///
/// Its `Debug` prints only its name, so that a failed assertion does not leak the value.
#[derive(Clone, PartialEq, Eq)]
pub struct Canary {
    name: String,
    value: Vec<u8>,
}

impl Canary {
    pub(crate) fn new(name: &str, value: Vec<u8>) -> Self {
        Self { name: name.to_owned(), value }
    }

    /// Returns the name under which the canary was planted.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the bytes to plant.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Returns the bytes to plant as text.
    ///
    /// # Panics
    ///
    /// Panics if the value is not text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.value).expect("this canary is text")
    }
}

impl fmt::Debug for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Canary({})", self.name)
    }
}

fn letters(count: usize) -> String {
    rand::rng().sample_iter(Alphanumeric).take(count).map(char::from).collect()
}

/// Makes a value of 32 letters and digits.
pub(crate) fn token() -> Vec<u8> {
    letters(32).into_bytes()
}

/// Makes a value with all characters that quoting, escaping and encoding change, between random letters.
pub(crate) fn punctuated() -> Vec<u8> {
    format!("{}\"q'$HOME`\\n<&>%20+/=?{} é;{}", letters(9), letters(8), letters(9)).into_bytes()
}

/// Makes a value of three random lines, which ends with a line end.
pub(crate) fn multi_line() -> Vec<u8> {
    // The letters and digits of a line alternate in a fixed pattern. A purely random line would now and then look
    // like words.
    let line = || (0..5).map(|_| format!("{}7aZ", letters(2))).collect::<String>();
    format!("first={}\nsecond=\"{}\"\nthird: {}\n", line(), line(), line()).into_bytes()
}

/// Makes a private key in PEM. Its body is random, because nobody parses it.
pub(crate) fn key() -> Vec<u8> {
    use base64::Engine as _;
    let bytes: Vec<u8> = (0..384).map(|_| rand::rng().random()).collect();
    let body = base64::engine::general_purpose::STANDARD.encode(bytes);
    let mut text = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in body.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_canaries_are_alike() {
        assert_ne!(token(), token());
        assert_ne!(key(), key());
    }

    #[test]
    fn debug_shows_the_name_alone() {
        let canary = Canary::new("TOKEN", b"0123456789abcdef".to_vec());
        assert_eq!(format!("{canary:?}"), "Canary(TOKEN)");
    }
}
