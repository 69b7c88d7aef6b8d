//! Compares a value with a text character by character. The text may write each character as itself or with any
//! escape that writers use.
//!
//! Nobody can list all programs that escape, and each of them escapes other characters; but the syntax of the escapes
//! is known. So this module does not guess how some writer would have escaped the whole value, but reads the text:
//! [`forward`] and [`backward`] walk from a place in both directions, and at each step the text may write the value's
//! next character in any way that `escape` knows, escapes of escapes included. Where a text can be read in several
//! ways (`''` is two quotes, or one that is doubled), all readings are followed, so this also works for a value that
//! looks like an escape itself. Between two characters, the text may contain the traces of terminals and line breaks
//! that `gap` knows.
//!
//! The search and the redactor both read texts with this module, so their results cannot differ.

mod escape;
mod gap;
mod name;
mod rest;
mod written;

pub use escape::{Cut, Escapes, LONGEST_ESCAPE, escaped_one_of};
pub use rest::Rest;
pub use written::{aligned, spellings, wholly_escaped};

pub(crate) use escape::looks_like_one;
use escape::{Code, Unit};

/// A place between two characters of a value and of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the value's bytes before the place.
    pub character: usize,
    /// The number of the text's bytes before the place.
    pub at: usize,
    /// How the characters that were compared so far are written.
    pub escapes: Escapes,
}

impl Place {
    /// Makes a place where nothing has been compared yet.
    #[must_use]
    pub fn new(character: usize, at: usize) -> Self {
        Self { character, at, escapes: Escapes::default() }
    }
}

/// The point at which a comparison stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The whole value matches. The comparison stopped at this place.
    End(Place),
    /// A difference.
    Difference,
    /// The text's end; the comparison can continue from this place once there is more text.
    Open(Place),
}

/// The maximal number of readings of one text that are followed at once. If there are more, the first ones, which are
/// the plainest, are followed.
const MOST_READINGS: usize = 12;

/// The number of bytes that may be compared again when a text that was cut goes on.
const MOST_COMPARED_TWICE: usize = 2048;

/// The places that the readings have reached, each once.
struct Readings {
    places: [Place; MOST_READINGS],
    count: usize,
}

impl Readings {
    fn new(place: Place) -> Self {
        Self { places: [place; MOST_READINGS], count: 1 }
    }

    fn add(&mut self, place: Place) {
        let known =
            self.places[..self.count].iter_mut().find(|one| (one.character, one.at) == (place.character, place.at));
        match known {
            Some(known) => known.escapes = known.escapes.fewer(place.escapes),
            None if self.count < MOST_READINGS => {
                self.places[self.count] = place;
                self.count += 1;
            }
            None => {}
        }
    }

    /// Takes out the place with the lowest rank.
    fn take(&mut self, rank: impl Fn(&Place) -> usize) -> Option<Place> {
        let first = (0..self.count).min_by_key(|at| rank(&self.places[*at]))?;
        self.count -= 1;
        self.places.swap(first, self.count);
        Some(self.places[self.count])
    }
}

/// Compares the value with the text, both from a place on.
#[must_use]
pub fn forward(value: &[u8], text: &[u8], from: Place, rest: Rest) -> Reach {
    let left = value.get(from.character..).unwrap_or_default();
    let here = text.get(from.at..).unwrap_or_default();
    if here.starts_with(left) {
        // No other reading of the text is shorter.
        return Reach::End(Place { character: value.len(), at: from.at + left.len(), ..from });
    }
    if rest == Rest::MayFollow && left.starts_with(here) {
        // The bytes that are already equal are skipped, so that a long value in plain text is not compared twice.
        let passed = here.len().saturating_sub(LONGEST_ESCAPE);
        let passed = if passed < MOST_COMPARED_TWICE { 0 } else { passed };
        return Reach::Open(Place { character: from.character + passed, at: from.at + passed, ..from });
    }
    let mut readings = Readings::new(from);
    // At `sure` there is only one reading, so if later bytes are unknown, the comparison can start again there.
    let mut sure = from;
    let mut end: Option<Place> = None;
    while let Some(mut place) = readings.take(|place| place.character) {
        if readings.count == 0 && end.is_none() {
            // Letters and digits never begin an escape or a gap, so there is no other way to read them.
            while let (Some(byte), Some(written)) = (value.get(place.character), text.get(place.at))
                && byte == written
                && byte.is_ascii_alphanumeric()
            {
                (place.character, place.at) = (place.character + 1, place.at + 1);
            }
            sure = place;
            if let ([last], Some(written)) = (&value[place.character.min(value.len())..], text.get(place.at))
                && last == written
            {
                // No other reading of the text is shorter.
                return Reach::End(Place { character: value.len(), at: place.at + 1, ..place });
            }
        }
        if place.character >= value.len() {
            // The plainest reading is the shortest one.
            end = Some(end.filter(|end| end.at <= place.at).unwrap_or(place));
            continue;
        }
        if !step(value, text, place, rest, &mut readings) && rest == Rest::MayFollow {
            match end {
                // This place is not before the known end, so no reading that continues from it can end earlier.
                Some(end) if end.at <= place.at => {}
                _ => return Reach::Open(sure),
            }
        }
    }
    end.map_or(Reach::Difference, Reach::End)
}

