//! Values whose characters are escaped in any way.
//!
//! No list of forms can hold every way in which writers escape. But each escaped value has a first character that was
//! escaped, and the characters before it are unchanged. So the search stops at each place of the text where an escape
//! may begin. It asks which character the escape stands for, which values have that character, and whether the text
//! before the escape is the beginning of such a value. If so, it reads the rest of the value from there.

use zeroize::Zeroizing;

use super::span::Span;
use crate::spelling::{self, Place, Reach, Rest};

/// The longest value that is searched for in this way. A longer value is masked only in its listed forms, so that the
/// text that is held back stays limited.
pub(super) const LONGEST_VALUE: usize = 512;

/// The most bytes of text that are held back for a value that may continue in the next piece.
const MOST_HELD: u64 = 16 * 1024;

/// The most readings that are followed from one piece to the next.
const MOST_OPEN: usize = 64;

/// The search for values whose characters are escaped.
#[derive(Default)]
pub(super) struct Spelled {
    values: Vec<Value>,
    /// For each byte, the values that contain it and the index in each: places where a value's first escape may be.
    by_byte: Vec<Vec<(usize, usize)>>,
    /// Whether a value has `=` or a character beyond ASCII, so that `=` may begin an escape of quoted-printable.
    has_signs: bool,
    /// The quotes and the dollar sign, if a value has them. Each of them only begins an escape of itself.
    doubled: Vec<u8>,
    before: Before,
    /// For each byte, whether a value begins with it.
    firsts: Vec<bool>,
}

/// The bytes that may precede a value's first escape, unless the value begins with the escape.
#[derive(Default)]
struct Before {
    /// The last two bytes before the escape, with one bit for each pair.
    pairs: Vec<u64>,
    /// The byte before an escape that is the value's second character.
    ones: Vec<bool>,
}

impl Before {
    fn add(&mut self, before: &[u8]) {
        if self.pairs.is_empty() {
            (self.pairs, self.ones) = (vec![0; 1 << 10], vec![false; 1 << 8]);
        }
        match before {
            [] => {}
            [one] => self.ones[usize::from(*one)] = true,
            [.., two, one] => self.pairs[usize::from(*two) << 2 | usize::from(*one >> 6)] |= 1 << (*one & 63),
        }
    }

    fn may_end(&self, text: &[u8]) -> bool {
        let Some(one) = text.last() else { return false };
        let is_pair = |two: u8| self.pairs[usize::from(two) << 2 | usize::from(*one >> 6)] >> (*one & 63) & 1 == 1;
        self.ones.get(usize::from(*one)) == Some(&true) || text.len() > 1 && is_pair(text[text.len() - 2])
    }
}

struct Value {
    bytes: Zeroizing<Vec<u8>>,
    pattern: usize,
}

/// The state of the search in one stream.
#[derive(Debug, Default)]
pub(super) struct Looked {
    until: u64,
    /// The first offset that a later match may cover.
    needed: u64,
    /// The values whose comparison reached the text's end.
    open: Vec<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    value: usize,
    start: u64,
    place: Place,
    /// The offset in the stream from which the index of `place` counts.
    base: u64,
}

impl Looked {
    /// Returns the first offset whose byte is still needed.
    pub(super) fn needed(&self) -> u64 {
        self.needed
    }
}

/// The bytes of a stream that are in memory.
pub(super) struct Text<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) base: u64,
    pub(super) rest: Rest,
}

impl Spelled {
    /// Makes the search for values, each with the pattern whose mark it has.
    pub(super) fn new(values: Vec<(Zeroizing<Vec<u8>>, usize)>) -> Self {
        let values: Vec<Value> = values.into_iter().map(|(bytes, pattern)| Value { bytes, pattern }).collect();
        let mut by_byte = vec![Vec::new(); if values.is_empty() { 0 } else { 256 }];
        let (mut has_signs, mut before) = (false, Before::default());
        for (nth, value) in values.iter().enumerate() {
            for (at, byte) in value.bytes.iter().enumerate() {
                // A writer that escapes letters and digits escapes the first character, too.
                if at == 0 || !byte.is_ascii_alphanumeric() {
                    by_byte[usize::from(*byte)].push((nth, at));
                    has_signs |= *byte == b'=' || !byte.is_ascii();
                    before.add(&value.bytes[..at]);
                }
            }
        }
        let has = |sign: &u8| values.iter().any(|value| value.bytes.contains(sign));
        let doubled = b"'\"$".iter().copied().filter(has).collect();
        let firsts = by_byte.iter().map(|places: &Vec<_>| places.iter().any(|(_, at)| *at == 0)).collect();
        Self { values, by_byte, has_signs, doubled, before, firsts }
    }

