//! Values whose characters are escaped in any way.
//!
//! No list of forms has every way in which writers escape. But in every escaped value there is a first character that
//! was escaped, and the characters before it stand as they are. So the search looks at each place in the text where an
//! escape may begin: which character it stands for, which values have that character, and whether the text before it is
//! the beginning of such a value. If it is, the rest of the value is read from there.

use zeroize::Zeroizing;

use super::span::Span;
use crate::spelling::{self, Place, Reach, Rest};

/// Longer values are masked in their listed forms alone, so that what is held stays bounded.
pub(super) const LONGEST_VALUE: usize = 512;

/// The longest value that is searched for in this way. Longer values are masked in their listed forms alone, so that
/// the text that is held stays bounded.
const MOST_HELD: u64 = 16 * 1024;

/// The most bytes of the text that are held while a value may go on in them.
const MOST_OPEN: usize = 64;

/// The most readings that are followed at the same time.
#[derive(Default)]
pub(super) struct Spelled {
    values: Vec<Value>,
    /// For each byte, the places in values at which the first escape may stand for it.
    by_byte: Vec<Vec<(usize, usize)>>,
    /// Whether a value has a character beyond ASCII, so that `=` may begin an escape of quoted-printable.
    has_signs: bool,
    /// The quotes and the dollar, as far as a value has them: each of these begins an escape of itself alone.
    doubled: Vec<u8>,
    before: Before,
    /// For each byte, whether a value begins with it.
    firsts: Vec<bool>,
}

/// The bytes that may stand before a value's first escape, where the value does not begin with the escape.
#[derive(Default)]
struct Before {
    /// The two bytes before the escape, one bit for each pair.
    pairs: Vec<u64>,
    /// The only byte before the escape, where this is the value's second character.
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

/// How far one stream was looked at.
#[derive(Debug, Default)]
pub(super) struct Looked {
    until: u64,
    /// The first place that a match to come may cover.
    needed: u64,
    /// Values that were read to the text's end: which, from where, and how.
    open: Vec<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    value: usize,
    start: u64,
    place: Place,
    /// Where the place's index counts from.
    base: u64,
}

impl Looked {
    /// The first place whose byte is still needed.
    pub(super) fn needed(&self) -> u64 {
        self.needed
    }
}

/// The bytes of a stream that are at hand.
pub(super) struct Text<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) base: u64,
    pub(super) rest: Rest,
}

impl Spelled {
    /// Takes values, each with the pattern that has its mark.
    pub(super) fn new(values: Vec<(Zeroizing<Vec<u8>>, usize)>) -> Self {
        let values: Vec<Value> = values.into_iter().map(|(bytes, pattern)| Value { bytes, pattern }).collect();
        let mut by_byte = vec![Vec::new(); if values.is_empty() { 0 } else { 256 }];
        let (mut has_signs, mut before) = (false, Before::default());
        for (nth, value) in values.iter().enumerate() {
            for (at, byte) in value.bytes.iter().enumerate() {
                // A writer that escapes letters and digits escapes them from the first character on.
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

    /// Looks at the text as far as it was not looked at, adds what is found, and returns the first place that a match
    /// to come may cover.
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
                // What begins here is not known yet: look again when there is more.
                looked.until = text.base + at as u64;
                undecided = self.earliest(text, at);
                break;
            }
        }
        looked.needed = looked.open.iter().map(|open| open.start).fold(undecided, u64::min);
        looked.needed
    }

    /// Finds the places where an escape may begin.
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

    /// Reads on from each value whose first escape may be at an index. False if that is not known yet.
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

    /// Whether an escape may be at an index that a value has: to read one takes as long as to pass over hundreds of
    /// bytes.
    fn may_matter(&self, text: &Text<'_>, at: usize) -> bool {
        let (before, sign) = (&text.bytes[..at], text.bytes[at]);
        match sign {
            // These stand for themselves alone.
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

    /// Finds the first place at which a value may begin whose first escape is at an index.
    fn earliest(&self, text: &Text<'_>, at: usize) -> u64 {
        let before = &text.bytes[..at];
        let all = self.by_byte.iter().flatten();
        let longest = all.filter(|(value, character)| before.ends_with(&self.values[*value].bytes[..*character]));
        let longest = longest.map(|(_, character)| *character).max().unwrap_or_default();
        text.base + (at - longest) as u64
    }
}
