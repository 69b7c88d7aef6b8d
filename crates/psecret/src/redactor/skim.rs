//! Skips text in which no form can begin.
//!
//! Most of a log is not secret, so the search must pass over it without looking at each byte. A form of 23 bytes or
//! more has 16 windows of eight bytes at its beginning, and wherever it is in the text, one of these windows lies at
//! a multiple of 16. So it is enough to look at every 16th window, and to ask a map whether any form has this window.
//! Eight bytes hardly ever agree by chance, even in hex and in base64. Shorter forms, of which there are few, have
//! windows of four bytes and small maps of their own. If a map knows a window, the map of prefixes is asked for the
//! first eight bytes at each place where such a form would begin.

use memchr::memmem;

/// The lengths of windows.
const LONG: usize = 8;
const SHORT: usize = 4;

/// The numbers of windows at the beginning of a form that the maps of the three classes hold.
const FAR: usize = 16;
const WIDE: usize = 8;
const NARROW: usize = 4;

/// The shortest forms of the two wider classes.
const LEAST_FAR: usize = FAR - 1 + LONG;
const LEAST_WIDE: usize = WIDE - 1 + SHORT;

/// The number of bytes of a form's beginning that the map of prefixes holds. Shorter forms are not in this map.
pub(super) const PREFIX: usize = 8;

/// The number of bytes, from a start on, that the search may look at.
pub(super) const LOOKED_AT: u64 = LEAST_FAR as u64;

/// The number of bytes that are looked at in one go.
const BLOCK: usize = 64;

/// The bits per number in a small map, and in the large one. The large map says yes to one window in twenty by
/// chance, but it stays in the core's own cache.
const SPARSE: usize = 32;
const DENSE: usize = 8;

/// The most beginnings of forms of 8 to 10 bytes that are searched for one by one. Each takes a pass over the text,
/// and a map takes as long as about five passes.
const MOST_SOUGHT: usize = 4;

/// Stretches shorter than this are looked at byte by byte. They occur beside each byte that a view leaves out.
const LEAST_LEAP: usize = 64;

/// The beginnings of forms, by the forms' lengths.
#[derive(Default)]
pub(super) struct Skim {
    /// The first long windows of forms of 23 bytes or more, for looks in steps of 16.
    far: Option<Map>,
    /// The first short windows of forms of 11 to 22 bytes, for looks in steps of eight.
    wide: Option<Map>,
    /// The first short windows of forms of 8 to 10 bytes, for looks in steps of four. Used if there are many such
    /// forms.
    narrow: Option<Map>,
    /// The first eight bytes of the forms of 8 to 10 bytes. Used if there are few such forms.
    sought: Vec<u64>,
    /// The first short windows of the forms of 4 to 7 bytes, for looks at every byte. No form is shorter than a short
    /// window.
    single: Option<Map>,
    /// The first eight bytes of all forms of eight bytes or more.
    prefixes: Option<Map>,
}

impl Skim {
    /// Makes the maps of all forms.
    pub(super) fn new(forms: &[&[u8]]) -> Self {
        let of = |least: usize, most: usize| -> Vec<&[u8]> {
            forms.iter().copied().filter(|form| (least..=most).contains(&form.len())).collect()
        };
        let short = |forms: Vec<&[u8]>, count: usize| {
            Map::of(SPARSE, forms.iter().flat_map(|form| form.windows(SHORT).take(count)).map(number::<SHORT>))
        };
        let far = of(LEAST_FAR, usize::MAX);
        let narrow = of(PREFIX, LEAST_WIDE - 1);
        let mut sought: Vec<u64> = narrow.iter().copied().map(number::<PREFIX>).collect();
        sought.sort_unstable();
        sought.dedup();
        let is_few = sought.len() <= MOST_SOUGHT;
        Self {
            far: Map::of(DENSE, far.iter().flat_map(|form| form.windows(LONG).take(FAR)).map(number::<LONG>)),
            wide: short(of(LEAST_WIDE, LEAST_FAR - 1), WIDE),
            narrow: if is_few { None } else { short(narrow, NARROW) },
            sought: if is_few { sought } else { Vec::new() },
            single: short(of(SHORT, PREFIX - 1), 1),
            prefixes: Map::of(SPARSE, of(PREFIX, usize::MAX).into_iter().map(number::<PREFIX>)),
        }
    }

