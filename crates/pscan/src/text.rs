//! Text as encoders lay it out: characters, some of them escaped, and gaps between them.
//!
//! Text can be read in both directions, because a search begins in the middle of a pattern.

use psecret::spelling::{Cut, escaped_one_of};

/// The maximal length of a gap.
pub(crate) const LONGEST_GAP: usize = 256;

/// The maximal number of backslashes before a character that count as its escape. JSON within JSON within JSON has
/// seven, but this need not be supported.
const MOST_BACKSLASHES: usize = 4;

/// The maximal length of an escape of a sign, with one more level of escapes.
const LONGEST_ESCAPE: usize = 24;

/// The unit of text at an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A character, and the index on its other side.
    Char(u8, usize),
    /// Blanks and line breaks, and the index on their other side.
    Gap {
        /// Whether the gap contains a line break.
        breaks: bool,
        other_side: usize,
    },
    /// The text ends before the unit is known.
    Unknown,
}

/// Reads the unit that begins at an index.
pub(crate) fn next(text: &[u8], at: usize) -> Unit {
    let Some(byte) = text.get(at) else { return Unit::Unknown };
    match byte {
        b' ' | b'\t' | b'\r' | b'\n' | b'\\' => {
            let mut end = at;
            let mut breaks = false;
            while let Some((length, is_break)) = gap_element(&text[end..]) {
                end += length;
                breaks |= is_break;
                if end - at > LONGEST_GAP {
                    return Unit::Char(*byte, at + 1);
                }
            }
            // A backslash at the text's end may begin a further element of the gap.
            if text.len() - end <= MOST_BACKSLASHES && text[end..].iter().all(|byte| *byte == b'\\') {
                return Unit::Unknown;
            }
            if end > at { Unit::Gap { breaks, other_side: end } } else { escaped(text, at) }
        }
        b'%' | b'&' | b'=' => escaped(text, at),
        _ => Unit::Char(*byte, at + 1),
    }
}

/// Reads the unit that ends before an index.
pub(crate) fn previous(text: &[u8], end: usize) -> Unit {
    let text = &text[..end];
    let Some(byte) = text.last() else { return Unit::Unknown };
    let mut begin = end;
    let mut breaks = false;
    while let Some((length, is_break)) = gap_element_before(&text[..begin]) {
        begin -= length;
        breaks |= is_break;
        if end - begin > LONGEST_GAP {
            return Unit::Char(*byte, end - 1);
        }
    }
    if begin < end {
        return Unit::Gap { breaks, other_side: begin };
    }
    for begin in (end.saturating_sub(LONGEST_ESCAPE)..end - 1).rev() {
        if let Ok(Some((character, escape_end))) = escaped_one_of(text, begin, SIGNS)
            && escape_end == end
        {
            let backslashes = if text[begin] == b'\\' { backslashes_before(&text[..begin]) } else { 0 };
            return Unit::Char(character, begin - backslashes);
        }
    }
    Unit::Char(*byte, end - 1)
}

/// Reads an escape. Returns the character that it stands for, or its first byte if it is not an escape.
fn escaped(text: &[u8], at: usize) -> Unit {
    match escaped_one_of(text, at, SIGNS) {
        Ok(Some((character, end))) => Unit::Char(character, end),
        Ok(None) => Unit::Char(text[at], at + 1),
        Err(Cut) => Unit::Unknown,
    }
}

/// The characters of base64 that are not letters or digits. Only these are escaped.
const SIGNS: &[u8] = b"+/=-_";

/// Measures an element of a gap at the text's beginning. Returns its length and whether it breaks the line.
fn gap_element(text: &[u8]) -> Option<(usize, bool)> {
    match text.first()? {
        b' ' | b'\t' => Some((1, false)),
        b'\n' | b'\r' => Some((1, true)),
        b'\\' => {
            let backslashes = text.iter().take(MOST_BACKSLASHES).take_while(|byte| **byte == b'\\').count();
            match text.get(backslashes)? {
                b'n' | b'r' => Some((backslashes + 1, true)),
                b't' => Some((backslashes + 1, false)),
                // A backslash at a line's end continues the line.
                b'\n' | b'\r' => Some((backslashes, false)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Measures an element of a gap at the text's end.
fn gap_element_before(text: &[u8]) -> Option<(usize, bool)> {
    let (last, before) = text.split_last()?;
    match last {
        b' ' | b'\t' => Some((1, false)),
        b'\n' | b'\r' => Some((1 + backslashes_before(before), true)),
        b'n' | b'r' | b't' => {
            let backslashes = backslashes_before(before);
            (backslashes > 0).then_some((1 + backslashes, *last != b't'))
        }
        _ => None,
    }
}

fn backslashes_before(text: &[u8]) -> usize {
    text.iter().rev().take(MOST_BACKSLASHES).take_while(|byte| **byte == b'\\').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_read_from_both_sides_however_they_are_escaped() {
        let spellings = [
            ("a", b'a'),
            ("+", b'+'),
            ("\\/", b'/'),
            ("\\\\/", b'/'),
            ("\\u002b", b'+'),
            ("\\\\u003D", b'='),
            ("%2B", b'+'),
            ("%2f", b'/'),
            ("&#43;", b'+'),
            ("&#x3d;", b'='),
            ("n", b'n'),
        ];
        for (spelling, character) in spellings {
            let text = format!("x{spelling}y");
            let end = 1 + spelling.len();
            assert_eq!(next(text.as_bytes(), 1), Unit::Char(character, end), "{spelling}");
            assert_eq!(previous(text.as_bytes(), end), Unit::Char(character, 1), "{spelling}");
            for cut in 2..end {
                let told = next(&text.as_bytes()[..cut], 1);
                assert_eq!(told, Unit::Unknown, "{spelling} cut at {cut}");
            }
        }
    }

    #[test]
    fn gaps_are_read_from_both_sides() {
        for (gap, breaks) in [
            (" ", false),
            ("\t \t", false),
            ("\n", true),
            ("\r\n    ", true),
            ("\\n", true),
            ("\\r\\n\\t", true),
            ("\\\\n  ", true),
            (" \\\n  ", true),
        ] {
            let text = format!("x{gap}y");
            let end = 1 + gap.len();
            assert_eq!(next(text.as_bytes(), 1), Unit::Gap { breaks, other_side: end }, "{gap:?}");
            assert_eq!(previous(text.as_bytes(), end), Unit::Gap { breaks, other_side: 1 }, "{gap:?}");
        }
    }

    #[test]
    fn an_endless_gap_is_none() {
        let text = [&b"x"[..], &[b' '; 1000], b"y"].concat();
        assert_eq!(next(&text, 1), Unit::Char(b' ', 2));
        assert_eq!(previous(&text, 1001), Unit::Char(b' ', 1000));
    }

    proptest::proptest! {
        /// Reading makes progress, whatever the bytes are.
        #[test]
        fn every_unit_has_a_length(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..40), at in 0_usize..40) {
            let at = at % text.len();
            match next(&text, at) {
                Unit::Char(_, other_side) | Unit::Gap { other_side, .. } => assert!(other_side > at && other_side <= text.len()),
                Unit::Unknown => {}
            }
            match previous(&text, at + 1) {
                Unit::Char(_, other_side) | Unit::Gap { other_side, .. } => assert!(other_side <= at),
                Unit::Unknown => panic!("there is a byte"),
            }
        }
    }
}
