//! A search in one stream, which may arrive in chunks of any size.

use std::collections::BTreeSet;

use psecret::spelling::{Place, Reach, Rest};
use psecret::{Form, SecretName};
use zeroize::Zeroizing;

use crate::automaton::State;
use crate::filter::Anchor;
use crate::needle::NeedleSet;
use crate::packed::{self, Packed};

/// The maximal number of comparisons that wait for further bytes at the same time. A needle that repeats itself can
/// begin at every byte. Beyond this limit, a needle counts as a hit as soon as all bytes so far match, so that the
/// time stays linear and no needle is missed.
const MOST_OPEN: usize = 256;

/// The number of bytes before the current place that are kept for the comparison of a needle's beginning, line breaks
/// included.
const BEHIND: usize = 4096;

/// The number of bytes after a place that must be known before the place is judged, so that most needles are compared
/// at once. It is less than a tar's block: a needle at a file's end is reported before the next file is named, which
/// happens when that file's header has arrived.
const AHEAD: usize = 496;

/// The maximal number of packed texts that are unpacked at the same time. A packed text that begins meanwhile is
/// searched as plain text only.
const MOST_PACKED: usize = 4;

/// The deepest level of packed texts within packed texts that is unpacked.
const DEEPEST: usize = 2;

/// The number of bytes that are searched at a time, so that they stay in the processor's cache.
const PIECE: usize = 64 << 10;

/// Finds needles in a stream that arrives in chunks. The findings do not depend on the chunks.
pub struct Searcher<'n> {
    needles: &'n NeedleSet,
    state: Option<State>,
    /// The last bytes of the stream so far: those that were not searched, and enough of those before them.
    buffer: Zeroizing<Vec<u8>>,
    /// The offset of the buffer's first byte in the stream, a multiple of eight.
    base: u64,
    /// The index of the first byte that was not searched, a multiple of eight.
    from: usize,
    open: Vec<Open>,
    /// The places at which a needle was already compared, because one place of a needle has several anchors.
    compared: BTreeSet<(u64, usize)>,
    /// The packed texts that have begun and are being unpacked.
    packed: Vec<Packed<'n>>,
    /// The number of texts that this text is packed in.
    depth: usize,
}

/// A needle whose comparison needs more bytes than have arrived.
struct Open {
    needle: usize,
    start: u64,
    /// The place where the comparison continues. Its index counts from `base`, because the buffer may forget the
    /// bytes before it.
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
    /// Makes a hit for a needle that was found inside a packed text. `start` and `end` are those of the packed text,
    /// because the needle itself has no place in the stream.
    fn packed_hit(&self, needle: usize, start: u64, end: u64) -> Hit<'_> {
        Hit { needles: self, needle: self.told_by(needle, Form::Base64OfGzip), start, end }
    }
}

impl<'n> Hit<'n> {
    /// Returns the names of the secrets whose value was seen. There are several if they have the same value.
    pub fn names(&self) -> impl Iterator<Item = &'n SecretName> + use<'n> {
        self.needles.names(self.needles.needle(self.needle).owner)
    }

    /// Returns the part of the first of these secrets that was seen; `None` stands for the whole secret.
    #[must_use]
    pub fn part(&self) -> Option<&'n str> {
        self.needles.part(self.owner())
    }

    /// Returns the form in which the value was seen.
    #[must_use]
    pub fn form(&self) -> Form {
        self.needles.needle(self.needle).form
    }

    /// Returns the offset of the first byte in the stream.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Returns the offset after the last byte in the stream.
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
    /// Makes a search in one stream.
    #[must_use]
    pub fn new(needles: &'n NeedleSet) -> Self {
        Self::inside(needles, 0)
    }

    /// Makes a search in a text that was packed `depth` times.
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

    /// Searches the next chunk. Calls `found` with each needle that was seen, also with those that overlap.
    ///
    /// A needle is reported at most half a kilobyte after its end, or by [`finish`](Self::finish). Needles that are
    /// closer together than this may be reported in another order than in the stream.
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

    /// Ends the search. The searcher can then be used for another stream.
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

    /// Continues to read the packed texts, and begins with those that begin before an index of the buffer.
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

    /// Drops the bytes that no comparison can reach any more, if there are enough of them.
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

/// Compares whole needles with the text around their anchors.
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
    /// Compares the anchor's needle with the text, in which a window of the needle begins at an index.
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
        // Weak needles are short, so their first byte is still in the buffer.
        let stands_alone =
            || usize::try_from(start - self.base).is_ok_and(|start| stands_alone(self.buffer, start, end));
        if !self.needles.needle(needle).whole_token || stands_alone() {
            let needle = place.escapes.form().map_or(needle, |form| self.needles.told_by(needle, form));
            (self.found)(Hit { needles: self.needles, needle, start, end: self.base + end as u64 });
        }
    }
}

/// Whether no letter, digit or underscore is beside the bytes.
fn stands_alone(buffer: &[u8], start: usize, end: usize) -> bool {
    let before = start.checked_sub(1).and_then(|at| buffer.get(at));
    [before, buffer.get(end)].into_iter().flatten().all(|byte| !continues_token(*byte))
}

fn continues_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests;
