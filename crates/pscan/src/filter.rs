//! A filter that looks only at every eighth position of a stream, and still finds every window that it searches for.
//!
//! A span of 15 bytes contains eight consecutive windows of 8 bytes, and exactly one of them begins at a multiple of
//! eight, wherever the span is. So it is enough to look at those positions. A window's hash selects a word of a map
//! and two bits in it; only if both bits are set is the window looked up. Spans of 7 to 14 bytes are found in the
//! same way in steps of four. A further needle costs memory but hardly any time; an automaton for thousands of
//! needles does not have this property.

mod kernel;
mod window;

pub use kernel::Engine;
use kernel::Map;
pub(crate) use kernel::window;
pub(crate) use window::Window;

/// The logarithms of the fewest and the most bits of a map: 512 bytes to 2 MiB, so that it fits into the processor's
/// cache. A window has 64 bits as long as the map may have so many; beyond 262,144 windows (a few hundred secrets) it
/// has fewer. The limit is not lower, because chance hits, each of them a cache miss, cost more than a larger map
/// does.
const BITS: (u32, u32) = (12, 24);

/// The windows of all needles. They are `WIDTH` bytes long, and the filter looks at the text in steps of `WIDTH`.
pub(crate) struct Filter<const WIDTH: usize> {
    /// The windows, in the order of the result of [`place`] after [`finish`](Self::finish).
    windows: Vec<(u64, Anchor)>,
    /// For each result of [`place`], the index of the first window that has this result or a higher one.
    firsts: Vec<u32>,
    /// The map; made by [`finish`](Self::finish), unless there are no windows.
    map: Option<Map>,
}

/// The place of a window in a needle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Anchor {
    pub(crate) needle: usize,
    /// The first character of the needle that begins in the window; `at` is its distance from the window's first
    /// byte.
    pub(crate) character: usize,
    pub(crate) at: usize,
}

impl<const WIDTH: usize> Filter<WIDTH> {
    pub(crate) fn new() -> Self {
        Self { windows: Vec::new(), firsts: Vec::new(), map: None }
    }

    /// Adds the windows of a needle.
    pub(crate) fn add(&mut self, needle: usize, windows: &[Window]) {
        let anchor = |window: &Window| Anchor { needle, character: window.character, at: window.at };
        self.windows.extend(windows.iter().map(|window| (window.number, anchor(window))));
    }

    /// Makes the map; called after the last needle.
    pub(crate) fn finish(&mut self, engine: Engine) {
        if self.windows.is_empty() {
            return;
        }
        // There are as many places as windows, or up to twice as many.
        let places = self.windows.len().next_power_of_two();
        self.windows.sort_unstable_by_key(|(window, anchor)| (place(*window, places), *window, *anchor));
        self.windows.dedup();
        let different = self.windows.chunk_by(|one, other| one.0 == other.0).count() as u64;
        let bits = (different * 64).next_power_of_two().trailing_zeros().clamp(BITS.0, BITS.1);
        let map = self.map.insert(Map::new(bits, engine));
        for (window, _) in &self.windows {
            map.insert(*window);
        }
        self.firsts = Vec::with_capacity(places + 1);
        let mut index = 0;
        for wanted in 0..=places {
            while self.windows.get(index).is_some_and(|(window, _)| place(*window, places) < wanted) {
                index += 1;
            }
            self.firsts.push(u32::try_from(index).unwrap_or(u32::MAX));
        }
    }

    /// Looks at every window that begins in `bytes[from..to]` and is complete. Both numbers must be multiples of
    /// eight. Calls `found` with each anchor that has the window, and with the index where the window begins.
    pub(crate) fn scan(&self, bytes: &[u8], from: usize, to: usize, found: &mut dyn FnMut(Anchor, usize)) {
        if let Some(map) = &self.map {
            map.scan::<WIDTH>(&bytes[from..to], &mut |at| self.look_up(bytes, from + at, found));
        }
    }

    #[cold]
    fn look_up(&self, bytes: &[u8], at: usize, found: &mut dyn FnMut(Anchor, usize)) {
        let wanted = window::<WIDTH>(&bytes[at..]);
        let place = place(wanted, self.firsts.len() - 1);
        let [from, to] = [place, place + 1].map(|place| self.firsts[place] as usize);
        for (_, anchor) in self.windows[from..to].iter().filter(|(window, _)| *window == wanted) {
            found(*anchor, at);
        }
    }
}

/// Maps a window to one of `places` places, which is a power of two.
///
/// A simple hash is enough, because windows are almost random, and nobody chooses both the needles and the text.
fn place(window: u64, places: usize) -> usize {
    let mixed = window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(mixed).unwrap_or(0) & (places - 1)
}
