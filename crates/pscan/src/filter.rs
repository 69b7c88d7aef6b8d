//! A filter that looks at every eighth position of a stream and misses nothing.
//!
//! A needle of 15 bytes or more holds eight consecutive windows of 8 bytes, and wherever it stands, exactly one of them
//! begins at a multiple of eight. So it is enough to look at those positions: each window's hash picks a word and two
//! bits in it, and only where both are set is the window looked up. Needles of 7 to 14 bytes go the same way in steps of
//! four. A needle more costs memory and hardly any time, which an automaton over thousands of needles cannot offer.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Odd, its bits well mixed: multiplication carries every bit of a window into the upper half.
const FACTOR: u64 = 0x85eb_ca77_c2b2_ae3d;

/// The fewest and the most bits of a map: 512 bytes to 1 MiB, so that it stays in the processor's cache.
const BITS: (u32, u32) = (12, 23);

/// A span with fewer different bytes than this stands in padding and in pictures: every second window would be looked
/// up.
const LEAST_VARIETY: usize = 4;

/// Needles whose windows are `WIDTH` bytes long, looked at in steps of `WIDTH`.
pub(crate) struct Filter<const WIDTH: usize> {
    map: Vec<u64>,
    shift: u32,
    windows: HashMap<u64, Vec<Anchor>, BuildHasherDefault<WindowHasher>>,
    entries: u32,
}

/// Where a window lies in a needle.
#[derive(Clone, Copy)]
struct Anchor {
    needle: u32,
    offset: u32,
}

impl<const WIDTH: usize> Filter<WIDTH> {
    /// How long a needle must be.
    pub(crate) const SHORTEST: usize = 2 * WIDTH - 1;

    pub(crate) fn new() -> Self {
        Self { map: Vec::new(), shift: 0, windows: HashMap::default(), entries: 0 }
    }

    /// Takes a needle, or refuses it: too short, or everywhere the same.
    pub(crate) fn add(&mut self, needle: usize, head: &[u8]) -> bool {
        let (Some(at), Ok(needle)) = (Self::rarest_span(head), u32::try_from(needle)) else { return false };
        for step in 0..WIDTH {
            let offset = at + step;
            let window = window::<WIDTH>(&head[offset..]);
            // A head is at most a few hundred bytes long.
            let offset = u32::try_from(offset).unwrap_or(u32::MAX);
            self.windows.entry(window).or_default().push(Anchor { needle, offset });
            self.entries += 1;
        }
        true
    }

    /// The most varied span, the one nearest to the middle of several: what values have in common, such as the prefixes
    /// of tokens, stands at their ends.
    fn rarest_span(head: &[u8]) -> Option<usize> {
        let spans = head.len().checked_sub(Self::SHORTEST)? + 1;
        let (variety, at) = (0..spans)
            .map(|at| {
                let mut bytes = head[at..at + Self::SHORTEST].to_vec();
                bytes.sort_unstable();
                bytes.dedup();
                (bytes.len(), at)
            })
            .max_by_key(|(variety, at)| (*variety, std::cmp::Reverse(at.abs_diff(spans / 2))))?;
        (variety >= LEAST_VARIETY).then_some(at)
    }

    /// Makes the map, after the last needle.
    pub(crate) fn finish(&mut self) {
        let bits = (u64::from(self.entries) * 64).next_power_of_two().trailing_zeros().clamp(BITS.0, BITS.1);
        self.shift = 64 - (bits - 6);
        self.map = vec![0; 1 << (bits - 6)];
        for window in self.windows.keys() {
            let (word, mask) = self.place(*window);
            self.map[word] |= mask;
        }
    }

    fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    #[inline(always)]
    fn place(&self, window: u64) -> (usize, u64) {
        let mixed = window.wrapping_mul(FACTOR);
        // The shift leaves as many bits as the map has words.
        let word = (mixed >> self.shift) as usize;
        (word, 1 << ((mixed >> 32) & 63) | 1 << ((mixed >> 26) & 63))
    }

