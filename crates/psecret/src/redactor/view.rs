//! One reading of a stream, all of its bytes or some left out, and the search in it.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::patterns::{LONGEST_HEAD, Patterns, common};
use super::skim::LOOKED_AT;
use super::span::Span;

/// No match is stretched over more bytes left out than these, so that what is held back stays bounded.
const MOST_LEFT_OUT: u64 = 64 * 1024;

/// More tails than this are not followed at a time.
const MOST_TAILS: usize = 64;

/// So many characters before a wrapped line's end may begin a match that is masked from there; fewer tell nothing, and
/// holding them would delay nearly every line.
const SHORTEST_HELD: u64 = 4;

/// The bytes that a view leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// None.
    Nothing,
    /// Those that a terminal does not show.
    Control,
    /// The ends of wrapped lines, and the indentation behind them.
    LineEnds,
}

/// A reading: the bytes that it kept of what lies below it, which is the stream or another view.
///
/// Its *places* count the bytes that it read, so that of two bytes the later one has the higher place; they begin at
/// the place below at which it parted from the view below.
#[derive(Clone, Debug)]
pub(super) struct View {
    left: Left,
    /// Whether this view differs from the one below; else it is empty, and the one below stands for it. Its memory is
    /// kept: a coloured log parts in each piece, and memory that is dropped must be wiped.
    parted: bool,
    /// The bytes from `base` on, as far as anything still needs them.
    text: Zeroizing<Vec<u8>>,
    base: u64,
    /// Where bytes were left out, as far as that matters to `text`.
    gaps: VecDeque<Gap>,
    /// Bytes left out before the oldest gap kept.
    skipped_before: u64,
    /// Places at which a form may begin, as far as its first eight bytes tell.
    starts: VecDeque<u64>,
    /// All starts before this place are told.
    told: u64,
    tails: Vec<Tail>,
}

/// Bytes left out just before a place.
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
    start: u64,
    /// How much of the pattern matched so far, and the place behind that.
    matched: usize,
    until: u64,
    /// How many bytes were left out before its first.
    skipped: u64,
    ended: bool,
}

/// How a view's places lie in the stream.
pub(super) trait Below: Fn(u64) -> u64 {}
impl<F: Fn(u64) -> u64> Below for F {}

impl View {
    /// Makes a view that leaves out nothing yet: of a stream from its first byte on, or one to [part](View::part)
    /// later.
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

    /// Begins to differ from the view below at its place `end`.
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

    /// Returns this view, if it differs from the view below, else that one.
    pub(super) fn or<'a>(&'a self, below: &'a Self) -> &'a Self {
        if self.parted { self } else { below }
    }

    pub(super) fn is_parted(&self) -> bool {
        self.parted
    }

    /// Ends the difference from the view below, if this view has nothing that the view below has not; it begins anew
    /// when this view leaves a byte out again.
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

    /// The place of the first byte that is kept, and all that are.
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

    /// The place behind the last byte.
    pub(super) fn end(&self) -> u64 {
        self.base + self.text.len() as u64
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        // Growing would leave a copy in memory that nobody wipes.
        if self.text.capacity() - self.text.len() < bytes.len() {
            let mut larger = Zeroizing::new(Vec::with_capacity((self.text.len() + bytes.len()) * 2));
            larger.extend_from_slice(&self.text);
            self.text = larger;
        }
        self.text.extend_from_slice(bytes);
    }

    /// Leaves bytes out.
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

    /// Counts the bytes that the first so many gaps left out.
    fn skipped_by(&self, gaps: usize) -> u64 {
        gaps.checked_sub(1).map_or(self.skipped_before, |last| self.gaps[last].skipped)
    }

    /// Returns the place of a byte in the view below.
    pub(super) fn below(&self, place: u64) -> u64 {
        place + self.skipped(place)
    }

    /// Returns the place of a byte of the view below, or of the next byte that this view did not leave out.
    fn above(&self, below: u64) -> u64 {
        let gaps = self.gaps.partition_point(|gap| gap.at + gap.skipped <= below);
        // What lies before the gaps kept has no place any more; any before `base` will do.
        let place = below.saturating_sub(self.skipped_by(gaps));
        self.gaps.get(gaps).map_or(place, |gap| place.min(gap.at))
    }

    /// Tells where forms may begin, as far as there are bytes to say so. What begins behind `old_end` without a gap in
    /// the bytes that are looked at was `told_below`; all other starts are looked for here. Returns what was told.
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

    /// Follows every start and tail as far as there are bytes, and adds what is found to `spans`. Starts that more
    /// bytes may decide are kept, unless these are the stream's last.
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
        // Too near to the end to be told.
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

    /// Whether it is decided what begins at a place.
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

    /// Compares as much of a tail as there is.
    fn follow(&self, patterns: &Patterns, stream: &Stream<impl Below>, tail: &mut Tail, spans: &mut Vec<Span>) {
        if tail.ended {
            return;
        }
        let rest = &patterns.tail(tail.pattern)[tail.matched - LONGEST_HEAD..];
        let more = common(rest, self.text_from(tail.until)) as u64;
        // How many bytes are left out grows with the place.
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

    /// Returns the offset from which a match is masked that begins at `start` and ends before `end`.
    fn masked_from(&self, stream: &Stream<impl Below>, start: u64, end: u64) -> u64 {
        if self.left == Left::LineEnds {
            let next = self.gaps.partition_point(|gap| gap.at <= start);
            if let Some(gap) = self.gaps.get(next)
                && gap.at < end.min(start + SHORTEST_HELD)
            {
                // The gap begins with the line's end, which is shown as well.
                return (stream.below)(gap.at + self.skipped_by(next)) + 1;
            }
        }
        stream.offset(self, start)
    }

    /// The first place that a match to come may begin with.
    fn first_needed(&self) -> u64 {
        self.starts.front().map_or(self.told, |start| self.told.min(*start)).min(self.end())
    }

    /// Returns the first offset of the stream that a match to come may cover.
    pub(super) fn undecided_from(&self, stream: &Stream<impl Below>) -> u64 {
        let first = self.first_needed();
        // What is not decided goes on behind the end, and so behind each gap.
        let from = if first == self.end() { stream.end } else { self.masked_from(stream, first, u64::MAX) };
        self.tails.iter().map(|tail| tail.start).fold(from, u64::min)
    }

    /// Forgets the bytes that neither a match to come nor, from the place `also`, anyone else needs, and what was left
    /// out before them. What was masked is wiped. Returns which place of the view below is still needed.
    pub(super) fn forget(&mut self, also: u64, masked: bool) -> u64 {
        let from = self.first_needed().min(also);
        let needed = self.below(from);
        // A view above may remember more than this one ever had.
        let base = from.max(self.base);
        let gone = self.index(base);
        let left = self.text.len() - gone;
        self.text.copy_within(gone.., 0);
        // What lies behind is a copy of what left already, except for what was masked.
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

/// The facts of the stream that a view must know.
pub(super) struct Stream<B> {
    /// From a place in the view below to an offset in the stream.
    pub(super) below: B,
    /// How many bytes it has so far.
    pub(super) end: u64,
    /// Whether no more will come.
    pub(super) is_over: bool,
}

impl<B: Below> Stream<B> {
    /// Returns the offset of the byte at a place of a view.
    fn offset(&self, view: &View, place: u64) -> u64 {
        if place == view.end() { self.end } else { (self.below)(view.below(place)) }
    }

    /// Counts the bytes that were left out before a place, in this view and those below.
    fn left_out(&self, view: &View, place: u64) -> u64 {
        self.offset(view, place) - place
    }
}
