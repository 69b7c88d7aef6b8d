//! The texts that may separate two characters of a value: terminal control, line breaks made by a terminal or an
//! encoder, and the ends of quoted pieces that a program joins.

use super::escape::{self, Code};
use super::rest::Rest;

/// The most bytes of the text that are read as one gap.
pub(super) const LONGEST: usize = 256;

/// Calls `each` with the index after every gap that begins at an index. Returns false if more bytes could make a
/// further gap.
pub(super) fn each(text: &[u8], at: usize, each: &mut dyn FnMut(usize)) -> bool {
    let mut is_whole = true;
    for found in [control(text, at), broken(text, at), requoted(text, at), joined(text, at)] {
        match found {
            Gap::Until(end) => each(end),
            Gap::None => {}
            Gap::Cut => is_whole = false,
        }
    }
    is_whole
}

/// The most backslashes before a quote of JSON within JSON.
const MOST_BACKSLASHES: usize = 3;

enum Gap {
    Until(usize),
    None,
    Cut,
}

/// Reads the code `wanted` at an index, as it is or escaped. Returns the index after it.
fn code(text: &[u8], at: usize, wanted: u8) -> Gap {
    let Some(byte) = text.get(at) else { return Gap::Cut };
    if *byte == wanted {
        return Gap::Until(at + 1);
    }
    if !matches!(byte, b'\\' | b'&' | b'%') {
        return Gap::None;
    }
    let mut end = None;
    let is_whole = escape::units(text, at, Rest::Over, &mut |unit| {
        if unit.code == Code::Byte(wanted) || unit.code == Code::Char(char::from(wanted)) {
            end = end.max(Some(unit.end));
        }
    });
    match end {
        Some(end) => Gap::Until(end),
        None if is_whole => Gap::None,
        None => Gap::Cut,
    }
}

/// Reads a control sequence or control string of ECMA-48, or a carriage return with the line feed after it.
fn control(text: &[u8], at: usize) -> Gap {
    match code(text, at, 0x1b) {
        Gap::Until(behind) => return sequence(text, at, behind),
        Gap::Cut => return Gap::Cut,
        Gap::None => {}
    }
    match code(text, at, b'\r') {
        Gap::Until(behind) => match code(text, behind, b'\n') {
            Gap::Until(end) => Gap::Until(end),
            Gap::None => Gap::Until(behind),
            Gap::Cut => Gap::Cut,
        },
        other => other,
    }
}

fn sequence(text: &[u8], begin: usize, mut at: usize) -> Gap {
    let Some(kind) = text.get(at) else { return Gap::Cut };
    at += 1;
    match kind {
        b'[' => loop {
            match text.get(at) {
                Some(0x20..=0x3f) if at - begin < LONGEST => at += 1,
                Some(0x40..=0x7e) => return Gap::Until(at + 1),
                Some(_) => return Gap::None,
                None => return Gap::Cut,
            }
        },
        b']' | b'P' | b'X' | b'^' | b'_' => {
            while at - begin < LONGEST {
                match text.get(at) {
                    Some(b'\n') => return Gap::None,
                    Some(0x07 | 0x1b | b'\\' | b'&' | b'%') => {
                        if let Gap::Until(end) = code(text, at, 0x07) {
                            return Gap::Until(end);
                        }
                        if let Gap::Until(end) = code(text, at, 0x1b) {
                            return match code(text, end, b'\\') {
                                // If the backslash is escaped by doubling, the second one belongs to it.
                                Gap::Until(end) if text.get(end) == Some(&b'\\') => Gap::Until(end + 1),
                                other => other,
                            };
                        }
                        at += 1;
                    }
                    Some(_) => at += 1,
                    None => return Gap::Cut,
                }
            }
            Gap::None
        }
        b'(' | b')' | b'*' | b'+' | b'#' | b'%' => match text.get(at) {
            Some(0x30..=0x7e) => Gap::Until(at + 1),
            Some(_) => Gap::None,
            None => Gap::Cut,
        },
        0x30..=0x7e => Gap::Until(at),
        _ => Gap::None,
    }
}

/// Reads the end of a line that continues: `=` of quoted-printable, or a backslash. After a backslash, the next line
/// may be indented.
fn broken(text: &[u8], at: usize) -> Gap {
    let Some(sign @ (b'=' | b'\\')) = text.get(at) else { return Gap::None };
    let mut end = at + 1;
    if text.get(end) == Some(&b'\r') {
        end += 1;
    }
    match text.get(end) {
        Some(b'\n') => end += 1,
        Some(_) => return Gap::None,
        None => return Gap::Cut,
    }
    while *sign == b'\\' && end - at < LONGEST {
        match text.get(end) {
            Some(b' ' | b'\t') => end += 1,
            Some(_) => break,
            None => return Gap::Cut,
        }
    }
    Gap::Until(end)
}

/// Reads the end of `'"'"'`, from after its middle quote.
fn requoted(text: &[u8], at: usize) -> Gap {
    let Some(before @ (b'\'' | b'"')) = at.checked_sub(1).and_then(|before| text.get(before)) else { return Gap::None };
    // Within JSON, a backslash precedes the double quote.
    let backslashes = text[at..].iter().take(MOST_BACKSLASHES).take_while(|byte| **byte == b'\\').count();
    match (text.get(at + backslashes), text.get(at + backslashes + 1)) {
        (Some(one @ (b'\'' | b'"')), Some(other)) if one != before && other == before => {
            Gap::Until(at + backslashes + 2)
        }
        (Some(b'\'' | b'"'), None) | (None, _) => Gap::Cut,
        _ => Gap::None,
    }
}

/// Reads the gap between the pieces of a literal on several lines. C joins the pieces without an operator, other
/// languages with one.
fn joined(text: &[u8], at: usize) -> Gap {
    let Some(quote @ (b'\'' | b'"')) = text.get(at) else { return Gap::None };
    let (mut breaks, mut operators) = (0, 0);
    for (length, byte) in text[at + 1..].iter().take(LONGEST / 2).enumerate() {
        match byte {
            b' ' | b'\t' | b'\r' => {}
            b'\n' => breaks += 1,
            b'+' | b'.' | b'&' | b'\\' if operators == 0 => operators += 1,
            byte if byte == quote && breaks > 0 => return Gap::Until(at + length + 2),
            _ => return Gap::None,
        }
    }
    if text.len() - at <= LONGEST / 2 { Gap::Cut } else { Gap::None }
}
