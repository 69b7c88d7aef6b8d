//! One shape to search for, and its comparison with a text: from an anchor in both directions, by the rules of the
//! shape's layout.

use psecret::spelling::{self, Place, Reach, Rest};
use psecret::{Edge, Layout, Shape};
use zeroize::Zeroizing;

use crate::encoded::Encoded;
use crate::text::{self, LONGEST_GAP, Unit};

/// A compiled shape.
pub(crate) struct Pattern {
    bytes: Zeroizing<Vec<u8>>,
    layout: Layout,
    before: Option<Edge>,
    after: Option<Edge>,
    /// The value that these characters are base64 of a piece of, if the rest of it may be escaped within the
    /// encoding.
    encoded: Option<Encoded>,
}

impl Pattern {
    /// Makes the pattern of a shape. A weak value is compared exactly, because it only counts as a whole token.
    #[expect(clippy::disallowed_methods, reason = "door 10: the search must know what to seek")]
    pub(crate) fn new(shape: &Shape, weak: bool) -> Self {
        let layout = if weak { Layout::Exact } else { shape.layout() };
        let mut bytes = shape.expose();
        while let (Layout::Wrapped, [rest @ .., b'=']) = (layout, bytes) {
            bytes = rest;
        }
        let (before, after) = shape.edges();
        Self { bytes: Zeroizing::new(bytes.to_vec()), layout, before, after, encoded: None }
    }

    /// Makes the patterns for base64 of a text that may spell this pattern with escapes. There are none if no
    /// character of the pattern would be escaped, or if it has no piece that is never escaped.
    pub(crate) fn encoded(&self) -> Vec<Self> {
        if self.layout != Layout::Spelled || self.bytes.iter().all(u8::is_ascii_alphanumeric) {
            return Vec::new();
        }
        let whole = |(bytes, encoded): (Zeroizing<Vec<u8>>, Encoded)| Self {
            bytes,
            layout: Layout::Wrapped,
            before: None,
            after: None,
            encoded: Some(encoded),
        };
        Encoded::all(&self.bytes).into_iter().map(whole).collect()
    }

    /// Makes a pattern that is never compared.
    pub(crate) fn nothing() -> Self {
        Self { bytes: Zeroizing::default(), layout: Layout::Exact, before: None, after: None, encoded: None }
    }

    /// Returns the characters that are compared whole.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Returns a key that is equal for two patterns that search for the same text.
    pub(crate) fn key(&self) -> impl Ord {
        (self.bytes.as_slice(), self.layout, self.before, self.after, self.encoded.as_ref().map(Encoded::key))
    }

    /// Compares the pattern with the text, both from a place on.
    pub(crate) fn forward(&self, text: &[u8], from: Place, rest: Rest) -> Reach {
        if let Some(encoded) = &self.encoded {
            return encoded.forward(text, from, rest);
        }
        if self.layout == Layout::Spelled {
            return spelling::forward(&self.bytes, text, from, rest);
        }
        let Place { mut character, mut at, escapes } = from;
        if self.layout == Layout::Exact && character < self.bytes.len() {
            let (left, bytes) = (&self.bytes[character..], text.get(at..).unwrap_or_default());
            let count = left.len().min(bytes.len());
            if left[..count] != bytes[..count] {
                return Reach::Difference;
            }
            character += count;
            at += count;
            if count < left.len() {
                return Reach::Open(Place { character, at, escapes });
            }
        }
        loop {
            let wanted = match (self.bytes.get(character), self.after) {
                (Some(byte), _) => Wanted::Byte(*byte),
                (None, Some(edge)) if character == self.bytes.len() => Wanted::Edge(edge),
                (None, _) => return Reach::End(Place { character, at, escapes }),
            };
            match self.step(wanted, self.next(text, at)) {
                Step::Taken(other_side) => (character, at) = (character + 1, other_side),
                Step::Skipped(other_side) => at = other_side,
                Step::Difference => return Reach::Difference,
                Step::Unknown => return Reach::Open(Place { character, at, escapes }),
            }
        }
    }

