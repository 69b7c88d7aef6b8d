//! A search over one stream, however it is cut.

use psecret::{Form, SecretName};
use zeroize::Zeroizing;

use crate::automaton::State;
use crate::needle::{LONGEST_HEAD, NeedleSet};

/// How many needles longer than a head may be under comparison at once. A needle that repeats itself can begin at every
/// byte; past this number its head alone counts as a hit, so that time stays linear and nothing is missed.
const MOST_COMPARED: usize = 256;

/// What must be known before and behind a place to judge it: a head, and the bytes beside it.
const AROUND: usize = LONGEST_HEAD + 8;

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
    compared: Vec<Compared>,
}

/// A long needle of which the head was found, and the tail as far as it arrived.
struct Compared {
    needle: usize,
    start: u64,
    matched: usize,
}

/// A needle seen in a stream.
#[derive(Clone, Copy)]
pub struct Hit<'n> {
    needles: &'n NeedleSet,
    pub(crate) needle: usize,
    start: u64,
}

impl<'n> Hit<'n> {
    /// The names of the secrets whose value was seen; several when they have one value.
    pub fn names(&self) -> impl Iterator<Item = &'n SecretName> + use<'n> {
        self.needles.names(self.needles.needle(self.needle).owner)
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
        self.start + self.needles.needle(self.needle).length as u64
    }

    pub(crate) fn owner(&self) -> usize {
        self.needles.needle(self.needle).owner
    }
}

impl<'n> Searcher<'n> {
    pub(crate) fn new(needles: &'n NeedleSet) -> Self {
        Self {
            needles,
            state: needles.automaton().map(|automaton| automaton.start()),
            buffer: Zeroizing::default(),
            base: 0,
            from: 0,
            compared: Vec::new(),
        }
    }

    /// Searches the next chunk. `found` gets each needle seen, overlapping ones too.
    ///
    /// A needle is told about half a kilobyte behind its end at the latest, or by [`finish`](Self::finish); the order of
    /// needles that stand closer together than that is not theirs in the stream.
    pub fn push(&mut self, bytes: &[u8], found: &mut dyn FnMut(Hit<'n>)) {
        if self.needles.is_empty() {
            return;
        }
        for piece in bytes.chunks(PIECE) {
            self.buffer.extend_from_slice(piece);
            let known = self.buffer.len().saturating_sub(AROUND) & !7;
            self.advance(known, found);
            self.forget();
        }
    }

    /// Ends the search and begins a new one.
    pub fn finish(&mut self, found: &mut dyn FnMut(Hit<'n>)) {
        self.advance(self.buffer.len(), found);
        self.buffer.clear();
        self.base = 0;
        self.from = 0;
        self.compared.clear();
        self.state = self.needles.automaton().map(|automaton| automaton.start());
    }

    /// Searches up to an index of the buffer.
    fn advance(&mut self, to: usize, found: &mut dyn FnMut(Hit<'n>)) {
        let (needles, buffer, base) = (self.needles, &self.buffer, self.base);
        let compared = &mut self.compared;
        compared.retain_mut(|compared| {
            let decided = compared.step(needles, buffer, base);
            if decided == Some(true) {
                found(Hit { needles, needle: compared.needle, start: compared.start });
            }
            decided.is_none()
        });
        if to <= self.from {
            return;
        }
        let mut head = |needle: usize, start: usize| {
            let hit = Hit { needles, needle, start: base + start as u64 };
            let wanted = needles.needle(needle);
            if wanted.tail.is_empty() {
                if !wanted.whole_token || stands_alone(buffer, start, start + wanted.length) {
                    found(hit);
                }
            } else if compared.len() >= MOST_COMPARED {
                found(hit);
            } else {
                let mut begun = Compared { needle, start: hit.start, matched: 0 };
                match begun.step(needles, buffer, base) {
                    Some(true) => found(hit),
                    Some(false) => {}
                    None => compared.push(begun),
                }
            }
        };
        let mut candidate = |needle: usize, start: usize| {
            if buffer[start..].starts_with(&needles.needle(needle).head) {
                head(needle, start);
            }
        };
        needles.wide().scan(buffer, self.from, to, &mut candidate);
        needles.narrow().scan(buffer, self.from, to, &mut candidate);
        if let (Some(automaton), Some(state)) = (needles.automaton(), self.state) {
            let from = self.from;
            self.state = Some(automaton.run(state, &buffer[from..to], |needle, end| {
                head(needle, from + end - needles.needle(needle).head.len());
            }));
        }
        self.from = to;
    }

    /// Drops what no needle can reach back to, once it is worth the while.
    fn forget(&mut self) {
        let passed = self.from.saturating_sub(AROUND) & !7;
        if passed >= PIECE / 2 {
            self.buffer.drain(..passed);
            self.base += passed as u64;
            self.from -= passed;
        }
    }
}

impl Compared {
    /// Compares what arrived of the tail: decided, or to be gone on with.
    fn step(&mut self, needles: &NeedleSet, buffer: &[u8], base: u64) -> Option<bool> {
        let needle = needles.needle(self.needle);
        let left = &needle.tail[self.matched..];
        let at = self.start + (needle.head.len() + self.matched) as u64 - base;
        // All that arrived was compared up to its end the last time, so this is where the buffer's news begin.
        let bytes = usize::try_from(at).ok().and_then(|at| buffer.get(at..)).unwrap_or_default();
        let count = left.len().min(bytes.len());
        if left[..count] != bytes[..count] {
            return Some(false);
        }
        self.matched += count;
        (self.matched == needle.tail.len()).then_some(true)
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
