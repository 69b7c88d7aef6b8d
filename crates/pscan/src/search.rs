//! A search over one stream, however it is cut.

use std::collections::BTreeSet;

use psecret::spelling::{Place, Reach, Rest};
use psecret::{Form, SecretName};
use zeroize::Zeroizing;

use crate::automaton::State;
use crate::filter::Anchor;
use crate::needle::NeedleSet;
use crate::packed::{self, Packed};

/// How many needles that go on behind the arrived bytes may be under comparison at once. A needle that repeats itself
/// can begin at every byte. Past this number, the arrived bytes of a needle count as a hit, so that time stays linear
/// and nothing is missed.
const MOST_OPEN: usize = 256;

/// What is kept before a place, to compare what stands there: the beginning of a needle, line breaks included.
const BEHIND: usize = 4096;

/// What must be known behind a place before it is judged, so that most needles are compared at once. Less than a tar's
/// block: what ends with a file is told before the next file is named, which is when its header has arrived.
const AHEAD: usize = 496;

/// The most packed texts that are unpacked at once. A packed text that begins meanwhile is searched as the text it is.
const MOST_PACKED: usize = 4;

/// Packed texts within packed texts are opened this deep.
const DEEPEST: usize = 2;

/// How much is searched at once: it stays in the processor's cache.
const PIECE: usize = 64 << 10;

/// Finds needles in a stream that arrives in chunks; the findings do not depend on how it is cut.
pub struct Searcher<'n> {
    needles: &'n NeedleSet,
    state: Option<State>,
    /// The end of the stream as far as it arrived, and enough of what comes before.
    buffer: Zeroizing<Vec<u8>>,
    /// The offset of the buffer's first byte in the stream, a multiple of eight.
    base: u64,
    /// The index of the first byte that was not searched, a multiple of eight.
    from: usize,
    open: Vec<Open>,
    /// Where which needle was already compared: one place of a needle has several anchors.
    compared: BTreeSet<(u64, usize)>,
    /// The packed texts that were met, as far as they were unpacked.
    packed: Vec<Packed<'n>>,
    /// How many texts this one was packed in.
    depth: usize,
}

/// A needle that goes on behind the bytes that arrived.
struct Open {
    needle: usize,
    start: u64,
    /// Where the comparison goes on. The index counts from the stream's beginning as long as the needle waits: the
    /// bytes before it may be forgotten.
    place: Place,
    base: u64,
}

/// A needle seen in a stream.
#[derive(Clone, Copy)]
pub struct Hit<'n> {
    needles: &'n NeedleSet,
    pub(crate) needle: usize,
    start: u64,
    end: u64,
}

impl NeedleSet {
    /// Makes the hit of a needle within something packed that lies there in the text.
    fn packed_hit(&self, needle: usize, start: u64, end: u64) -> Hit<'_> {
        Hit { needles: self, needle: self.told_by(needle, Form::Base64OfGzip), start, end }
    }
}

impl<'n> Hit<'n> {
    /// The names of the secrets whose value was seen; several when they have one value.
    pub fn names(&self) -> impl Iterator<Item = &'n SecretName> + use<'n> {
        self.needles.names(self.needles.needle(self.needle).owner)
    }

    /// The part of the first of them that was seen; `None` for the whole of it.
    #[must_use]
    pub fn part(&self) -> Option<&'n str> {
        self.needles.part(self.owner())
    }

    /// The form it was seen in.
    #[must_use]
    pub fn form(&self) -> Form {
        self.needles.needle(self.needle).form
    }

    /// The offset of its first byte in the stream.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The offset behind its last byte.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn needle(&self) -> usize {
        self.needle
    }

    pub(crate) fn owner(&self) -> usize {
        self.needles.needle(self.needle).owner
    }
}

impl<'n> Searcher<'n> {
    /// Begins a search over one stream.
    #[must_use]
    pub fn new(needles: &'n NeedleSet) -> Self {
        Self::inside(needles, 0)
    }

    /// Makes a search over a text that was packed so deep in another text.
    fn inside(needles: &'n NeedleSet, depth: usize) -> Self {
        Self {
            needles,
            packed: Vec::new(),
            depth,
            state: needles.automaton().map(|automaton| automaton.start()),
            buffer: Zeroizing::default(),
            base: 0,
            from: 0,
            open: Vec::new(),
            compared: BTreeSet::new(),
        }
    }

