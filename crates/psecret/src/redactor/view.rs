//! One reading of a stream: all of its bytes, or some left out.

use std::collections::VecDeque;

use aho_corasick::automaton::StateID;

use super::patterns::{LONGEST_HEAD, Patterns};

/// A view forgets a match that is stretched over more bytes than this.
const LONGEST_STRETCH: u64 = 64 * 1024 + LONGEST_HEAD as u64;

/// More tails than this are not followed at a time; the oldest are dropped.
const MOST_TAILS: usize = 64;

/// So many characters at the end of a wrapped line may begin a match before they are held back; fewer tell nothing.
const SHORTEST_HELD: usize = 4;

/// Bytes to mask, by their offsets in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) pattern: usize,
}

/// The state of one reading.
#[derive(Clone, Debug)]
pub(super) struct View {
    state: StateID,
    /// How many bytes this view has read, counted from the stream's beginning.
    read: u64,
    /// How many bytes were left out before each position of the view, newest last.
    gaps: VecDeque<Gap>,
    /// Bytes left out before the oldest gap kept.
    skipped_before: u64,
    tails: Vec<Tail>,
    /// Nothing before this offset of the stream is masked on behalf of this view.
    floor: u64,
}

/// Bytes left out just before the view's byte number `at`.
#[derive(Clone, Copy, Debug)]
struct Gap {
    at: u64,
    /// All bytes left out so far, these included.
    skipped: u64,
}

/// A long pattern whose head was seen and whose rest is being compared.
#[derive(Clone, Debug)]
struct Tail {
    pattern: usize,
    matched: usize,
    start: u64,
}

impl View {
    pub(super) fn new(patterns: &Patterns) -> Self {
        Self { state: patterns.start(), read: 0, gaps: VecDeque::new(), skipped_before: 0, tails: Vec::new(), floor: 0 }
    }

    /// The stream's offset of the view's byte number `at`.
    fn offset(&self, at: u64) -> u64 {
        let skipped = self.gaps.iter().rev().find(|gap| gap.at <= at).map_or(self.skipped_before, |gap| gap.skipped);
        at + skipped
    }

    fn skipped(&self) -> u64 {
        self.gaps.back().map_or(self.skipped_before, |gap| gap.skipped)
    }

    /// Leaves one byte out.
    pub(super) fn skip(&mut self) {
        let skipped = self.skipped() + 1;
        match self.gaps.back_mut() {
            Some(gap) if gap.at == self.read => gap.skipped = skipped,
            _ => self.gaps.push_back(Gap { at: self.read, skipped }),
        }
    }

    /// Leaves a wrapped line's end out. If no more than a few characters before it may begin a match, they are let go:
    /// nearly every line ends with one, and each would wait for the next. The match goes on without them.
    pub(super) fn skip_line_end(&mut self, patterns: &Patterns) {
        self.skip();
        if patterns.depth(self.state) < SHORTEST_HELD {
            self.floor = self.read + self.skipped();
        }
    }

    /// Reads one byte and hands every span that ends with it to `found`.
    pub(super) fn read(&mut self, patterns: &Patterns, byte: u8, mut found: impl FnMut(Span)) {
        self.state = patterns.next(self.state, byte);
        self.read += 1;
        let end = self.read + self.skipped();
        if !self.tails.is_empty() {
            self.tails.retain_mut(|tail| {
                let rest = patterns.tail(tail.pattern);
                if rest.get(tail.matched) != Some(&byte) {
                    return false;
                }
                tail.matched += 1;
                found(Span { start: tail.start, end, pattern: tail.pattern });
                tail.matched < rest.len()
            });
        }
        for (pattern, length) in patterns.heads_at(self.state) {
            let start = self.offset(self.read - length as u64).max(self.floor);
            found(Span { start, end, pattern });
            if !patterns.tail(pattern).is_empty() {
                if self.tails.len() == MOST_TAILS {
                    self.tails.remove(0);
                }
                self.tails.push(Tail { pattern, matched: 0, start });
            }
        }
        if !self.gaps.is_empty() {
            self.forget_gaps(patterns);
        }
    }

    /// Reads bytes in which nothing begins; only a view that is at its start may.
    pub(super) fn leap(&mut self, count: usize) {
        self.read += count as u64;
    }

    /// Whether no match has begun.
    pub(super) fn is_at_start(&self, patterns: &Patterns) -> bool {
        self.state == patterns.start() && self.tails.is_empty()
    }

    /// Drops gaps that lie before anything that can still match.
    fn forget_gaps(&mut self, patterns: &Patterns) {
        let oldest = self.read - patterns.depth(self.state) as u64;
        while let Some(gap) = self.gaps.front().copied()
            && gap.at <= oldest
        {
            self.skipped_before = gap.skipped;
            self.gaps.pop_front();
        }
    }

    /// The first offset of the stream that a match to come may cover. `end` is the stream's length so far.
    pub(super) fn undecided_from(&self, patterns: &Patterns, end: u64) -> u64 {
        let depth = patterns.depth(self.state) as u64;
        let from = if depth == 0 { end } else { self.offset(self.read - depth).max(self.floor) };
        self.tails.iter().map(|tail| tail.start).fold(from, u64::min)
    }

    /// Gives up a match that is stretched too far, so that what is held back stays bounded.
    pub(super) fn give_up_stretched(&mut self, patterns: &Patterns, end: u64) {
        let depth = patterns.depth(self.state) as u64;
        if depth > 0 && end - self.offset(self.read - depth) > LONGEST_STRETCH {
            self.state = patterns.start();
            self.forget_gaps(patterns);
        }
    }

    /// Whether this view will find what the other finds, until it leaves a byte out again.
    pub(super) fn agrees_with(&self, other: &Self) -> bool {
        self.state == other.state && self.gaps.is_empty() && self.tails.is_empty() && other.tails.is_empty()
    }
}
