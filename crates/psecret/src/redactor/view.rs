//! One reading of a stream, with all of its bytes or without some of them, and the search in it.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::patterns::{LONGEST_HEAD, Patterns, common};
use super::skim::LOOKED_AT;
use super::span::Span;

/// A match may contain at most this many bytes that a view leaves out, so that the text that is held back stays
/// limited.
const MOST_LEFT_OUT: u64 = 64 * 1024;

/// At most this many tails are followed at the same time.
const MOST_TAILS: usize = 64;

/// If at least this many characters of a match precede the end of a wrapped line, they are masked with it. Fewer are
/// shown: they reveal nothing, and holding them back would delay nearly every line.
const SHORTEST_HELD: u64 = 4;

/// The bytes that a view leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The view leaves out nothing.
    Nothing,
    /// The view leaves out the bytes that a terminal does not show.
    Control,
    /// The view leaves out the ends of wrapped lines, and the indentation after them.
    LineEnds,
}

/// A reading: the bytes that it keeps of the view below it, or of the stream.
///
/// A *place* of a view is a number that grows with each byte that the view keeps. The first place is the one in the
/// view below at which this view parted from it.
#[derive(Clone, Debug)]
pub(super) struct View {
    left: Left,
    /// Whether this view differs from the one below. If not, this view is empty, and the one below is used in its
    /// place. The memory of an empty view is kept: a coloured log parts in each piece, and memory that is freed must
    /// be wiped.
    parted: bool,
    /// The bytes from the place `base` on, as long as they are needed.
    text: Zeroizing<Vec<u8>>,
    base: u64,
    /// The gaps where bytes were left out, as long as they matter to `text`.
    gaps: VecDeque<Gap>,
    /// The number of bytes that were left out before the oldest gap in `gaps`.
    skipped_before: u64,
    /// The places at which a form may begin, judged by its first eight bytes.
    starts: VecDeque<u64>,
    /// The place up to which all starts are known.
    told: u64,
    tails: Vec<Tail>,
}

/// A gap: bytes that were left out directly before a place.
#[derive(Clone, Copy, Debug)]
struct Gap {
    at: u64,
    /// The number of all bytes that were left out up to this gap, including it.
    skipped: u64,
}

/// A long pattern whose head was found and whose rest is being compared.
#[derive(Clone, Debug)]
struct Tail {
    pattern: usize,
    start: u64,
    /// The number of bytes of the pattern that matched so far; `until` is the place after them.
    matched: usize,
    until: u64,
    /// The number of bytes that were left out before the match's first byte.
    skipped: u64,
    ended: bool,
}

/// A function that returns the stream's offset of a place in the view below.
pub(super) trait Below: Fn(u64) -> u64 {}
impl<F: Fn(u64) -> u64> Below for F {}

impl View {
    /// Makes a view that leaves out nothing yet. It is a stream's first view, or will [part](View::part) from another
    /// one later.
    pub(super) fn new(left: Left) -> Self {
        Self {
            left,
            parted: false,
            text: Zeroizing::default(),
            base: 0,
            gaps: VecDeque::new(),
            skipped_before: 0,
            starts: VecDeque::new(),
            told: 0,
            tails: Vec::new(),
        }
    }

    /// Begins to differ from the view below, at that view's place `end`.
    pub(super) fn part(&mut self, below: &Self, end: u64) {
        let from = below.first_needed();
        self.parted = true;
        self.text.clear();
        self.base = from;
        self.gaps.clear();
        self.skipped_before = 0;
        self.starts.clone_from(&below.starts);
        self.told = below.told;
        self.tails.clone_from(&below.tails);
        self.append(&below.text[below.index(from)..below.index(end)]);
    }

    /// Returns this view if it differs from the view below, otherwise the view below.
    pub(super) fn or<'a>(&'a self, below: &'a Self) -> &'a Self {
        if self.parted { self } else { below }
    }

    pub(super) fn is_parted(&self) -> bool {
        self.parted
    }

    /// Makes this view empty again, if it has nothing that the view below does not have. It parts from that view
    /// again when it leaves out the next byte.
    pub(super) fn rejoin(&mut self, below: &Self) {
        self.parted &= !self.agrees_with(below);
    }

    fn agrees_with(&self, below: &Self) -> bool {
        let idle = |view: &Self| view.starts.is_empty() && view.tails.is_empty();
        idle(self)
            && idle(below)
            && self.end() - self.told == below.end() - below.told
            && self.gaps.back().is_none_or(|gap| gap.at <= self.told)
    }

    fn index(&self, place: u64) -> usize {
        usize::try_from(place - self.base).expect("a view keeps what fits into memory")
    }

