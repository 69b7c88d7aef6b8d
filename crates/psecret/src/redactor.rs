//! One redactor for every byte that reaches a person.

mod patterns;
mod skim;
mod stream;
mod terminal;
mod view;

use std::sync::Arc;

pub use stream::RedactorStream;

use crate::form::{self, Shape};
use crate::{Searchability, SecretError, SecretName, UserSecret};
use patterns::Patterns;

/// Collects what a [`Redactor`] masks.
#[derive(Default)]
pub struct RedactorBuilder {
    masked: Vec<(String, Vec<Shape>)>,
}

impl RedactorBuilder {
    /// Begins with nothing to mask.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Masks a user secret in each of its forms, as `***NAME***`.
    ///
    /// Values that [`Searchability`] leaves unprotected are not masked. Of a value with several lines, each line of 8
    /// bytes or more is masked as well: in a log, too much is better than too little.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "door 4: the redactor must know what to mask")]
    pub fn secret(self, name: &SecretName, value: &UserSecret) -> Self {
        self.mask(name.as_str(), value.expose())
    }

    /// Masks any other confidential bytes in each of their forms, as `***label***`.
    #[must_use]
    pub fn mask(mut self, label: &str, plaintext: &[u8]) -> Self {
        if Searchability::of_bytes(plaintext).is_searched() {
            let mut shapes = form::shapes(plaintext);
            shapes.extend(form::plain_lines(plaintext));
            self.masked.push((label.to_owned(), shapes));
        }
        self
    }

    /// Builds the redactor.
    ///
    /// # Errors
    ///
    /// [`SecretError::TooManyForms`] when the forms exceed what one automaton holds (2³¹ states).
    pub fn build(self) -> Result<Redactor, SecretError> {
        Ok(Redactor { patterns: Arc::new(Patterns::new(self.masked)?) })
    }
}

/// Masks secrets in everything that is shown; immutable and cheap to clone.
///
/// - Exact for every form of [`forms`](crate::forms), however the bytes are cut into chunks.
/// - Matches that overlap are masked together; the mark names the one that begins first, the longest of those.
/// - Also finds values that are split by terminal escapes, carriage returns or other control characters, and text that
///   an encoder wrapped into lines of 16 characters or more, with or without indentation.
/// - Of forms longer than 512 bytes, the first 512 and as much of the rest as follows is masked, so that no more than
///   that is held back.
/// - The mark is `***NAME***`, or `***` where that would itself hold a value (L11).
///
/// It is a net, not a wall: transformations without a form pass.
///
/// ```
/// let name = psecret::SecretName::parse("TOKEN")?;
/// let value = psecret::UserSecret::new(b"hunter2-hunter2".to_vec());
/// let redactor = psecret::RedactorBuilder::new().secret(&name, &value).build()?;
/// assert_eq!(redactor.redact("login hunter2-hunter2 ok"), "login ***TOKEN*** ok");
///
/// let mut stream = redactor.stream();
/// assert_eq!(stream.push(b"login hunter2-"), b"login ");
/// assert_eq!(stream.push(b"hunter2 ok"), b"***TOKEN*** ok");
/// assert_eq!(stream.finish(), b"");
/// # Ok::<(), psecret::SecretError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Redactor {
    patterns: Arc<Patterns>,
}

impl Redactor {
    /// A redactor that masks nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { patterns: Arc::default() }
    }

    /// A fresh stream: one per source of bytes, such as one step's stdout.
    #[must_use]
    pub fn stream(&self) -> RedactorStream {
        RedactorStream::new(Arc::clone(&self.patterns))
    }

    /// Redacts a whole text.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let bytes = self.redact_bytes(text.as_bytes());
        // A value that is not text may have ended within a character; what is left of it is replaced.
        String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// Redacts bytes that are not cut any further.
    #[must_use]
    pub fn redact_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.stream();
        let mut out = stream.push(bytes);
        out.extend(stream.finish());
        out
    }

    /// The labels of what the bytes hold, each once: the guard over build arguments, labels and command text.
    #[must_use]
    pub fn labels_in(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found: Vec<usize> = RedactorStream::new(Arc::clone(&self.patterns)).marks_in(bytes);
        found.sort_unstable();
        found.dedup();
        let mut labels: Vec<&str> =
            found.into_iter().flat_map(|mark| self.patterns.labels(mark)).map(String::as_str).collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }
}

#[cfg(test)]
mod tests;
