//! A filter that looks at every eighth position of a stream and misses nothing.
//!
//! A span of 15 bytes holds eight consecutive windows of 8 bytes, and wherever it stands, exactly one of them begins at
//! a multiple of eight. So it is enough to look at those positions: each window's hash picks a word and two bits in it,
//! and only where both are set is the window looked up. Spans of 7 to 14 bytes go the same way in steps of four. A
//! needle more costs memory and hardly any time, which an automaton over thousands of needles cannot offer.

mod kernel;
mod window;

pub use kernel::Engine;
use kernel::Map;
pub(crate) use kernel::window;
pub(crate) use window::Window;

/// The fewest and the most bits of a map: 512 bytes to 2 MiB, so that it stays in the processor's cache. A window has
/// 64 bits as long as there are so many; past 262,144 windows (a few hundred secrets) it has fewer, and chance hits,
/// each of them a cache miss, cost more than the larger map does.
const BITS: (u32, u32) = (12, 24);

/// Windows of needles, `WIDTH` bytes long, looked at in steps of `WIDTH`.
pub(crate) struct Filter<const WIDTH: usize> {
    /// By what [`place`] makes of them once the last needle was added.
    windows: Vec<(u64, Anchor)>,
    /// For each place, the index of the first window that has it or a later one.
    firsts: Vec<u32>,
    /// Made after the last needle, unless there is none.
    map: Option<Map>,
}

/// Where a window lies in a needle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Anchor {
    pub(crate) needle: usize,
    /// The first character that begins in the window, and how many bytes behind the window's first.
    pub(crate) character: usize,
    pub(crate) at: usize,
}

impl<const WIDTH: usize> Filter<WIDTH> {
    pub(crate) fn new() -> Self {
        Self { windows: Vec::new(), firsts: Vec::new(), map: None }
    }

    /// Takes the windows of a needle.
    pub(crate) fn add(&mut self, needle: usize, windows: &[Window]) {
        let anchor = |window: &Window| Anchor { needle, character: window.character, at: window.at };
        self.windows.extend(windows.iter().map(|window| (window.number, anchor(window))));
    }

    /// Makes the map, after the last needle.
    pub(crate) fn finish(&mut self, engine: Engine) {
        if self.windows.is_empty() {
            return;
        }
        // A place for each window, or two.
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

    /// Looks at every window that begins in `bytes[from..to]`, both multiples of eight, as far as there are bytes.
    /// `found` gets the anchor that a window may be part of, and the index where the window begins.
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

/// Spreads windows over so many places, a power of two.
///
/// Windows are as good as random, and nobody outside chooses both the needles and the text.
fn place(window: u64, places: usize) -> usize {
    let mixed = window.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(mixed).unwrap_or(0) & (places - 1)
}
