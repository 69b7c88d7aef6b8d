//! Leaping over text in which no form can begin.
//!
//! Most of a log is no secret, and an automaton looks at each byte of it. A form of `3 + stride` bytes or more has
//! `stride` windows of four bytes near its beginning, and one of them lies at a multiple of `stride`; so it is enough to
//! look at every `stride`th window and ask a table whether any form has it there.

/// The length of a window.
pub(super) const WINDOW: usize = 4;

/// The widest stride; forms shorter than `WINDOW - 1 + stride` make it narrower.
const WIDEST_STRIDE: usize = 4;

/// Table bits for each window kept, so that chance hits stay rare.
const BITS_PER_WINDOW: usize = 128;

/// The table never takes more than half a megabyte.
const MOST_BITS: usize = 1 << 22;

/// The windows with which forms begin, hashed.
#[derive(Default)]
pub(super) struct Windows {
    /// One bit for each hash; a power of two of them.
    table: Vec<u64>,
    shift: u32,
    stride: usize,
}

impl Windows {
    /// Collects the windows of all forms. `None` when one of them is shorter than a window.
    pub(super) fn new(forms: &[&[u8]]) -> Option<Self> {
        let shortest = forms.iter().map(|form| form.len()).min()?;
        let stride = (shortest + 1).checked_sub(WINDOW)?.min(WIDEST_STRIDE);
        if stride == 0 {
            return None;
        }
        let bits = (forms.len() * stride * BITS_PER_WINDOW).next_power_of_two().clamp(1 << 12, MOST_BITS);
        let mut windows = Self { table: vec![0; bits / 64], shift: 32 - bits.trailing_zeros(), stride };
        for form in forms {
            for window in form.windows(WINDOW).take(stride) {
                if let Ok(window) = window.try_into() {
                    let hash = windows.hash(window);
                    windows.table[hash / 64] |= 1 << (hash % 64);
                }
            }
        }
        Some(windows)
    }

    /// How many beginnings one window speaks for: its own and those of the `stride - 1` bytes before it.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    fn hash(&self, window: [u8; WINDOW]) -> usize {
        // Multiplicative hashing (Knuth, TAOCP 6.4): the upper bits of the product are well mixed.
        (u32::from_le_bytes(window).wrapping_mul(0x9e37_79b1) >> self.shift) as usize
    }

    fn has(&self, window: [u8; WINDOW]) -> bool {
        let hash = self.hash(window);
        self.table.get(hash / 64).is_some_and(|word| word >> (hash % 64) & 1 == 1)
    }

    /// The first window looked at that a form may have, among those wholly within the text; else where to look next.
    pub(super) fn first(&self, text: &[u8]) -> Result<usize, usize> {
        if self.stride == WINDOW {
            let (windows, _) = text.as_chunks::<WINDOW>();
            return match windows.iter().position(|window| self.has(*window)) {
                Some(at) => Ok(at * WINDOW),
                None => Err(windows.len() * WINDOW),
            };
        }
        let mut at = 0;
        while let Some(window) = text.get(at..at + WINDOW).and_then(|window| window.try_into().ok()) {
            if self.has(window) {
                return Ok(at);
            }
            at += self.stride;
        }
        Err(at)
    }
}

/// The first byte that is neither a character nor a tab nor a line feed.
pub(super) fn first_control(text: &[u8]) -> Option<usize> {
    let is_control = |byte: u8| ((byte < 0x20) & (byte != b'\t') & (byte != b'\n')) | (byte == 0x7f);
    let (blocks, rest) = text.as_chunks::<64>();
    // Whole blocks without a branch for each byte, so that the compiler makes wide instructions of it.
    let block = blocks.iter().position(|block| block.iter().fold(false, |any, byte| any | is_control(*byte)));
    match block {
        Some(block) => blocks[block].iter().position(|byte| is_control(*byte)).map(|at| block * 64 + at),
        None => rest.iter().position(|byte| is_control(*byte)).map(|at| blocks.len() * 64 + at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_form_decides_the_stride() {
        for (length, stride) in [(4, 1), (5, 2), (6, 3), (7, 4), (8, 4), (30, 4)] {
            let form = vec![b'x'; length];
            assert_eq!(Windows::new(&[&form, &[b'y'; 40]]).unwrap().stride(), stride, "{length}");
        }
        assert!(Windows::new(&[b"abc"]).is_none() && Windows::new(&[]).is_none());
    }

    #[test]
    fn no_form_begins_before_what_is_found() {
        for length in 4..12 {
            let form: Vec<u8> = (0..length).map(|at| b'A' + at).collect();
            let windows = Windows::new(&[&form]).unwrap();
            for before in 0..40 {
                let text = [&vec![b'.'; before][..], &form, b"...."].concat();
                let at = windows.first(&text).expect("the form is there");
                assert!(at < before + windows.stride() && at + windows.stride() > before, "{length}, {before}, {at}");
            }
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
