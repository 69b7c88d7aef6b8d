//! A redactor that masks secrets in all output for people.

mod patterns;
mod regions;
mod skim;
mod span;
mod spelled;
mod stream;
mod terminal;
mod view;
mod wrapping;

use std::sync::Arc;

pub use stream::RedactorStream;

use crate::form;
use crate::{Form, PartChoice, Parts, Searchability, SecretError, SecretName, UserSecret};
use patterns::{Evidence, Masked, Patterns};

/// The limit for the heads of all forms together, in bytes, so that a redactor fits into a small machine (S18).
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// A builder that collects the values that a [`Redactor`] masks.
#[derive(Default)]
pub struct RedactorBuilder {
    masked: Vec<Masked>,
}

impl RedactorBuilder {
    /// Makes a builder with nothing to mask.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Masks a user secret in each of its forms, as `***NAME***`.
    ///
    /// Values that [`Searchability`] leaves unprotected are not masked. All [`Parts`] of the value are masked as
    /// well. So is each line of 8 bytes or more of a value with several lines: a log may rather lose too much than
    /// show too much.
    #[must_use]
    pub fn secret(self, name: &SecretName, value: &UserSecret) -> Self {
        self.taken_apart(name, value, &Parts::of(value, &PartChoice::All))
    }

    /// Masks a user secret, the given parts of it, and its further readings.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "door 4: the redactor must know what to mask")]
    pub fn taken_apart(self, name: &SecretName, value: &UserSecret, parts: &Parts) -> Self {
        let whole = self.masked(name.as_str(), value.expose(), parts.lines_tell());
        let apart = parts
            .iter()
            .fold(whole, |builder, part| builder.masked(name.as_str(), part.value().expose(), part.lines_tell()));
        parts.readings().fold(apart, |builder, (reading, parts)| builder.taken_apart(name, reading, parts))
    }

    /// Masks any other confidential bytes in each of their forms, as `***label***`.
    #[must_use]
    pub fn mask(self, label: &str, plaintext: &[u8]) -> Self {
        self.masked(label, plaintext, true)
    }

    /// Masks any other confidential bytes and their parts. A part that is one of `others` is left out, because it has
    /// a label of its own.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "door 68: the redactor must know which parts are values of their own"
    )]
    pub fn mask_apart(self, label: &str, plaintext: &[u8], choice: &PartChoice, others: &[&[u8]]) -> Self {
        let parts = Parts::of(&UserSecret::new(plaintext.to_vec()), choice);
        let whole = self.masked(label, plaintext, parts.lines_tell());
        let own = parts.iter().filter(|part| !others.contains(&part.value().expose()));
        own.fold(whole, |builder, part| builder.masked(label, part.value().expose(), part.lines_tell()))
    }

    /// Masks a value. If `lines_tell` is false, the value contains public text as well, and none of its lines is
    /// masked alone.
    fn masked(mut self, label: &str, plaintext: &[u8], lines_tell: bool) -> Self {
        let evidence = match Searchability::of_bytes(plaintext) {
            Searchability::Empty | Searchability::Unprotected(_) => return self,
            Searchability::Weak => Evidence::Token,
            Searchability::Full => Evidence::Anywhere,
        };
        // Decimal lists are left out: any number at a line's end could begin such a list, and the redactor would have
        // to hold it back.
        let shapes = form::shapes(plaintext).into_iter().filter(|shape| shape.form() != Form::Decimal);
        let mut shapes: Vec<_> = shapes.map(|shape| (shape, evidence)).collect();
        if lines_tell {
            shapes.extend(form::plain_lines(plaintext).into_iter().map(|line| (line, Evidence::None)));
        } else {
            shapes.retain(|(shape, _)| shape.form() != Form::Line);
        }
        self.masked.push(Masked { label: label.to_owned(), shapes });
        self
    }

    /// Builds the redactor.
    ///
    /// # Errors
    ///
    /// Returns [`SecretError::TooManyForms`] if the forms have more than 16 MiB, each counted up to its 512th byte.
    /// This is enough for about 8,000 tokens.
    pub fn build(self) -> Result<Redactor, SecretError> {
        Ok(Redactor { patterns: Arc::new(Patterns::new(self.masked, MOST_BYTES)?) })
    }
}

/// Masks secrets in everything that is shown. It is immutable and cheap to clone.
///
/// - Every form of [`forms`](crate::forms) is masked, except for lists of decimal numbers, however the bytes are cut
///   into chunks.
/// - A value of up to 512 bytes is also masked if any of its characters are escaped, in any way that
///   [`spelling`](crate::spelling) reads.
/// - Matches that overlap are masked together. The mark names the match that begins first, or the longest if several
///   begin there.
/// - Values that are split by terminal escapes, carriage returns or other control characters are masked, too. So is
///   text that an encoder wrapped into lines of 16 characters or more, with or without indentation. If a line breaks
///   within the first three characters of a form, these characters stay visible: holding them back would delay nearly
///   every line.
/// - Of a form longer than 512 bytes, the first 512 bytes and as much of the rest as follows are masked, so that no
///   more than this is held back.
/// - A match contains at most 64 KiB of control characters, line ends and indentation.
/// - The mark is `***NAME***`, or `***` if the name itself would contain a value (L11).
///
/// A value in a transformation that has no form is not masked.
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
    /// Makes a redactor that masks nothing.
    #[must_use]
    pub fn none() -> Self {
        Self { patterns: Arc::default() }
    }

    /// Makes a new stream. Each source of bytes, such as one step's stdout, needs a stream of its own.
    #[must_use]
    pub fn stream(&self) -> RedactorStream {
        RedactorStream::new(Arc::clone(&self.patterns))
    }

    /// Redacts a whole text.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let bytes = self.redact_bytes(text.as_bytes());
        // A mask may have cut a character of the text around a value that is not text; the rest of such a character
        // is replaced.
        String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// Redacts bytes that are complete, so that nothing is held back.
    #[must_use]
    pub fn redact_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.stream();
        let mut out = stream.push(bytes);
        out.extend(stream.finish());
        out
    }

    /// Lists the labels of the secrets that the bytes certainly contain, each once. With this, build arguments,
    /// labels and command text are checked.
    ///
    /// The check is stricter than masking, as an audit is: a weak value counts only as a whole token, and the single
    /// lines of a value count only if they look like key material.
    #[must_use]
    pub fn labels_in(&self, bytes: &[u8]) -> Vec<&str> {
        let spans = RedactorStream::new(Arc::clone(&self.patterns)).spans_in(bytes);
        let mut labels: Vec<&str> = spans
            .into_iter()
            .filter(|span| match self.patterns.evidence(span.pattern) {
                Evidence::None => false,
                Evidence::Token => is_token(bytes, span.start, span.end),
                Evidence::Anywhere => true,
            })
            .flat_map(|span| self.patterns.labels(span.pattern))
            .map(String::as_str)
            .collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }
}

/// Whether the bytes directly before and after the span do not continue the word.
fn is_token(bytes: &[u8], start: u64, end: u64) -> bool {
    let continues = |at: Option<u64>| {
        at.and_then(|at| usize::try_from(at).ok())
            .and_then(|at| bytes.get(at))
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    };
    !continues(start.checked_sub(1)) && !continues(Some(end))
}

#[cfg(test)]
mod tests;
