//! Redaction of a stream that arrives in pieces.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::patterns::Patterns;
use super::skim::first_control;
use super::terminal::Terminal;
use super::view::{Span, View};

/// An encoder that wraps its lines makes them at least this long; a shorter line ends a word.
const SHORTEST_WRAPPED_LINE: usize = 16;

/// How much is read before what is decided leaves the buffer.
const PIECE: usize = 64 * 1024;

/// The redactor of one stream: bytes that may begin a match are held, all others leave at once.
pub struct RedactorStream {
    patterns: Arc<Patterns>,
    /// The bytes from `from` to `end` of the stream that did not leave yet.
    held: Zeroizing<Vec<u8>>,
    from: u64,
    end: u64,
    /// Masked regions that did not leave yet, in order, none touching another by more than an end.
    regions: VecDeque<Region>,
    /// Every byte.
    all: View,
    /// What a terminal shows; absent while it equals `all`.
    shown: Option<View>,
    /// What a terminal shows, with wrapped lines joined; absent while it equals `all`.
    joined: Option<View>,
    terminal: Terminal,
    /// How many characters of an encoder's alphabet were shown last.
    run: usize,
    /// Whether the joined view skips the indentation of a wrapped line.
    indenting: bool,
}

/// Spans that overlap, masked as one.
#[derive(Clone, Copy, Debug)]
struct Region {
    start: u64,
    end: u64,
    /// The span that gives the mark: it begins first, and is the longest of those.
    best: Span,
}

impl RedactorStream {
    pub(super) fn new(patterns: Arc<Patterns>) -> Self {
        Self {
            held: Zeroizing::default(),
            from: 0,
            end: 0,
            regions: VecDeque::new(),
            all: View::new(&patterns),
            shown: None,
            joined: None,
            terminal: Terminal::Ground,
            run: 0,
            indenting: false,
            patterns,
        }
    }

