//! A search over one stream, however it is cut.

use psecret::{Form, SecretName};
use zeroize::Zeroizing;

use crate::automaton::State;
use crate::needle::{LONGEST_HEAD, NeedleSet};

/// How many needles longer than a head may be under comparison at once. A needle that repeats itself can begin at every
/// byte; past this number its head alone counts as a hit, so that time stays linear and nothing is missed.
const MOST_COMPARED: usize = 256;

/// How many bytes of the past are kept to look at what stands before a short needle: its forms are far shorter.
const PAST: usize = 256;

/// Finds needles in a stream that arrives in chunks; the findings do not depend on how it is cut.
pub struct Searcher<'n> {
    needles: &'n NeedleSet,
    state: Option<State>,
    /// How many bytes were searched.
    position: u64,
    compared: Vec<Compared>,
    /// Whole tokens that end where the chunk ended: what follows decides.
    undecided: Vec<Hit<'n>>,
    past: Zeroizing<Vec<u8>>,
}

/// A long needle of which the head was found.
struct Compared {
    needle: usize,
    start: u64,
    /// How much of the tail was there.
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
            position: 0,
            compared: Vec::new(),
            undecided: Vec::new(),
            past: Zeroizing::default(),
        }
    }

    /// Searches the next chunk. `found` gets each needle seen, overlapping ones too, in the order of their ends.
    pub fn push(&mut self, bytes: &[u8], found: &mut dyn FnMut(Hit<'n>)) {
        let (Some(automaton), Some(state), Some(first)) = (self.needles.automaton(), self.state, bytes.first()) else {
            return;
        };
        for hit in self.undecided.drain(..) {
            if !continues_token(*first) {
                found(hit);
            }
        }
        self.compare(bytes, found);
        let mut heads = Vec::new();
        self.state = Some(automaton.run(state, bytes, |needle, end| heads.push((needle, end))));
        for (needle, end) in heads {
            self.head(needle, end, bytes, found);
        }
        self.position += bytes.len() as u64;
        self.remember(bytes);
    }

    /// Ends the search and begins a new one.
    pub fn finish(&mut self, found: &mut dyn FnMut(Hit<'n>)) {
        self.undecided.drain(..).for_each(found);
        *self = Self::new(self.needles);
    }

    /// A head was found that ends before `bytes[end]`.
    fn head(&mut self, needle: usize, end: usize, bytes: &[u8], found: &mut dyn FnMut(Hit<'n>)) {
        let wanted = self.needles.needle(needle);
        let head = wanted.length.min(LONGEST_HEAD);
        let start = self.position + end as u64 - head as u64;
        let hit = Hit { needles: self.needles, needle, start };
        if !wanted.tail.is_empty() {
            if self.compared.len() >= MOST_COMPARED {
                return found(hit);
            }
            let mut compared = Compared { needle, start, matched: 0 };
            match compared.step(&wanted.tail, &bytes[end..]) {
                Some(true) => found(hit),
                Some(false) => {}
                None => self.compared.push(compared),
            }
        } else if !wanted.whole_token {
            found(hit);
        } else if !self.byte_before(start, bytes).is_some_and(continues_token) {
            match bytes.get(end) {
                Some(next) if continues_token(*next) => {}
                Some(_) => found(hit),
                None => self.undecided.push(hit),
            }
        }
    }

    fn compare(&mut self, bytes: &[u8], found: &mut dyn FnMut(Hit<'n>)) {
        let needles = self.needles;
        self.compared.retain_mut(|compared| {
            let decided = compared.step(&needles.needle(compared.needle).tail, bytes);
            if decided == Some(true) {
                found(Hit { needles, needle: compared.needle, start: compared.start });
            }
            decided.is_none()
        });
    }

    fn byte_before(&self, start: u64, bytes: &[u8]) -> Option<u8> {
        let back = start.checked_sub(1)?;
        if let Some(index) = back.checked_sub(self.position) {
            return bytes.get(usize::try_from(index).ok()?).copied();
        }
        let behind = usize::try_from(self.position - back).ok()?;
        self.past.len().checked_sub(behind).map(|index| self.past[index])
    }

    fn remember(&mut self, bytes: &[u8]) {
        let new = &bytes[bytes.len().saturating_sub(PAST)..];
        let kept = self.past.len().min(PAST - new.len());
        let drop = self.past.len() - kept;
        self.past.drain(..drop);
        self.past.extend_from_slice(new);
    }
}

impl Compared {
    /// Compares the next bytes: decided, or to be gone on with.
    fn step(&mut self, tail: &[u8], bytes: &[u8]) -> Option<bool> {
        let left = &tail[self.matched..];
        let count = left.len().min(bytes.len());
        if left[..count] != bytes[..count] {
            return Some(false);
        }
        self.matched += count;
        (self.matched == tail.len()).then_some(true)
    }
}

fn continues_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests;
