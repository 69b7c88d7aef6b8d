//! One redactor for every byte that reaches a person.

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

/// The forms' heads take no more than this together, so that they fit a small machine (S18).
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Collects what a [`Redactor`] masks.
#[derive(Default)]
pub struct RedactorBuilder {
    masked: Vec<Masked>,
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
    /// bytes or more is masked as well: in a log, too much is better than too little. So are all its [`Parts`].
    #[must_use]
    pub fn secret(self, name: &SecretName, value: &UserSecret) -> Self {
        self.taken_apart(name, value, &Parts::of(value, &PartChoice::All))
    }

    /// Masks a user secret, those parts of it, and its further readings.
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

    /// Masks any other confidential bytes, and those of their parts that are not a value of `others`: what has a label
    /// of its own is not masked under two.
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

    /// Masks a value. If it holds public text as well, none of its lines is masked alone.
    fn masked(mut self, label: &str, plaintext: &[u8], lines_tell: bool) -> Self {
        let evidence = match Searchability::of_bytes(plaintext) {
            Searchability::Empty | Searchability::Unprotected(_) => return self,
            Searchability::Weak => Evidence::Token,
            Searchability::Full => Evidence::Anywhere,
        };
        // Any number at a line's end could begin a list of numbers, and would be held.
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
    /// [`SecretError::TooManyForms`] past 16 MiB of forms, each counted up to its 512th byte: some 8,000 tokens.
    pub fn build(self) -> Result<Redactor, SecretError> {
        Ok(Redactor { patterns: Arc::new(Patterns::new(self.masked, MOST_BYTES)?) })
    }
}

/// Masks secrets in everything that is shown; immutable and cheap to clone.
///
/// - Exact for every form of [`forms`](crate::forms) but lists of decimal numbers, however the bytes are cut into
///   chunks.
/// - A value of up to 512 bytes is also masked with any of its characters escaped in any way that
///   [`spelling`](crate::spelling) reads.
/// - Matches that overlap are masked together; the mark names the one that begins first, the longest of those.
/// - Also finds values that are split by terminal escapes, carriage returns or other control characters, and text that
///   an encoder wrapped into lines of 16 characters or more, with or without indentation. Where a line breaks within
///   the first three characters of a form, those stay, for holding them would delay nearly every line.
/// - Of forms longer than 512 bytes, the first 512 and as much of the rest as follows is masked, so that no more than
///   that is held back.
/// - A match has at most 64 KiB of such control, line ends and indentation in between.
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
    /// Makes a redactor that masks nothing.
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

    /// Lists the labels of the secrets that the bytes surely hold, each once: the guard over build arguments, labels
    /// and command text.
    ///
    /// Stricter than masking, as an audit is: a weak value counts as a whole token only, and of a value with several
    /// lines no line that stands in innocent text as well.
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

/// Whether neither neighbour continues the word.
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