    /// Returns the place of the first byte that is kept.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn kept(&self) -> &[u8] {
        &self.text
    }

    /// Returns the bytes from a place on.
    pub(super) fn text_from(&self, place: u64) -> &[u8] {
        &self.text[self.index(place)..]
    }

    /// Returns the place after the last byte.
    pub(super) fn end(&self) -> u64 {
        self.base + self.text.len() as u64
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        // A buffer that grows would leave a copy in memory that is never wiped.
        if self.text.capacity() - self.text.len() < bytes.len() {
            let mut larger = Zeroizing::new(Vec::with_capacity((self.text.len() + bytes.len()) * 2));
            larger.extend_from_slice(&self.text);
            self.text = larger;
        }
        self.text.extend_from_slice(bytes);
    }

    /// Leaves out the next `count` bytes.
    pub(super) fn skip(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let skipped = self.gaps.back().map_or(self.skipped_before, |gap| gap.skipped) + count as u64;
        let end = self.end();
        match self.gaps.back_mut() {
            Some(gap) if gap.at == end => gap.skipped = skipped,
            _ => self.gaps.push_back(Gap { at: end, skipped }),
        }
    }

    /// Counts the bytes that were left out before a place.
    fn skipped(&self, place: u64) -> u64 {
        self.skipped_by(self.gaps.partition_point(|gap| gap.at <= place))
    }

    /// Counts the bytes that the first `gaps` gaps left out.
    fn skipped_by(&self, gaps: usize) -> u64 {
        gaps.checked_sub(1).map_or(self.skipped_before, |last| self.gaps[last].skipped)
    }

    /// Returns the place of a byte in the view below.
    pub(super) fn below(&self, place: u64) -> u64 {
        place + self.skipped(place)
    }

    /// Returns the place of a byte of the view below. If this view left the byte out, returns the place of the next
    /// byte.
    fn above(&self, below: u64) -> u64 {
        let gaps = self.gaps.partition_point(|gap| gap.at + gap.skipped <= below);
        // The bytes before the oldest gap have no place any more; any place before `base` will do.
        let place = below.saturating_sub(self.skipped_by(gaps));
        self.gaps.get(gaps).map_or(place, |gap| place.min(gap.at))
    }

    /// Finds the places where forms may begin, as far as the text has the bytes to judge this. Starts after `old_end`
    /// whose bytes contain no gap come from `told_below`, the starts of the view below; all others are searched for.
    /// Returns the new starts.
    pub(super) fn tell_starts(&mut self, patterns: &Patterns, old_end: u64, told_below: Option<&[u64]>) -> Vec<u64> {
        let to = (self.end() + 1).saturating_sub(LOOKED_AT);
        if to <= self.told {
            return Vec::new();
        }
        let mut found = Vec::new();
        let mut look = |from: u64, to: u64| {
            if from < to {
                patterns.skim().starts(&self.text, self.index(from), self.index(to), &mut found);
            }
        };
        match told_below {
            None => look(self.told, to),
            Some(_) => {
                look(self.told, old_end.min(to));
                let mut from = old_end.max(self.told);
                for gap in self.gaps.range(self.gaps.partition_point(|gap| gap.at <= from)..) {
                    look(from.max((gap.at + 1).saturating_sub(LOOKED_AT)), gap.at.min(to));
                    from = from.max(gap.at);
                }
            }
        }
        let mut starts: Vec<u64> = found.into_iter().map(|index| self.base + index as u64).collect();
        let told_below = told_below.unwrap_or_default().iter().map(|below| self.above(*below));
        starts.extend(told_below.filter(|place| (old_end.max(self.told)..to).contains(place)));
        starts.sort_unstable();
        starts.dedup();
        self.told = to;
        self.starts.extend(&starts);
        starts
    }

    /// Follows every start and tail as far as there are bytes, and adds the matches to `spans`. Starts that depend on
    /// further bytes are kept, unless the stream is over.
    pub(super) fn decide(&mut self, patterns: &Patterns, stream: &Stream<impl Below>, spans: &mut Vec<Span>) {
        let mut tails = std::mem::take(&mut self.tails);
        for tail in &mut tails {
            self.follow(patterns, stream, tail, spans);
        }
        self.tails = tails;
        while let Some(start) = self.starts.front().copied() {
            if !self.decide_start(patterns, stream, start, spans) {
                break;
            }
            self.starts.pop_front();
        }
        // These places are too close to the end for `tell_starts`, which needs [`LOOKED_AT`] bytes.
        while self.starts.is_empty() && self.told < self.end() {
            let may_begin = patterns.skim().may_begin(&self.text[self.index(self.told)..]);
            if may_begin && !self.decide_start(patterns, stream, self.told, spans) {
                break;
            }
            self.told += 1;
        }
        let left_out = stream.left_out(self, self.end());
        self.tails.retain(|tail| !tail.ended && !stream.is_over && left_out - tail.skipped <= MOST_LEFT_OUT);
    }

    /// Adds the matches that begin at a place. Returns false if further bytes may add more.
    fn decide_start(
        &mut self,
        patterns: &Patterns,
        stream: &Stream<impl Below>,
        start: u64,
        spans: &mut Vec<Span>,
    ) -> bool {
        let beginning = patterns.beginning(&self.text[self.index(start)..]);
        if beginning.longest.is_none() && !beginning.goes_on {
            return true;
        }
        let skipped = stream.left_out(self, start);
        for pattern in patterns.heads(beginning.longest) {
            let length = patterns.head(pattern).len();
            let until = start + length as u64;
            if stream.left_out(self, until - 1) - skipped > MOST_LEFT_OUT {
                continue;
            }
            let shown_from = self.masked_from(stream, start, until);
            spans.push(Span { start: shown_from, end: stream.offset(self, until - 1) + 1, pattern });
            if !patterns.tail(pattern).is_empty() {
                let mut tail = Tail { pattern, start: shown_from, matched: length, until, skipped, ended: false };
                self.tails.retain(|tail| tail.until >= until);
                if self.tails.len() < MOST_TAILS {
                    self.follow(patterns, stream, &mut tail, spans);
                    self.tails.push(tail);
                }
            }
        }
        let waits = stream.left_out(self, self.end()) - skipped;
        !beginning.goes_on || stream.is_over || waits > MOST_LEFT_OUT
    }

    /// Compares as much of a tail as the text has.
    fn follow(&self, patterns: &Patterns, stream: &Stream<impl Below>, tail: &mut Tail, spans: &mut Vec<Span>) {
        if tail.ended {
            return;
        }
        let rest = &patterns.tail(tail.pattern)[tail.matched - LONGEST_HEAD..];
        let more = common(rest, self.text_from(tail.until)) as u64;
        // `fits` is monotonic, because the number of bytes that are left out grows with the place. So the loop may
        // bisect.
        let fits = |more: u64| stream.left_out(self, tail.until + more - 1) - tail.skipped <= MOST_LEFT_OUT;
        let more = if more == 0 || fits(more) {
            more
        } else {
            let (mut low, mut high) = (0, more - 1);
            while low < high {
                let middle = high - (high - low) / 2;
                if fits(middle) { low = middle } else { high = middle - 1 }
            }
            low
        };
        tail.until += more;
        tail.matched += usize::try_from(more).expect("no more than the text");
        tail.ended = tail.until < self.end() || more == rest.len() as u64;
        if more > 0 {
            let end = stream.offset(self, tail.until - 1) + 1;
            spans.push(Span { start: tail.start, end, pattern: tail.pattern });
        }
    }

    /// Returns the first offset that is masked of a match that begins at `start` and ends before `end`.
    fn masked_from(&self, stream: &Stream<impl Below>, start: u64, end: u64) -> u64 {
        if self.left == Left::LineEnds {
            let next = self.gaps.partition_point(|gap| gap.at <= start);
            if let Some(gap) = self.gaps.get(next)
                && gap.at < end.min(start + SHORTEST_HELD)
            {
                // The first byte of the gap is the line's end, which is shown as well.
                return (stream.below)(gap.at + self.skipped_by(next)) + 1;
            }
        }
        stream.offset(self, start)
    }

    /// Returns the first place where a later match may begin.
    fn first_needed(&self) -> u64 {
        self.starts.front().map_or(self.told, |start| self.told.min(*start)).min(self.end())
    }

    /// Returns the first offset of the stream that a match to come may cover.
    pub(super) fn undecided_from(&self, stream: &Stream<impl Below>) -> u64 {
        let first = self.first_needed();
        // An undecided match continues after the end, and so after each gap.
        let from = if first == self.end() { stream.end } else { self.masked_from(stream, first, u64::MAX) };
        self.tails.iter().map(|tail| tail.start).fold(from, u64::min)
    }

    /// Forgets the bytes that no later match needs, and the gaps before them; bytes from the place `also` on are
    /// kept, because others need them. Masked bytes are wiped. Returns the first place of the view below that is
    /// still needed.
    pub(super) fn forget(&mut self, also: u64, masked: bool) -> u64 {
        let from = self.first_needed().min(also);
        let needed = self.below(from);
        // A view above may refer to places before this view's first.
        let base = from.max(self.base);
        let gone = self.index(base);
        let left = self.text.len() - gone;
        self.text.copy_within(gone.., 0);
        // The bytes after `left` are copies of bytes that were returned, unless they were masked.
        if masked {
            self.text[left..].fill(0);
        }
        self.text.truncate(left);
        self.base = base;
        while let Some(gap) = self.gaps.front().copied()
            && gap.at <= from
        {
            self.skipped_before = gap.skipped;
            self.gaps.pop_front();
        }
        needed
    }

    #[cfg(test)]
    pub(super) fn len_for_tests(&self) -> usize {
        self.text.len() + self.gaps.len()
    }
}

/// The properties of the stream that a view needs.
pub(super) struct Stream<B> {
    /// Converts a place in the view below into an offset in the stream.
    pub(super) below: B,
    /// The number of bytes that the stream has so far.
    pub(super) end: u64,
    /// Whether the stream has ended.
    pub(super) is_over: bool,
}

impl<B: Below> Stream<B> {
    /// Returns the offset of the byte at a place of a view.
    fn offset(&self, view: &View, place: u64) -> u64 {
        if place == view.end() { self.end } else { (self.below)(view.below(place)) }
    }

    /// Counts the bytes before a place that were left out in this view and in those below it.
    fn left_out(&self, view: &View, place: u64) -> u64 {
        self.offset(view, place) - place
    }
}
