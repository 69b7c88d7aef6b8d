//! Marks the lines that an init command prints with the command's name.

use alloc::vec::Vec;

/// Puts a prefix before each line of a stream, wherever the stream is cut into pieces.
pub struct Prefixer<'a> {
    prefix: &'a [u8],
    at_start: bool,
}

impl<'a> Prefixer<'a> {
    /// Makes a prefixer for a stream that begins with a new line.
    #[must_use]
    pub fn new(prefix: &'a [u8]) -> Self {
        Self { prefix, at_start: true }
    }

    /// Returns the bytes with the prefix before each line that begins in them.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + self.prefix.len());
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.at_start {
                out.extend_from_slice(self.prefix);
            }
            out.extend_from_slice(line);
            self.at_start = line.ends_with(b"\n");
        }
        out
    }

    /// Returns a line end if the last line lacks one, and otherwise nothing.
    pub fn finish(&mut self) -> &'static [u8] {
        if core::mem::replace(&mut self.at_start, true) { b"" } else { b"\n" }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_last_line_without_an_end_gets_one() {
        let mut prefixer = Prefixer::new(b"[migrate] ");
        assert_eq!(prefixer.push(b"one\ntwo"), b"[migrate] one\n[migrate] two");
        assert_eq!(prefixer.finish(), b"\n");
        assert_eq!(prefixer.finish(), b"");
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_lines_are_the_same(text in "[ab\n]{0,40}", cut in 0_usize..40) {
            let cut = cut.min(text.len());
            let mut whole = Prefixer::new(b"> ");
            let mut parts = Prefixer::new(b"> ");
            let expected = whole.push(text.as_bytes());
            let mut found = parts.push(&text.as_bytes()[..cut]);
            found.extend(parts.push(&text.as_bytes()[cut..]));
            prop_assert_eq!(found, expected);
        }
    }
}
