//! Texts that spell a value, for a search that must know byte strings before it can compare.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use zeroize::Zeroizing;

use super::escape::{self, Unit};
use super::name;
use super::rest::Rest;

/// Lists the spellings of a character: the character itself first, escapes of escapes last.
///
/// A comparison does not need this list. It is for finding the places where a comparison can begin, and for tests.
#[must_use]
pub fn spellings(c: char) -> Vec<String> {
    let once = escaped(c);
    let mut all = once.clone();
    // Some spellings are escapes of escapes already, and the escapes of command lines are not escaped again.
    let others = ["\\\\u", "%25", "^", "`"];
    let is_once = |spelling: &str| !others.iter().any(|other| spelling.starts_with(other));
    for spelling in once.iter().filter(|spelling| is_once(spelling)) {
        let mut characters = spelling.chars();
        let Some(first) = characters.next().filter(|first| *first != c && first.is_ascii_punctuation()) else {
            continue;
        };
        let outer = escaped(first).into_iter().skip(1).filter(|outer| is_once(outer));
        all.extend(outer.map(|outer| outer + characters.as_str()));
    }
    let mut known = HashSet::new();
    all.retain(|spelling| known.insert(spelling.clone()));
    all
}

/// Lists the character itself, and then each of its escapes.
fn escaped(c: char) -> Vec<String> {
    let mut all = vec![c.to_string()];
    all.extend(by_number(c));
    all.extend(name::names(c).map(|name| format!("&{name};")));
    let code = c as u32;
    if code < 0x100 {
        all.extend([
            format!("\\x{code:02x}"),
            format!("\\x{code:02X}"),
            format!("%{code:02X}"),
            format!("\\{code:02x}"),
        ]);
    }
    let by_letter = [('\n', 'n'), ('\r', 'r'), ('\t', 't'), ('\u{8}', 'b'), ('\u{c}', 'f'), ('\u{1b}', 'e')];
    all.extend(by_letter.iter().filter(|(known, _)| *known == c).map(|(_, letter)| format!("\\{letter}")));
    if c.is_ascii_punctuation() || c == ' ' {
        all.push(format!("\\{c}"));
    }
    if c.is_ascii_punctuation() {
        all.extend([format!("{c}{c}"), format!("^{c}"), format!("`{c}")]);
    }
    match c {
        ' ' => all.push("+".to_owned()),
        '\'' => all.extend(["'\\''".to_owned(), "'\"'\"'".to_owned()]),
        _ => {}
    }
    all
}

/// Lists the escapes that every character has.
fn by_number(c: char) -> [String; 20] {
    let code = c as u32;
    let mut utf16 = [0; 2];
    let units = c.encode_utf16(&mut utf16);
    let unit = |write: &dyn Fn(u16) -> String| units.iter().map(|unit| write(*unit)).collect::<String>();
    let mut utf8 = [0; 4];
    let bytes = c.encode_utf8(&mut utf8).as_bytes();
    let byte = |write: &dyn Fn(u8) -> String| bytes.iter().map(|byte| write(*byte)).collect::<String>();
    [
        unit(&|unit| format!("\\u{unit:04x}")),
        unit(&|unit| format!("\\u{unit:04X}")),
        unit(&|unit| format!("\\\\u{unit:04x}")),
        unit(&|unit| format!("%u{unit:04X}")),
        byte(&|byte| format!("%{byte:02X}")),
        byte(&|byte| format!("%{byte:02x}")),
        byte(&|byte| format!("%25{byte:02X}")),
        byte(&|byte| format!("%25{byte:02x}")),
        byte(&|byte| format!("\\x{byte:02x}")),
        byte(&|byte| format!("\\x{byte:02X}")),
        byte(&|byte| format!("\\{byte:03o}")),
        byte(&|byte| format!("={byte:02X}")),
        format!("&#{code};"),
        format!("&#{code:03};"),
        format!("&#x{code:x};"),
        format!("&#x{code:X};"),
        format!("&#x{code:04X};"),
        format!("\\u{{{code:x}}}"),
        format!("\\x{{{code:x}}}"),
        format!("\\U{code:08x}"),
    ]
}

/// Writes the text as programs do that escape every character, even letters and digits.
#[must_use]
pub fn wholly_escaped(text: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let count = by_number('x').len();
    let mut all = vec![Zeroizing::new(Vec::with_capacity(text.len() * 12)); count];
    for c in text.chars() {
        for (spelled, spelling) in all.iter_mut().zip(by_number(c)) {
            spelled.extend_from_slice(spelling.as_bytes());
        }
    }
    all
}

/// Finds the index in a text at which each byte of a value begins, up to a length of the text or the end of the
/// value, and the index where these bytes end. Bytes that are written as one character begin at the same index.
/// Returns `None` if the text spells another value.
#[must_use]
pub fn aligned(value: &[u8], text: &[u8], length: usize) -> Option<(Vec<usize>, usize)> {
    let mut from: HashMap<(usize, usize), (usize, usize)> = HashMap::new();
    // The search goes depth first, with the plainest reading first.
    let mut open = vec![(0, 0)];
    while let Some(here) = open.pop() {
        let (character, at) = here;
        if at >= text.len().min(length) || character == value.len() {
            let mut begins = vec![0; character];
            let mut place = here;
            while let Some(before) = from.get(&place) {
                begins[before.0..place.0].fill(before.1);
                place = *before;
            }
            return Some((begins, at));
        }
        let mut next = Vec::new();
        if text[at] == value[character] {
            next.push((character + 1, at + 1));
        }
        if escape::may_begin(text[at]) {
            escape::units(text, at, Rest::Over, &mut |unit: Unit| {
                if let Some(length) = unit.code.length_in(&value[character..]) {
                    next.push((character + length, unit.end));
                }
            });
        }
        for place in next.into_iter().rev() {
            if let Entry::Vacant(entry) = from.entry(place) {
                entry.insert(here);
                open.push(place);
            }
        }
    }
    None
}