    /// Compares the part of the pattern before a place with the text before the place. Returns the place where the
    /// pattern begins.
    pub(crate) fn backward(&self, text: &[u8], from: Place) -> Option<Place> {
        if let Some(encoded) = &self.encoded {
            return encoded.backward(text, from);
        }
        if self.layout == Layout::Spelled {
            return spelling::backward(&self.bytes, text, from);
        }
        let Place { mut character, mut at, escapes } = from;
        if self.layout == Layout::Exact {
            let begin = at.checked_sub(character)?;
            if text.get(begin..at)? != &self.bytes[..character] {
                return None;
            }
            (character, at) = (0, begin);
        }
        loop {
            let wanted = match (character.checked_sub(1), self.before) {
                (Some(before), _) => Wanted::Byte(self.bytes[before]),
                (None, Some(edge)) => Wanted::Edge(edge),
                (None, None) => return Some(Place { character, at, escapes }),
            };
            match self.step(wanted, self.previous(text, at)) {
                Step::Taken(other_side) => match character.checked_sub(1) {
                    Some(before) => (character, at) = (before, other_side),
                    None => return Some(Place { character, at: other_side, escapes }),
                },
                Step::Skipped(other_side) => at = other_side,
                Step::Difference | Step::Unknown => return None,
            }
        }
    }

    fn step(&self, wanted: Wanted, unit: Unit) -> Step {
        match (wanted, unit) {
            (_, Unit::Unknown) => Step::Unknown,
            (Wanted::Byte(b'\n'), Unit::Gap { breaks: true, other_side }) if self.layout == Layout::Lines => {
                Step::Taken(other_side)
            }
            (Wanted::Byte(b' '), Unit::Gap { other_side, .. }) if self.layout == Layout::Wrapped => {
                Step::Taken(other_side)
            }
            (_, Unit::Gap { breaks: true, other_side }) if self.layout == Layout::Wrapped => Step::Skipped(other_side),
            (_, Unit::Gap { .. }) => Step::Difference,
            (Wanted::Byte(byte), Unit::Char(character, other_side)) if byte == character => Step::Taken(other_side),
            (Wanted::Edge(edge), Unit::Char(character, other_side)) if edge.admits(character) => {
                Step::Taken(other_side)
            }
            (_, Unit::Char(..)) => Step::Difference,
        }
    }

    fn next(&self, text: &[u8], at: usize) -> Unit {
        match self.layout {
            Layout::Wrapped => text::next(text, at),
            Layout::Exact | Layout::Spelled => text.get(at).map_or(Unit::Unknown, |byte| Unit::Char(*byte, at + 1)),
            Layout::Lines => line_unit(text.get(at..).unwrap_or_default().iter(), |length| at + length),
        }
    }

    fn previous(&self, text: &[u8], end: usize) -> Unit {
        match self.layout {
            Layout::Wrapped => text::previous(text, end),
            Layout::Exact | Layout::Spelled => match end.checked_sub(1) {
                Some(before) => Unit::Char(text[before], before),
                None => Unit::Unknown,
            },
            Layout::Lines => line_unit(text[..end].iter().rev(), |length| end - length),
        }
    }
}

/// Reads a character, or the blanks and line ends around a line end. Blanks without a line end are characters.
fn line_unit<'a>(bytes: impl Iterator<Item = &'a u8> + Clone, index: impl Fn(usize) -> usize) -> Unit {
    let mut length = 0;
    let mut breaks = false;
    for byte in bytes.clone().take(LONGEST_GAP) {
        match byte {
            b' ' | b'\t' | b'\r' => {}
            b'\n' => breaks = true,
            _ if breaks => return Unit::Gap { breaks, other_side: index(length) },
            _ => return Unit::Char(*bytes.clone().next().unwrap_or(byte), index(1)),
        }
        length += 1;
    }
    match bytes.clone().next() {
        Some(byte) if length == LONGEST_GAP => Unit::Char(*byte, index(1)),
        _ => Unit::Unknown,
    }
}

/// The next item of the pattern that the text must match.
enum Wanted {
    Byte(u8),
    Edge(Edge),
}

enum Step {
    /// The text has the character; the comparison continues after it.
    Taken(usize),
    /// The text has a gap; the character may follow it.
    Skipped(usize),
    Difference,
    Unknown,
}
