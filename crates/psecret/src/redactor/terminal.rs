//! The control bytes that a terminal does not show as characters.

use super::skim::first_control;
use super::view::View;

/// The length of the longest control string that is hidden. A string that seems to be longer is shown as text.
const LONGEST_STRING: usize = 4096;

/// A parser that tells the characters of a text from terminal control (ECMA-48), byte by byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Terminal {
    /// The parser is among characters.
    #[default]
    Ground,
    /// The parser is after an ESC.
    Escape,
    /// The parser is in a control sequence (`ESC [` …), after this many bytes.
    Sequence(usize),
    /// The parser is in a control string (`ESC ]` …), after this many bytes.
    String(usize),
    /// The parser is after an ESC in a control string, which the ESC may end.
    StringEscape(usize),
}

impl Terminal {
    /// Reads one byte. Returns true if the byte is a character, a tab or a line feed.
    pub(super) fn shows(&mut self, byte: u8) -> bool {
        let (next, shown) = match (*self, byte) {
            (Self::Sequence(length) | Self::String(length), _) if length >= LONGEST_STRING => Self::in_text(byte),
            (Self::Ground, _) => Self::in_text(byte),
            (Self::Escape, b'[') => (Self::Sequence(0), false),
            (Self::Escape, b']' | b'P' | b'X' | b'^' | b'_') => (Self::String(0), false),
            // An escape sequence has intermediate bytes and then a final byte.
            (Self::Escape, 0x20..=0x2f) => (Self::Escape, false),
            (Self::Escape, 0x30..=0x7e) => (Self::Ground, false),
            (Self::Escape, _) => Self::in_text(byte),
            (Self::Sequence(length), 0x20..=0x3f) => (Self::Sequence(length + 1), false),
            (Self::Sequence(_), 0x40..=0x7e) => (Self::Ground, false),
            (Self::Sequence(_), _) => Self::in_text(byte),
            (Self::String(_), 0x07) => (Self::Ground, false),
            (Self::String(length), 0x1b) => (Self::StringEscape(length), false),
            (Self::String(_), b'\n') => (Self::Ground, true),
            (Self::String(length), _) => (Self::String(length + 1), false),
            (Self::StringEscape(_), b'\\') => (Self::Ground, false),
            (Self::StringEscape(_), _) => {
                *self = Self::Escape;
                return self.shows(byte);
            }
        };
        *self = next;
        shown
    }

    /// Whether the terminal shows all of the text.
    pub(super) fn shows_all(self, text: &[u8]) -> bool {
        self == Self::Ground && first_control(text).is_none()
    }

    /// Adds the characters of the text to a view, and leaves out all other bytes.
    pub(super) fn show(&mut self, text: &[u8], view: &mut View) {
        let mut at = 0;
        while at < text.len() {
            if *self == Self::Ground {
                let plain = first_control(&text[at..]).unwrap_or(text.len() - at);
                view.append(&text[at..at + plain]);
                at += plain;
            }
            let shown = text[at..].iter().position(|byte| self.shows(*byte));
            let hidden = shown.unwrap_or(text.len() - at);
            view.skip(hidden);
            at += hidden;
            if shown.is_some() {
                view.append(&text[at..=at]);
                at += 1;
            }
        }
    }

    fn in_text(byte: u8) -> (Self, bool) {
        match byte {
            0x1b => (Self::Escape, false),
            b'\t' | b'\n' => (Self::Ground, true),
            0..0x20 | 0x7f => (Self::Ground, false),
            _ => (Self::Ground, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mut terminal = Terminal::default();
        text.bytes().filter(|byte| terminal.shows(*byte)).map(char::from).collect()
    }

    #[test]
    fn drops_control_and_keeps_characters_l3() {
        for (text, expected) in [
            ("plain\ttext\n", "plain\ttext\n"),
            ("a\x1b[31mb\x1b[0mc", "abc"),
            ("a\x1b[38;5;208mb", "ab"),
            ("a\rb\x08c\x07", "abc"),
            ("a\x1b]0;title\x07b", "ab"),
            ("a\x1b]8;;http://x\x1b\\b", "ab"),
            ("a\x1b(Bb\x1bMc", "abc"),
            ("a\x1b[31\nb", "a\nb"),
            ("a\x1b]open\nb", "a\nb"),
            ("a\x1b\x1b[1mb", "ab"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_endless_control_string_becomes_text_l6() {
        let text = format!("\x1b]{}", "x".repeat(10_000));
        assert_eq!(shown(&text).len(), 10_000 - LONGEST_STRING);
    }
}
