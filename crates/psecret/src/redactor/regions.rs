//! The regions that are to be masked, in the bytes that have not been returned yet.

use std::collections::VecDeque;

use super::span::Span;

/// Spans that overlap, masked as one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    pub(super) start: u64,
    pub(super) end: u64,
    /// The span whose mark is shown: the first one, or the longest of several that begin there.
    pub(super) best: Span,
}

/// The regions in order; they do not overlap, but one may begin where another ends.
#[derive(Debug, Default)]
pub(super) struct Regions(VecDeque<Region>);

impl Regions {
    /// Adds spans, in any order.
    pub(super) fn add(&mut self, spans: &[Span]) {
        let Some(first) = spans.iter().map(|span| span.start).min() else { return };
        let mut regions: Vec<Region> = Vec::with_capacity(spans.len() + 1);
        while let Some(last) = self.0.pop_back_if(|region| region.end > first) {
            regions.push(last);
        }
        regions.extend(spans.iter().map(|span| Region { start: span.start, end: span.end, best: *span }));
        regions.sort_unstable_by_key(|region| region.start);
        for region in regions {
            match self.0.back_mut() {
                Some(last) if last.end > region.start => {
                    last.end = last.end.max(region.end);
                    last.best = better(last.best, region.best);
                }
                _ => self.0.push_back(region),
            }
        }
    }

    pub(super) fn first(&self) -> Option<Region> {
        self.0.front().copied()
    }

    pub(super) fn remove_first(&mut self) {
        self.0.pop_front();
    }
}

fn better(one: Span, other: Span) -> Span {
    let rank = |span: &Span| (span.start, std::cmp::Reverse(span.end), span.pattern);
    if rank(&other) < rank(&one) { other } else { one }
}