    /// Searches the next chunk. `found` gets each needle seen, overlapping ones too.
    ///
    /// Needles are told half a kilobyte behind their end at the latest, or by [`finish`](Self::finish); the order of
    /// needles that stand closer together than that is not theirs in the stream.
    pub fn push(&mut self, bytes: &[u8], found: &mut dyn FnMut(Hit<'n>)) {
        if self.needles.is_empty() {
            return;
        }
        for piece in bytes.chunks(PIECE) {
            self.buffer.extend_from_slice(piece);
            let known = self.buffer.len().saturating_sub(AHEAD) & !7;
            self.advance(known, Rest::MayFollow, found);
            self.forget();
        }
    }

    /// Ends the search and begins a new one.
    pub fn finish(&mut self, found: &mut dyn FnMut(Hit<'n>)) {
        self.advance(self.buffer.len(), Rest::Over, found);
        for packed in std::mem::take(&mut self.packed) {
            let (start, end) = (packed.start, packed.at);
            packed.finish(&mut |needle| found(self.needles.packed_hit(needle, start, end)));
        }
        *self = Self { buffer: std::mem::take(&mut self.buffer), ..Self::inside(self.needles, self.depth) };
        self.buffer.clear();
    }

    /// Searches up to an index of the buffer.
    fn advance(&mut self, to: usize, rest: Rest, found: &mut dyn FnMut(Hit<'n>)) {
        let (needles, buffer, base) = (self.needles, self.buffer.as_slice(), self.base);
        let compared = &mut self.compared;
        let mut judge = Judge { needles, buffer, base, rest, open: Vec::new(), compared, found };
        for open in self.open.drain(..) {
            judge.go_on(&open);
        }
        if to > self.from {
            needles.wide().scan(buffer, self.from, to, &mut |anchor, at| judge.candidate(anchor, at));
            needles.narrow().scan(buffer, self.from, to, &mut |anchor, at| judge.candidate(anchor, at));
            if let (Some(automaton), Some(state)) = (needles.automaton(), self.state) {
                let from = self.from;
                self.state = Some(automaton.run(state, &buffer[from..to], |anchor, length, end| {
                    judge.candidate(anchor, from + end - length);
                }));
            }
            self.open = judge.open;
            self.unpack(to, found);
            self.from = to;
        } else {
            self.open = judge.open;
        }
    }

    /// Goes on with what is packed, and begins with what begins before an index of the buffer.
    fn unpack(&mut self, to: usize, found: &mut dyn FnMut(Hit<'n>)) {
        let (needles, base) = (self.needles, self.base);
        let text = self.buffer.as_slice();
        if self.depth < DEEPEST {
            for beginning in packed::beginnings(&text[self.from..text.len().min(to + packed::LONGEST_BEGINNING)]) {
                if beginning.at < to - self.from && self.packed.len() < MOST_PACKED {
                    let inner = Self::inside(needles, self.depth + 1);
                    self.packed.push(Packed::new(&beginning, base + self.from as u64, inner));
                }
            }
        }
        for mut packed in std::mem::take(&mut self.packed) {
            let start = packed.start;
            let mut seen = Vec::new();
            let goes_on = packed.read(text, base, &mut |needle| seen.push(needle));
            let end = packed.at;
            if goes_on {
                self.packed.push(packed);
            } else {
                packed.finish(&mut |needle| seen.push(needle));
            }
            seen.into_iter().for_each(|needle| found(needles.packed_hit(needle, start, end)));
        }
    }

    /// Drops what no needle can reach back to, once it is worth the while.
    fn forget(&mut self) {
        let passed = self.from.saturating_sub(BEHIND) & !7;
        if passed >= PIECE / 2 {
            self.buffer.drain(..passed);
            self.base += passed as u64;
            self.from -= passed;
            self.compared = self.compared.split_off(&(self.base, 0));
        }
    }
}

/// Compares whole needles with the text about their anchors.
struct Judge<'a, 'n> {
    needles: &'n NeedleSet,
    buffer: &'a [u8],
    base: u64,
    rest: Rest,
    open: Vec<Open>,
    compared: &'a mut BTreeSet<(u64, usize)>,
    found: &'a mut dyn FnMut(Hit<'n>),
}

impl Judge<'_, '_> {
    /// Compares the text where a window of the anchor begins at the index.
    fn candidate(&mut self, anchor: Anchor, at: usize) {
        let pattern = &self.needles.needle(anchor.needle).pattern;
        let place = Place::new(anchor.character, at + anchor.at);
        let Some(begin) = pattern.backward(self.buffer, place) else { return };
        let start = self.base + begin.at as u64;
        if self.compared.insert((start, anchor.needle)) {
            let reach = pattern.forward(self.buffer, Place { escapes: begin.escapes, ..place }, self.rest);
            self.judge(anchor.needle, start, reach);
        }
    }

    fn go_on(&mut self, open: &Open) {
        let at = open.base + open.place.at as u64;
        let reach = match at.checked_sub(self.base).and_then(|at| usize::try_from(at).ok()) {
            Some(at) => {
                let place = Place { at, ..open.place };
                self.needles.needle(open.needle).pattern.forward(self.buffer, place, self.rest)
            }
            None => Reach::Difference,
        };
        self.judge(open.needle, open.start, reach);
    }

    fn judge(&mut self, needle: usize, start: u64, reach: Reach) {
        let place = match reach {
            Reach::Difference => return,
            Reach::Open(place) if self.open.len() < MOST_OPEN => {
                self.open.push(Open { needle, start, place, base: self.base });
                return;
            }
            Reach::End(place) | Reach::Open(place) => place,
        };
        let end = place.at;
        // Weak needles are short: where they begin is still in the buffer.
        let stands_alone =
            || usize::try_from(start - self.base).is_ok_and(|start| stands_alone(self.buffer, start, end));
        if !self.needles.needle(needle).whole_token || stands_alone() {
            let needle = place.escapes.form().map_or(needle, |form| self.needles.told_by(needle, form));
            (self.found)(Hit { needles: self.needles, needle, start, end: self.base + end as u64 });
        }
    }
}

/// Whether no letter, digit or underscore stands beside the bytes.
fn stands_alone(buffer: &[u8], start: usize, end: usize) -> bool {
    let before = start.checked_sub(1).and_then(|at| buffer.get(at));
    [before, buffer.get(end)].into_iter().flatten().all(|byte| !continues_token(*byte))
}

fn continues_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests;
