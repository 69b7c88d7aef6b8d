//! Values that exist nowhere but in one test.

use std::fmt;

use rand::RngExt as _;
use rand::distr::Alphanumeric;

/// A value that one test planted: unique, of high entropy, known to its [`Oracle`](crate::Oracle).
///
/// Its `Debug` names it and does not show it, so that a failing assertion leaks nothing either.
#[derive(Clone, PartialEq, Eq)]
pub struct Canary {
    name: String,
    value: Vec<u8>,
}

impl Canary {
    pub(crate) fn new(name: &str, value: Vec<u8>) -> Self {
        Self { name: name.to_owned(), value }
    }

    /// The name it was planted under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes to plant.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The bytes to plant, as text.
    ///
    /// # Panics
    ///
    /// When the value is binary.
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

/// Makes 32 letters and digits.
pub(crate) fn token() -> Vec<u8> {
    letters(32).into_bytes()
}

/// Makes a value of all characters that quoting, escaping and encoding change, between random letters.
pub(crate) fn punctuated() -> Vec<u8> {
    format!("{}\"q'$HOME`\\n<&>%20+/=?{} é;{}", letters(9), letters(8), letters(9)).into_bytes()
}

/// Makes three lines, each telling, with a line end after the last.
pub(crate) fn multi_line() -> Vec<u8> {
    // Chance alone makes now and then what looks like words: letters and digits that hardly take turns.
    let line = || (0..5).map(|_| format!("{}7aZ", letters(2))).collect::<String>();
    format!("first={}\nsecond=\"{}\"\nthird: {}\n", line(), line(), line()).into_bytes()
}

/// Makes a private key in PEM. The body is random: nobody parses it.
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