    #[inline(always)]
    fn may_begin(&self, bytes: &[u8]) -> bool {
        let (word, mask) = self.place(window::<WIDTH>(bytes));
        self.map[word] & mask == mask
    }

    /// Looks at every window that begins in `bytes[from..to]`, both multiples of eight, as far as there are bytes, and
    /// calls `found` with a needle and the index where it would have to begin.
    pub(crate) fn scan(&self, bytes: &[u8], from: usize, to: usize, found: &mut dyn FnMut(usize, usize)) {
        if self.is_empty() {
            return;
        }
        let region = &bytes[from..to];
        let mut blocks = region.chunks_exact(8 * WIDTH);
        let mut at = from;
        for block in &mut blocks {
            let mut candidates = 0_u32;
            for (nth, bytes) in block.chunks_exact(WIDTH).enumerate() {
                candidates |= u32::from(self.may_begin(bytes)) << nth;
            }
            while candidates != 0 {
                let nth = candidates.trailing_zeros() as usize;
                candidates &= candidates - 1;
                self.look_up(bytes, at + nth * WIDTH, found);
            }
            at += 8 * WIDTH;
        }
        for bytes_of_window in blocks.remainder().chunks_exact(WIDTH) {
            if self.may_begin(bytes_of_window) {
                self.look_up(bytes, at, found);
            }
            at += WIDTH;
        }
    }

    #[cold]
    fn look_up(&self, bytes: &[u8], at: usize, found: &mut dyn FnMut(usize, usize)) {
        for anchor in self.windows.get(&window::<WIDTH>(&bytes[at..])).into_iter().flatten() {
            if let Some(start) = at.checked_sub(anchor.offset as usize) {
                found(anchor.needle as usize, start);
            }
        }
    }
}

/// The first bytes as a number.
#[inline(always)]
fn window<const WIDTH: usize>(bytes: &[u8]) -> u64 {
    let mut window = [0; 8];
    window[..WIDTH].copy_from_slice(&bytes[..WIDTH]);
    u64::from_le_bytes(window)
}

/// Windows are as good as random, and nobody outside chooses both the needles and the text.
#[derive(Default)]
struct WindowHasher(u64);

impl Hasher for WindowHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(FACTOR).rotate_left(20);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter<const WIDTH: usize>(needles: &[&[u8]]) -> Filter<WIDTH> {
        let mut filter = Filter::new();
        for (at, needle) in needles.iter().enumerate() {
            assert!(filter.add(at, needle));
        }
        filter.finish();
        filter
    }

    fn starts<const WIDTH: usize>(filter: &Filter<WIDTH>, needles: &[&[u8]], text: &[u8]) -> Vec<(usize, usize)> {
        let mut seen = Vec::new();
        filter.scan(text, 0, text.len(), &mut |needle, start| {
            if text[start..].starts_with(needles[needle]) {
                seen.push((needle, start));
            }
        });
        seen
    }

    #[test]
    fn a_needle_is_found_once_wherever_it_stands() {
        let long: &[u8] = b"abcdefghijklmno";
        let short: &[u8] = b"0123456";
        let (wide, narrow) = (filter::<8>(&[long]), filter::<4>(&[short]));
        for at in 0..100 {
            let text = [&vec![b'.'; at], long, b"..", short, b"."].concat();
            assert_eq!(starts(&wide, &[long], &text), [(0, at)]);
            assert_eq!(starts(&narrow, &[short], &text), [(0, at + 17)]);
        }
    }

    #[test]
    fn what_is_too_short_or_too_even_is_refused() {
        assert!(!Filter::<8>::new().add(0, b"abcdefghijklmn"));
        assert!(!Filter::<8>::new().add(0, b"aaaaaaaaaaaaaaaaaaaaaaaaaaa"));
        assert!(!Filter::<4>::new().add(0, b"abcdef"));
    }

    #[test]
    fn the_span_avoids_what_values_have_in_common() {
        let key = b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg0123456789";
        let body = key.iter().position(|byte| *byte == b'\n');
        assert!(Filter::<8>::rarest_span(key) > body, "the span lies in what only this key has");
    }
}
