//! Redaction of a stream that arrives in pieces.

use std::fmt;
use std::sync::Arc;

use super::patterns::Patterns;
use super::regions::Regions;
use super::span::Span;
use super::spelled::{Looked, Text};
use super::terminal::Terminal;
use super::view::{Left, Stream, View};
use super::wrapping::{Wrapping, join};
use crate::spelling::Rest;

/// The largest number of bytes that are read at a time. The decided bytes are released after each such piece.
const PIECE: usize = 32 * 1024;

/// The redactor of one stream. It holds back the bytes that may begin a match, and returns all others at once.
pub struct RedactorStream {
    patterns: Arc<Patterns>,
    /// All bytes of the stream, at least those that have not been returned yet.
    all: View,
    /// The text that a terminal shows.
    shown: View,
    /// The text that a terminal shows, with wrapped lines joined.
    joined: View,
    terminal: Terminal,
    wrapping: Wrapping,
    /// How far the text was searched for escaped values.
    looked: Looked,
    /// The offset of the first byte that has not been returned yet.
    from: u64,
    /// The masked regions that have not been returned yet.
    regions: Regions,
}

impl RedactorStream {
    pub(super) fn new(patterns: Arc<Patterns>) -> Self {
        Self {
            patterns,
            all: View::new(Left::Nothing),
            shown: View::new(Left::Control),
            joined: View::new(Left::LineEnds),
            terminal: Terminal::Ground,
            wrapping: Wrapping::default(),
            looked: Looked::default(),
            from: 0,
            regions: Regions::default(),
        }
    }

    /// Takes the next bytes, and returns the bytes that are decided.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.patterns.is_empty() {
            return bytes.to_vec();
        }
        let mut out = Vec::with_capacity(bytes.len());
        for piece in bytes.chunks(PIECE) {
            let mut spans = Vec::new();
            let safe = self.take(piece, false, &mut spans);
            self.regions.add(&spans);
            self.release(safe, &mut out);
        }
        out
    }

    /// Ends the stream, and returns the bytes that were held back. The stream can then be used again.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        let (mut out, mut spans) = (Vec::new(), Vec::new());
        let safe = self.take(&[], true, &mut spans);
        self.regions.add(&spans);
        self.release(safe, &mut out);
        *self = Self::new(Arc::clone(&self.patterns));
        out
    }

    /// Finds all matches in a whole text, including those that overlap.
    pub(super) fn spans_in(mut self, bytes: &[u8]) -> Vec<Span> {
        let mut spans = Vec::new();
        self.take(bytes, true, &mut spans);
        spans
    }

    /// Reads a piece, adds the matches to `spans`, and returns the first offset that a later match may cover.
    fn take(&mut self, piece: &[u8], is_over: bool, spans: &mut Vec<Span>) -> u64 {
        let patterns = &*self.patterns;
        let Self { all, shown, joined, .. } = self;
        let old_end = all.end();
        if !shown.is_parted() && !self.terminal.shows_all(piece) {
            shown.part(all, old_end);
        }
        all.append(piece);
        let old_shown_end = if shown.is_parted() { shown.end() } else { old_end };
        if shown.is_parted() {
            self.terminal.show(piece, shown);
        }
        let below = shown.or(all);
        let added = self.wrapping.added(below.text_from(old_shown_end));
        if !joined.is_parted() && !added.is_empty() {
            joined.part(below, old_shown_end);
        }
        let old_joined_end = joined.end();
        if joined.is_parted() {
            join(below.text_from(old_shown_end), &added, joined);
        }

        let end = all.end();
        let mut told = all.tell_starts(patterns, old_end, None);
        let stream = Stream { below: |place| place, end, is_over };
        all.decide(patterns, &stream, spans);
        let rest = if is_over { Rest::Over } else { Rest::MayFollow };
        let text = Text { bytes: all.kept(), base: all.base(), rest };
        let escaped_from = patterns.spelled().look(&text, &mut self.looked, spans);
        let mut undecided = all.undecided_from(&stream).min(escaped_from);
        if shown.is_parted() {
            told = shown.tell_starts(patterns, old_shown_end, Some(&told));
            shown.decide(patterns, &stream, spans);
            undecided = undecided.min(shown.undecided_from(&stream));
        }
        if joined.is_parted() {
            joined.tell_starts(patterns, old_joined_end, Some(&told));
            let below = |place| if shown.is_parted() { shown.below(place) } else { place };
            let stream = Stream { below, end, is_over };
            joined.decide(patterns, &stream, spans);
            undecided = undecided.min(joined.undecided_from(&stream));
        }
        undecided
    }

    /// Writes everything that no later match can change: the text before `safe`, and the regions that end there.
    fn release(&mut self, safe: u64, out: &mut Vec<u8>) {
        let masked = self.regions.first().is_some();
        while let Some(region) = self.regions.first()
            && region.start <= safe
        {
            self.show(region.start, out);
            self.from = self.from.max(region.end);
            if region.end > safe {
                break;
            }
            out.extend_from_slice(self.patterns.mark(region.best.pattern));
            self.regions.remove_first();
        }
        if self.regions.first().is_none_or(|region| region.start > safe) {
            self.show(safe, out);
        }
        let Self { all, shown, joined, .. } = self;
        let mut needed = u64::MAX;
        if joined.is_parted() {
            needed = joined.forget(needed, masked);
            joined.rejoin(shown.or(all));
        }
        if shown.is_parted() {
            shown.forget(needed, masked);
            // The places of `joined` count from those of this view, so it must not rejoin first.
            if !joined.is_parted() {
                shown.rejoin(all);
            }
        }
        self.all.forget(self.from.min(self.looked.needed()), masked);
    }

    /// Writes the bytes up to an offset, unless they were written already.
    fn show(&mut self, to: u64, out: &mut Vec<u8>) {
        if let Some(count) = to.checked_sub(self.from) {
            let text = self.all.text_from(self.from);
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            out.extend_from_slice(&text[..count]);
            self.from = to;
        }
    }
}

impl fmt::Debug for RedactorStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedactorStream({} bytes held)", self.all.end().saturating_sub(self.from))
    }
}

#[cfg(test)]
impl RedactorStream {
    pub(crate) fn held_for_tests(&self) -> usize {
        [&self.all, &self.shown, &self.joined].into_iter().map(View::len_for_tests).sum()
    }
}
