//! Divides redacted chunks of a log into lines.

use std::time::{Duration, Instant};

/// The longest piece of a line, in bytes. Longer lines are shown in pieces (L6).
const LONGEST_PIECE: usize = 16 * 1024;

/// The time that a text waits for its line end before it is shown (L5).
const PATIENCE: Duration = Duration::from_millis(200);

/// A line, or a piece of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The text without its line end. It may be any bytes, because steps may print any bytes.
    pub(super) text: Vec<u8>,
    /// True if the piece continues the line of the previous piece.
    pub(super) continues: bool,
    /// True if the line ends with this piece.
    pub(super) ends: bool,
}

/// Collects one output stream of one step.
///
/// As on a terminal, a carriage return without a line end starts the line again. A progress bar therefore becomes one
/// line with its last state, not a line for every state.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    text: Vec<u8>,
    /// True if the last byte was a carriage return.
    returned: bool,
    /// True if a carriage return started the line again. Such a line is not shown before its end.
    rewritten: bool,
    /// True if a piece of this line was already shown.
    open: bool,
    /// The time at which the first byte of `text` arrived.
    since: Option<Instant>,
}

impl LineBuffer {
    /// Adds bytes, and appends the completed lines and pieces to `out`.
    pub(super) fn push(&mut self, bytes: &[u8], now: Instant, out: &mut Vec<Piece>) {
        for part in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let (text, end) = match part.split_last() {
                Some((end @ (b'\n' | b'\r'), text)) => (text, Some(*end)),
                _ => (part, None),
            };
            if !text.is_empty() {
                self.begin_anew_after_return(out);
                self.text.extend_from_slice(text);
                self.since.get_or_insert(now);
                while self.text.len() > LONGEST_PIECE {
                    let whole = whole_characters(&self.text[..LONGEST_PIECE]);
                    let rest = self.text.split_off(whole);
                    let text = std::mem::replace(&mut self.text, rest);
                    self.leave(text, false, out);
                }
            }
            match end {
                Some(b'\n') => self.end(out),
                Some(_) => self.returned = true,
                None => {}
            }
        }
    }

    /// Appends the text to `out` if it has waited too long for its line end.
    pub(super) fn tick(&mut self, now: Instant, out: &mut Vec<Piece>) {
        let late = self.since.is_some_and(|since| now.saturating_duration_since(since) >= PATIENCE);
        if late && !self.rewritten && !self.returned {
            let whole = whole_characters(&self.text);
            let rest = self.text.split_off(whole);
            let text = std::mem::replace(&mut self.text, rest);
            self.since = None;
            if !text.is_empty() {
                self.leave(text, false, out);
            }
        }
    }

    /// Ends the output. The remaining text becomes a line.
    pub(super) fn finish(&mut self, out: &mut Vec<Piece>) {
        if self.open || !self.text.is_empty() {
            self.end(out);
        }
    }

    /// Returns the text of the line that has not ended.
    pub(super) fn current(&self) -> &[u8] {
        &self.text
    }

    fn begin_anew_after_return(&mut self, out: &mut Vec<Piece>) {
        if self.returned {
            if self.open {
                // A piece that was already shown cannot be removed, so it becomes a line of its own.
                self.end(out);
            }
            self.text.clear();
            (self.returned, self.rewritten) = (false, true);
        }
    }

    fn end(&mut self, out: &mut Vec<Piece>) {
        let text = std::mem::take(&mut self.text);
        self.leave(text, true, out);
        (self.returned, self.rewritten, self.since) = (false, false, None);
    }

    fn leave(&mut self, text: Vec<u8>, ends: bool, out: &mut Vec<Piece>) {
        out.push(Piece { text, continues: self.open, ends });
        self.open = !ends;
    }
}

/// Returns the length of the bytes without a character that is cut at their end. The cut character stays for the next
/// piece.
fn whole_characters(bytes: &[u8]) -> usize {
    let cut = (1..=3.min(bytes.len())).find(|back| {
        let length = match bytes[bytes.len() - back] {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        length > *back
    });
    match cut {
        // The result is never 0, because a piece that consists of one cut character must be shown, too.
        Some(back) if back < bytes.len() => bytes.len() - back,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let now = Instant::now();
        let (mut buffer, mut pieces) = (LineBuffer::default(), Vec::new());
        chunks.iter().for_each(|chunk| buffer.push(chunk, now, &mut pieces));
        buffer.finish(&mut pieces);
        joined(&pieces)
    }

    fn joined(pieces: &[Piece]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in pieces {
            if !piece.continues {
                lines.push(Vec::new());
            }
            lines.last_mut().expect("a piece continues a line").extend_from_slice(&piece.text);
        }
        lines.into_iter().map(|line| String::from_utf8_lossy(&line).into_owned()).collect()
    }

    #[test]
    fn lines_end_with_either_end_and_with_the_output() {
        assert_eq!(lines(&[b"one\ntwo\r\nth", b"ree"]), ["one", "two", "three"]);
        assert_eq!(lines(&[b"\n\nx\r", b"\n"]), ["", "", "x"]);
        assert_eq!(lines(&[]), Vec::<String>::new());
    }

    #[test]
    fn of_a_progress_bar_the_last_state_stays() {
        assert_eq!(lines(&[b"10%\r20%", b"\r", b"100%\ndone\n"]), ["100%", "done"]);
        assert_eq!(lines(&[b"\r 10%\r 20%"]), [" 20%"]);
        assert_eq!(lines(&[b"50%\r"]), ["50%"]);
    }

    #[test]
    fn text_without_an_end_waits_for_a_moment_alone_l5() {
        let start = Instant::now();
        let (mut buffer, mut pieces) = (LineBuffer::default(), Vec::new());
        buffer.push("password?é".as_bytes().split_last().unwrap().1, start, &mut pieces);
        buffer.tick(start + PATIENCE / 2, &mut pieces);
        assert!(pieces.is_empty());
        buffer.tick(start + PATIENCE, &mut pieces);
        assert_eq!(pieces, [Piece { text: b"password?".to_vec(), continues: false, ends: false }]);
        buffer.push(b"\xa9 yes\n", start + PATIENCE, &mut pieces);
        assert_eq!(pieces[1], Piece { text: "é yes".into(), continues: true, ends: true });
    }

    #[test]
    fn an_endless_line_leaves_in_pieces_l6() {
        let (mut buffer, mut pieces) = (LineBuffer::default(), Vec::new());
        let chunk = "é".repeat(50_000);
        for _ in 0..100 {
            buffer.push(chunk.as_bytes(), Instant::now(), &mut pieces);
            assert!(buffer.current().len() <= LONGEST_PIECE);
        }
        buffer.finish(&mut pieces);
        assert!(pieces.iter().all(|piece| piece.text.len() <= LONGEST_PIECE && str::from_utf8(&piece.text).is_ok()));
        assert_eq!(pieces.iter().map(|piece| piece.text.len()).sum::<usize>(), 100 * chunk.len());
        assert_eq!(pieces.iter().filter(|piece| piece.ends).count(), 1);
    }

    proptest! {
        #[test]
        fn however_the_output_is_cut_the_lines_are_the_same_l7(
            bytes in prop::collection::vec(prop::sample::select(vec![b'a', b'b', b'\n', b'\r', 0xc3, 0xa9, 0xff]), 0..60),
            cuts in prop::collection::vec(1..8_usize, 0..30),
        ) {
            let mut chunks: Vec<&[u8]> = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts {
                let (chunk, after) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = after;
            }
            chunks.push(rest);
            prop_assert_eq!(lines(&chunks), lines(&[&bytes]));
        }
    }
}
