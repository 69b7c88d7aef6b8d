//! Lines that an encoder may have wrapped.

use std::ops::Range;

use super::view::View;

/// The length of the shortest line that an encoder wraps. The end of a shorter line also ends a word.
const SHORTEST_WRAPPED_LINE: usize = 16;

/// Tells the ends of wrapped lines, and the indentation after them, from other text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wrapping {
    /// The number of last characters that belong to an encoder's alphabet, at most [`SHORTEST_WRAPPED_LINE`].
    run: usize,
    /// Whether the next blanks are indentation.
    indenting: bool,
}

impl Wrapping {
    /// Reads the next text, and returns the parts of it that wrapping added.
    pub(super) fn added(&mut self, text: &[u8]) -> Vec<Range<usize>> {
        let mut added = Vec::new();
        let mut at = 0;
        if self.indenting {
            at = indentation(text);
            if at > 0 {
                added.push(0..at);
            }
            self.indenting = at == text.len();
        }
        for end in memchr::memchr_iter(b'\n', &text[at..]).map(|found| at + found) {
            if self.run_behind(&text[..end]) == SHORTEST_WRAPPED_LINE {
                let next = end + 1 + indentation(&text[end + 1..]);
                added.push(end..next);
                self.indenting = next == text.len();
            }
        }
        self.run = self.run_behind(text);
        added
    }

    fn run_behind(&self, text: &[u8]) -> usize {
        let run = text.iter().rev().take(SHORTEST_WRAPPED_LINE).take_while(|byte| ENCODES[usize::from(**byte)]).count();
        if run == text.len() { (self.run + run).min(SHORTEST_WRAPPED_LINE) } else { run }
    }
}

/// Adds the text to a view, which leaves out the parts in `added`.
pub(super) fn join(text: &[u8], added: &[Range<usize>], view: &mut View) {
    let mut at = 0;
    for part in added {
        view.append(&text[at..part.start]);
        view.skip(part.len());
        at = part.end;
    }
    view.append(&text[at..]);
}

fn indentation(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

/// Whether a byte belongs to an alphabet that encoders use and wrap.
static ENCODES: [bool; 256] = {
    let mut encodes = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        encodes[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
        byte += 1;
    }
    encodes
};

#[cfg(test)]
mod tests {
    use super::super::view::Left;
    use super::*;

    #[test]
    fn only_long_runs_are_wrapped_however_the_text_is_cut_s16() {
        let text = "aaaaaaaaaaaaaaa\naaaaaaaaaaaaaaaa\n \t bbbb-bbbb/bbbb=bbbb+\nshort\n  cc\ncccccccccccccccccccc \ndddddddddddddddd\n";
        let expected =
            "aaaaaaaaaaaaaaa\naaaaaaaaaaaaaaaabbbb-bbbb/bbbb=bbbb+short\n  cc\ncccccccccccccccccccc \ndddddddddddddddd";
        for width in 1..text.len() + 1 {
            let (mut wrapping, mut kept) = (Wrapping::default(), View::new(Left::LineEnds));
            for piece in text.as_bytes().chunks(width) {
                let added = wrapping.added(piece);
                join(piece, &added, &mut kept);
            }
            assert_eq!(String::from_utf8_lossy(kept.text_from(0)), expected, "pieces of {width}");
        }
    }
}