/// Adds every place that one step from `place` can lead to: after the next character, in each spelling of it that the
/// text allows, or after a gap before that character. Returns false if the text is too short to know all of these
/// places.
fn step(value: &[u8], text: &[u8], place: Place, rest: Rest, readings: &mut Readings) -> bool {
    let Some(byte) = text.get(place.at) else { return false };
    let wanted = &value[place.character..];
    if *byte == wanted[0] {
        readings.add(Place { character: place.character + 1, at: place.at + 1, ..place });
    }
    if !escape::may_begin(*byte) {
        return true;
    }
    let mut is_whole = true;
    is_whole &= escape::units(text, place.at, rest, &mut |unit: Unit| {
        if let Some(length) = unit.code.length_in(wanted) {
            let escapes = place.escapes.with(unit.escapes);
            readings.add(Place { character: place.character + length, at: unit.end, escapes });
        }
    });
    is_whole &= gap::each(text, place.at, &mut |end| readings.add(Place { at: end, ..place }));
    is_whole
}

/// Calls `each` with the first byte of each character that an escape at an index may stand for. Returns false if more
/// bytes are needed to know all of these characters.
pub fn first_bytes(text: &[u8], at: usize, rest: Rest, each: &mut dyn FnMut(u8)) -> bool {
    escape::units(text, at, rest, &mut |unit: Unit| each(unit.code.first_byte()))
}

/// Compares the part of the value before a place with the text before the place. Returns the place where the value
/// begins.
#[must_use]
pub fn backward(value: &[u8], text: &[u8], from: Place) -> Option<Place> {
    let mut readings = Readings::new(from);
    let mut begin: Option<Place> = None;
    while let Some(place) = readings.take(|place| usize::MAX - place.character) {
        if place.character == 0 {
            // The plainest reading is the shortest one.
            begin = Some(begin.filter(|begin| begin.at >= place.at).unwrap_or(place));
        } else {
            step_back(&value[..place.character], text, place, &mut readings);
        }
    }
    begin
}

/// Adds every place that one step back from `place` can lead to: before the last character, in each spelling of it
/// that the text allows, or before a gap after that character.
fn step_back(wanted: &[u8], text: &[u8], place: Place, readings: &mut Readings) {
    let Some(last) = place.at.checked_sub(1) else { return };
    if wanted.last() == Some(&text[last]) {
        readings.add(Place { character: place.character - 1, at: last, ..place });
    }
    let farthest = place.at.saturating_sub(farthest_back(&text[..place.at]));
    for at in (farthest..place.at).filter(|at| escape::may_begin(text[*at])) {
        escape::units(text, at, Rest::Over, &mut |unit: Unit| {
            if unit.end == place.at
                && let Some(length) = unit.code.length_before(wanted)
            {
                let escapes = place.escapes.with(unit.escapes);
                readings.add(Place { character: place.character - length, at, escapes });
            }
        });
        gap::each(text, at, &mut |end| {
            if end == place.at {
                readings.add(Place { at, ..place });
            }
        });
    }
}

/// Returns the greatest length that an escape or a gap at the text's end can have.
fn farthest_back(text: &[u8]) -> usize {
    match text {
        [.., 0x07 | b'\\'] | [.., b'0', b'7'] | [.., b'\\', b'a'] => gap::LONGEST,
        [.., b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'] => LONGEST_ESCAPE / 2,
        [.., 0x80..=0xff] => 0,
        _ => LONGEST_ESCAPE,
    }
}

impl Code {
    /// Counts the bytes of the code at the value's beginning. Returns `None` if the value does not begin with the
    /// code.
    fn length_in(self, value: &[u8]) -> Option<usize> {
        self.bytes(|bytes| value.starts_with(bytes))
    }

    fn first_byte(self) -> u8 {
        match self {
            Self::Byte(byte) => byte,
            Self::Char(c) => {
                let mut utf8 = [0; 4];
                c.encode_utf8(&mut utf8);
                utf8[0]
            }
        }
    }

    fn length_before(self, value: &[u8]) -> Option<usize> {
        self.bytes(|bytes| value.ends_with(bytes))
    }
}

#[cfg(test)]
mod tests;