    /// Takes the next bytes and gives back those that are decided.
    #[must_use]
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.patterns.is_empty() {
            return bytes.to_vec();
        }
        let mut out = Vec::with_capacity(bytes.len());
        for piece in bytes.chunks(PIECE) {
            self.take(piece);
            self.release(self.undecided_from(), &mut out);
        }
        out
    }

    /// Ends the stream and gives back what was held. The stream begins anew.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        self.release(self.end, &mut out);
        *self = Self::new(Arc::clone(&self.patterns));
        out
    }

    /// Everything found in a whole text, overlapping or not.
    pub(super) fn spans_in(mut self, bytes: &[u8]) -> Vec<Span> {
        let mut spans = Vec::new();
        for byte in bytes {
            self.read(*byte, |span| spans.push(span));
        }
        spans
    }

    fn take(&mut self, piece: &[u8]) {
        // Growing would leave a copy of what is held in memory that nobody wipes.
        if self.held.capacity() - self.held.len() < piece.len() {
            let mut larger = Zeroizing::new(Vec::with_capacity((self.held.len() + piece.len()) * 2));
            larger.extend_from_slice(&self.held);
            self.held = larger;
        }
        self.held.extend_from_slice(piece);
        let mut regions = std::mem::take(&mut self.regions);
        let (mut at, mut plain) = (0, None);
        while at < piece.len() {
            // Behind a leap, the automaton reads at least the window that ended it.
            let until = if self.is_idle() { self.leap(piece, &mut at, &mut plain) } else { at + 1 };
            for byte in piece.get(at..until).unwrap_or_default() {
                self.read(*byte, |span| merge(&mut regions, span));
            }
            at = until.max(at);
        }
        self.regions = regions;
    }

    /// Whether nothing is pending: no match has begun and no byte has a meaning other than its own.
    fn is_idle(&self) -> bool {
        self.shown.is_none()
            && self.joined.is_none()
            && self.terminal == Terminal::Ground
            && !self.indenting
            && self.all.is_at_start(&self.patterns)
    }

    /// Leaps from `at` to where a form may begin or where a byte is not plain text, and returns how far the automaton
    /// must read from there.
    ///
    /// What is leapt over is exactly what reading would have forgotten: each beginning in it is refuted by a window that
    /// lies wholly within plain text, so that no view can see it otherwise.
    /// `plain` remembers where plain text ends, so that each byte is looked at for that once.
    fn leap(&mut self, piece: &[u8], at: &mut usize, plain: &mut Option<usize>) -> usize {
        let patterns = Arc::clone(&self.patterns);
        let Some(windows) = patterns.windows() else {
            return *at + 1;
        };
        let from = *at;
        let plain = match plain {
            Some(plain) if *plain >= from => *plain,
            _ => *plain.insert(self.end_of_plain_text(piece, from)),
        };
        let (to, until) = match windows.first(&piece[from..plain]) {
            Ok(found) => (from + found.saturating_sub(windows.stride() - 1), from + found + 1),
            Err(next) => {
                // The windows before `next` speak for the beginnings up to the last of them.
                let to = if next == 0 { from } else { from + next + 1 - windows.stride() };
                (to.min(plain), plain + 1)
            }
        };
        self.count_run(&piece[from..to]);
        self.all.leap(to - from);
        self.end += (to - from) as u64;
        *at = to;
        until.min(piece.len())
    }

    /// The first byte that is control, or ends a line that an encoder may have wrapped; else the piece's end.
    fn end_of_plain_text(&self, piece: &[u8], from: usize) -> usize {
        let text = &piece[from..];
        let text = &text[..first_control(text).unwrap_or(text.len())];
        let wraps = |at: usize| {
            let run = text[..at].iter().rev().take(SHORTEST_WRAPPED_LINE).take_while(|byte| encodes(**byte)).count();
            run >= SHORTEST_WRAPPED_LINE || (run == at && run + self.run >= SHORTEST_WRAPPED_LINE)
        };
        from + memchr::memchr_iter(b'\n', text).find(|at| wraps(*at)).unwrap_or(text.len())
    }

    /// Brings the run of an encoder's characters up to date; more than the least that counts is all the same.
    fn count_run(&mut self, text: &[u8]) {
        let run = text.iter().rev().take(SHORTEST_WRAPPED_LINE).take_while(|byte| encodes(**byte)).count();
        self.run = if run == text.len() { self.run + run } else { run };
    }

    /// Advances every view by one byte.
    fn read(&mut self, byte: u8, mut found: impl FnMut(Span)) {
        let patterns = &*self.patterns;
        let shown = self.terminal.shows(byte);
        let wraps = shown && byte == b'\n' && self.run >= SHORTEST_WRAPPED_LINE;
        let indents = shown && self.indenting && matches!(byte, b' ' | b'\t');
        // A view parts from the full one only where it leaves a byte out within a match that has begun: what begins
        // later, the full view sees as well.
        if !self.all.is_at_start(patterns) {
            if !shown && self.shown.is_none() {
                self.shown = Some(self.all.clone());
            }
            if (!shown || wraps || indents) && self.joined.is_none() {
                self.joined = Some(self.all.clone());
            }
        }
        self.all.read(patterns, byte, &mut found);
        self.end += 1;
        if let Some(view) = &mut self.shown {
            if shown {
                view.read(patterns, byte, &mut found);
            } else {
                view.skip();
            }
            view.give_up_stretched(patterns, self.end);
        }
        if let Some(view) = &mut self.joined {
            if shown && !wraps && !indents {
                view.read(patterns, byte, &mut found);
            } else if wraps {
                view.skip_line_end(patterns);
            } else {
                view.skip();
            }
            view.give_up_stretched(patterns, self.end);
        }
        for view in [&mut self.shown, &mut self.joined] {
            if view.as_ref().is_some_and(|view| view.agrees_with(&self.all)) {
                *view = None;
            }
        }
        if shown {
            self.indenting = wraps || indents;
            self.run = if encodes(byte) { self.run + 1 } else { 0 };
        }
    }

    /// The first offset that a match to come may cover.
    fn undecided_from(&self) -> u64 {
        let views = [Some(&self.all), self.shown.as_ref(), self.joined.as_ref()];
        views.into_iter().flatten().map(|view| view.undecided_from(&self.patterns, self.end)).fold(self.end, u64::min)
    }

    /// Writes everything that no match to come can change: text before `safe` and regions that end there.
    fn release(&mut self, safe: u64, out: &mut Vec<u8>) {
        let (mut taken, mut masked) = (0, false);
        let mut advance = |to: u64, from: &mut u64| {
            let count = usize::try_from(to.saturating_sub(*from)).unwrap_or(usize::MAX);
            let bytes = taken..taken + count;
            taken += count;
            *from = (*from).max(to);
            bytes
        };
        while let Some(region) = self.regions.front().copied()
            && region.start <= safe
        {
            out.extend_from_slice(&self.held[advance(region.start, &mut self.from)]);
            advance(region.end, &mut self.from);
            masked = true;
            if region.end > safe {
                break;
            }
            out.extend_from_slice(self.patterns.mark(region.best.pattern));
            self.regions.pop_front();
        }
        if self.regions.front().is_none_or(|region| region.start > safe) {
            out.extend_from_slice(&self.held[advance(safe, &mut self.from)]);
        }
        let left = self.held.len() - taken;
        self.held.copy_within(taken.., 0);
        // What lies behind is a copy of what left already, except for what was masked.
        if masked {
            zeroize::Zeroize::zeroize(&mut self.held[left..]);
        }
        self.held.truncate(left);
    }
}

/// Whether a byte is of an alphabet that encoders use and wrap.
fn encodes(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

/// Adds a span that ends at the newest byte to the regions, joining those that it overlaps.
fn merge(regions: &mut VecDeque<Region>, span: Span) {
    let mut joined = Region { start: span.start, end: span.end, best: span };
    while let Some(last) = regions.back().copied()
        && last.end > joined.start
    {
        regions.pop_back();
        joined.start = joined.start.min(last.start);
        joined.end = joined.end.max(last.end);
        joined.best = better(last.best, joined.best);
    }
    regions.push_back(joined);
}

fn better(one: Span, other: Span) -> Span {
    let rank = |span: &Span| (span.start, std::cmp::Reverse(span.end), span.pattern);
    if rank(&other) < rank(&one) { other } else { one }
}

impl fmt::Debug for RedactorStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedactorStream({} bytes held)", self.held.len())
    }
}

#[cfg(test)]
impl RedactorStream {
    pub(crate) fn held_for_tests(&self) -> usize {
        self.held.len()
    }
}