    /// Adds to `starts`, in order, every index from `from` up to `to` at which a form may begin. The text must have
    /// [`LOOKED_AT`] bytes from each of these indexes on.
    pub(super) fn starts(&self, text: &[u8], from: usize, to: usize, starts: &mut Vec<usize>) {
        if from >= to {
            return;
        }
        let before = starts.len();
        if let Some(map) = &self.single {
            map.each_known::<SHORT, 1>(&text[from..to + SHORT - 1], |at| starts.push(from + at));
        }
        if to - from < LEAST_LEAP {
            self.look_at_each(text, from, to, starts);
        } else {
            self.leap(text, from, to, starts);
        }
        starts[before..].sort_unstable();
    }

    /// Whether a form may begin at the text's beginning; more text may follow.
    pub(super) fn may_begin(&self, text: &[u8]) -> bool {
        let knows = |map: &Option<Map>, number: u64| map.as_ref().is_some_and(|map| map.may_know(number));
        text.len() < PREFIX
            || knows(&self.prefixes, number::<PREFIX>(text))
            || knows(&self.single, number::<SHORT>(text))
    }

    /// Adds the starts by asking the map of prefixes at every index.
    fn look_at_each(&self, text: &[u8], from: usize, to: usize, starts: &mut Vec<usize>) {
        if let Some(prefixes) = &self.prefixes {
            let beginnings = text[from..to + PREFIX - 1].windows(PREFIX).enumerate();
            starts.extend(
                beginnings.filter(|(_, bytes)| prefixes.may_know(number::<PREFIX>(bytes))).map(|(at, _)| from + at),
            );
        }
    }

    fn leap(&self, text: &[u8], from: usize, to: usize, starts: &mut Vec<usize>) {
        if let Some(map) = &self.far {
            self.add::<LONG, FAR>(map, text, from, to, starts);
        }
        if let Some(map) = &self.wide {
            self.add::<SHORT, WIDE>(map, text, from, to, starts);
        }
        if let Some(map) = &self.narrow {
            self.add::<SHORT, NARROW>(map, text, from, to, starts);
        }
        self.seek(text, from, to, starts);
    }

    fn add<const WINDOW: usize, const STRIDE: usize>(
        &self,
        map: &Map,
        text: &[u8],
        from: usize,
        to: usize,
        starts: &mut Vec<usize>,
    ) {
        let Some(prefixes) = &self.prefixes else { return };
        // The window at the end of a step is part of every form that begins within the step.
        let steps = (to - from).div_ceil(STRIDE);
        let windows = &text[from + STRIDE - 1..from + STRIDE * steps - 1 + WINDOW];
        map.each_known::<WINDOW, STRIDE>(windows, |at| {
            let first = from + at;
            for start in first..(first + STRIDE).min(to) {
                if prefixes.may_know(number::<PREFIX>(&text[start..])) {
                    starts.push(start);
                }
            }
        });
    }

    /// Adds every index at which one of the few forms in `sought` begins.
    fn seek(&self, text: &[u8], from: usize, to: usize, starts: &mut Vec<usize>) {
        let text = &text[from..to + PREFIX - 1];
        for wanted in &self.sought {
            let bytes = wanted.to_le_bytes();
            let mut next = 0;
            let finder = memmem::Finder::new(&bytes);
            // The next match may overlap this one.
            while let Some(at) = finder.find(&text[next..]) {
                starts.push(from + next + at);
                next += at + 1;
            }
        }
    }
}

/// A set of numbers that may say yes by chance. Each number has two bits in one word, so chance hits are rare and the
/// map fits into the core's cache.
struct Map {
    words: Vec<u64>,
    /// The shift that reduces a hash to an index of `words`.
    shift: u32,
}

impl Map {
    /// Makes a map of numbers; returns `None` if there are no numbers. Each number has room for `sparse` bits, or up
    /// to twice as many.
    fn of(sparse: usize, numbers: impl Iterator<Item = u64>) -> Option<Self> {
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        numbers.dedup();
        let words = (numbers.len() * sparse / 64).next_power_of_two().max(64);
        let mut map = Self { words: vec![0; words], shift: 64 - words.trailing_zeros() };
        for number in &numbers {
            let (word, mask) = map.place(*number);
            map.words[word] |= mask;
        }
        (!numbers.is_empty()).then_some(map)
    }

    /// Returns the index of a number's word, and the number's bits in it. The multiplication carries every bit of the
    /// number into the upper half.
    #[inline(always)]
    fn place(&self, number: u64) -> (usize, u64) {
        let mixed = number.wrapping_mul(0x85eb_ca77_c2b2_ae3d);
        ((mixed >> self.shift) as usize, 1 << ((mixed >> 32) & 63) | 1 << ((mixed >> 26) & 63))
    }