    /// Looks at the part of the text that is new, adds the matches to `spans`, and returns the first offset that a
    /// later match may cover.
    pub(super) fn look(&self, text: &Text<'_>, looked: &mut Looked, spans: &mut Vec<Span>) -> u64 {
        let end = text.base + text.bytes.len() as u64;
        looked.needed = end;
        if self.values.is_empty() {
            return end;
        }
        for open in std::mem::take(&mut looked.open) {
            let Some(at) = (open.base + open.place.at as u64).checked_sub(text.base) else { continue };
            let place = Place { at: usize::try_from(at).unwrap_or(usize::MAX), ..open.place };
            self.read(text, open.value, open.start, place, looked, spans);
        }
        let from = usize::try_from(looked.until.saturating_sub(text.base)).unwrap_or_default();
        let mut undecided = end;
        looked.until = end;
        for at in self.signs(&text.bytes[from.min(text.bytes.len())..]) {
            let at = from + at;
            if !self.begin(text, at, looked, spans) {
                // More bytes are needed to read this escape, so the next call looks at it again.
                looked.until = text.base + at as u64;
                undecided = self.earliest(text, at);
                break;
            }
        }
        looked.needed = looked.open.iter().map(|open| open.start).fold(undecided, u64::min);
        looked.needed
    }

    /// Finds the indexes where an escape may begin.
    fn signs<'t>(&self, text: &'t [u8]) -> impl Iterator<Item = usize> + use<'t> {
        let mut signs: Vec<usize> = memchr::memchr3_iter(b'\\', b'%', b'&', text).collect();
        let plain = signs.len();
        let is_one = |at: &usize| match (text[*at], text.get(at + 1)) {
            (_, None) => true,
            (b'$', Some(next)) => *next == b'$',
            (b'=', Some(next)) => next.is_ascii_hexdigit() && !next.is_ascii_lowercase(),
            (_, Some(next)) => matches!(next, b'\'' | b'"' | b'\\'),
        };
        match *self.doubled.as_slice() {
            [one] => signs.extend(memchr::memchr_iter(one, text).filter(is_one)),
            [one, two] => signs.extend(memchr::memchr2_iter(one, two, text).filter(is_one)),
            [one, two, three] => signs.extend(memchr::memchr3_iter(one, two, three, text).filter(is_one)),
            _ => {}
        }
        if self.has_signs {
            signs.extend(memchr::memchr_iter(b'=', text).filter(is_one));
        }
        if signs.len() > plain && plain > 0 {
            signs.sort_unstable();
        }
        signs.into_iter()
    }

    /// Reads on from each value whose first escape may be at an index. Returns false if more bytes are needed to know
    /// this.
    fn begin(&self, text: &Text<'_>, at: usize, looked: &mut Looked, spans: &mut Vec<Span>) -> bool {
        if !self.may_matter(text, at) {
            return true;
        }
        let mut codes = [0_u8; 16];
        let mut count = 0;
        let is_whole = spelling::first_bytes(text.bytes, at, text.rest, &mut |byte| {
            if count < codes.len() && !codes[..count].contains(&byte) {
                codes[count] = byte;
                count += 1;
            }
        });
        if !is_whole && text.rest == Rest::MayFollow {
            return false;
        }
        for byte in &codes[..count] {
            for (value, character) in &self.by_byte[usize::from(*byte)] {
                let bytes = &self.values[*value].bytes;
                if text.bytes[..at].ends_with(&bytes[..*character]) {
                    let start = text.base + (at - character) as u64;
                    self.read(text, *value, start, Place::new(*character, at), looked, spans);
                }
            }
        }
        true
    }

    /// Whether one of the values may have an escape at this index. This check comes first because reading an escape
    /// takes as long as passing over hundreds of bytes.
    fn may_matter(&self, text: &Text<'_>, at: usize) -> bool {
        let (before, sign) = (&text.bytes[..at], text.bytes[at]);
        match sign {
            // Such a character only begins an escape of itself.
            b'\'' | b'"' | b'$' => self.firsts[usize::from(sign)] || self.before.may_end(before),
            _ => spelling::looks_like_one(text.bytes, at),
        }
    }

    fn read(&self, text: &Text<'_>, value: usize, start: u64, from: Place, looked: &mut Looked, spans: &mut Vec<Span>) {
        let Value { bytes, pattern } = &self.values[value];
        match spelling::forward(bytes, text.bytes, from, text.rest) {
            Reach::End(place) => {
                spans.push(Span { start, end: text.base + place.at as u64, pattern: *pattern });
            }
            Reach::Difference => {}
            Reach::Open(place) => {
                let held = text.base + text.bytes.len() as u64 - start;
                if held <= MOST_HELD && looked.open.len() < MOST_OPEN {
                    looked.open.push(Open { value, start, place, base: text.base });
                }
            }
        }
    }

    /// Finds the first offset at which a value may begin whose first escape is at an index.
    fn earliest(&self, text: &Text<'_>, at: usize) -> u64 {
        let before = &text.bytes[..at];
        let all = self.by_byte.iter().flatten();
        let longest = all.filter(|(value, character)| before.ends_with(&self.values[*value].bytes[..*character]));
        let longest = longest.map(|(_, character)| *character).max().unwrap_or_default();
        text.base + (at - longest) as u64
    }
}