    #[inline(always)]
    fn may_know(&self, number: u64) -> bool {
        let (word, mask) = self.place(number);
        self.words[word] & mask == mask
    }

    /// Calls `known` with the index of each window that the map may know. The windows begin at the multiples of
    /// `STRIDE`.
    #[inline(always)]
    fn each_known<const WINDOW: usize, const STRIDE: usize>(&self, text: &[u8], mut known: impl FnMut(usize)) {
        let mut at = 0;
        // Whole blocks need one branch each. The last window of a block may end after the block.
        while let Some(block) = text.get(at..at + BLOCK + WINDOW - 1) {
            let mut hits = 0_u64;
            for nth in 0..BLOCK / STRIDE {
                hits |= u64::from(self.may_know(number::<WINDOW>(&block[nth * STRIDE..]))) << nth;
            }
            while hits != 0 {
                known(at + hits.trailing_zeros() as usize * STRIDE);
                hits &= hits - 1;
            }
            at += BLOCK;
        }
        while let Some(window) = text.get(at..at + WINDOW) {
            if self.may_know(number::<WINDOW>(window)) {
                known(at);
            }
            at += STRIDE;
        }
    }
}

/// Reads the first `LENGTH` bytes as a number.
#[inline(always)]
fn number<const LENGTH: usize>(bytes: &[u8]) -> u64 {
    let mut number = [0; 8];
    number[..LENGTH].copy_from_slice(&bytes[..LENGTH]);
    u64::from_le_bytes(number)
}

/// Finds the first control byte that is neither a tab nor a line feed.
pub(super) fn first_control(text: &[u8]) -> Option<usize> {
    let is_control = |byte: u8| ((byte < 0x20) & (byte != b'\t') & (byte != b'\n')) | (byte == 0x7f);
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    // A whole block is read without a branch for each byte, so that the compiler can use wide instructions.
    let block = blocks.iter().position(|block| block.iter().fold(false, |any, byte| any | is_control(*byte)));
    match block {
        Some(block) => blocks[block].iter().position(|byte| is_control(*byte)).map(|at| block * BLOCK + at),
        None => rest.iter().position(|byte| is_control(*byte)).map(|at| blocks.len() * BLOCK + at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(skim: &Skim, text: &[u8]) -> Vec<usize> {
        let mut starts = Vec::new();
        skim.starts(text, 0, (text.len() + 1).saturating_sub(LOOKED_AT as usize), &mut starts);
        starts
    }

    #[test]
    fn no_beginning_is_missed_wherever_it_stands_and_whatever_its_length() {
        for length in 4..30 {
            let form: Vec<u8> = (0..length).map(|at| b'A' + at).collect();
            let few = Skim::new(&[&form, &[b'y'; 40], b"another9", b"weak"]);
            let many =
                Skim::new(&[&form, &[b'y'; 40], b"another1", b"another2", b"another3", b"another4", b"another5"]);
            for (before, skim) in (0..200).flat_map(|before| [(before, &few), (before, &many)]) {
                let text = [&vec![b'.'; before][..], &form, &[b'.'; 100]].concat();
                assert!(starts(skim, &text).contains(&before), "{length}, {before}");
            }
        }
    }

    #[test]
    fn the_starts_asked_for_are_told_and_no_others() {
        let skim = Skim::new(&[&[b'x'; 40], &[b'x'; 9], &[b'x'; 5]]);
        let text = [b'x'; 420];
        for (from, to) in [(0, 1), (0, 7), (3, 10), (0, 390), (100, 120), (389, 390), (5, 5)] {
            let mut told = Vec::new();
            skim.starts(&text, from, to, &mut told);
            told.dedup();
            assert_eq!(told, (from..to).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_only_looks_like_a_beginning_is_passed_over() {
        let skim = Skim::new(&[b"abcdefghijk", b"0123456789a"]);
        for text in ["abcdefgX and more text", "1234567X and more text", "xxxbcdeX and more text"] {
            assert_eq!(starts(&skim, text.as_bytes()), [0; 0], "{text}");
        }
    }

    #[test]
    fn control_is_found_at_every_place() {
        for control in [0, 8, b'\r', 0x1b, 0x1f, 0x7f] {
            for at in 0..150 {
                let mut text = b"a\t\n\x80\xff ".repeat(25);
                text[at] = control;
                assert_eq!(first_control(&text), Some(at));
            }
        }
        assert_eq!(first_control(b"a\tb\n"), None);
    }
}
