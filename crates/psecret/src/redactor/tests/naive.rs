//! A second redactor that is as simple as possible: it compares every form at every place of every reading.

use std::collections::BTreeMap;

use super::super::patterns::LONGEST_HEAD;
use super::super::terminal::Terminal;
use crate::spelling::{self, Place, Reach, Rest};
use crate::{Form, Layout, Searchability, form};

/// The bytes of a reading with their offsets in the text. `line_ends` lists the ends of wrapped lines that were left
/// out: the number of bytes of the reading before each, and the offset after it.
#[derive(Default)]
struct Reading {
    bytes: Vec<(u8, usize)>,
    line_ends: Vec<(usize, usize)>,
}

pub(super) fn redact(secrets: &[(&str, &[u8])], text: &[u8]) -> Vec<u8> {
    let mut forms: BTreeMap<Vec<u8>, Vec<&str>> = BTreeMap::new();
    for (label, value) in secrets.iter().filter(|(_, value)| Searchability::of_bytes(value).is_searched()) {
        let shapes = form::shapes(value).into_iter().filter(|shape| shape.form() != Form::Decimal);
        for shape in shapes.chain(form::plain_lines(value)) {
            let labels = forms.entry(shape.bytes_for_tests()).or_default();
            if !labels.contains(label) {
                labels.push(label);
            }
        }
    }
    let mut spans = Vec::new();
    for reading in readings(text) {
        for (number, form) in forms.keys().enumerate() {
            spans.extend(matches(form, &reading).map(|(start, end)| (start, std::cmp::Reverse(end), number)));
        }
    }
    spans.extend(spelled(secrets, text).into_iter().map(|(start, end, bytes)| {
        let number = forms.keys().position(|form| *form == bytes).expect("a form");
        (start, std::cmp::Reverse(end), number)
    }));
    spans.sort_unstable();
    let labels: Vec<&Vec<&str>> = forms.values().collect();
    let mark = |number: usize| {
        let mark = format!("***{}***", labels[number].join(",")).into_bytes();
        let held = forms.keys().any(|form| mark.windows(form.len()).any(|window| window == form));
        if held { b"***".to_vec() } else { mark }
    };
    let (mut out, mut shown) = (Vec::new(), 0);
    for (start, std::cmp::Reverse(end), number) in spans {
        if shown == 0 || start >= shown {
            out.extend_from_slice(&text[shown..start]);
            out.extend(mark(number));
        }
        shown = shown.max(end);
    }
    out.extend_from_slice(&text[shown..]);
    out
}

/// Finds the values that have an escaped character: where they begin and end, and which values they are.
fn spelled(secrets: &[(&str, &[u8])], text: &[u8]) -> Vec<(usize, usize, Vec<u8>)> {
    let full = secrets.iter().filter(|(_, value)| Searchability::of_bytes(value) == Searchability::Full);
    let shapes = full.flat_map(|(_, value)| form::shapes(value));
    let whole = shapes.filter(|shape| shape.layout() == Layout::Spelled && shape.form() != Form::Line);
    let values: Vec<Vec<u8>> = whole.map(|shape| shape.bytes_for_tests()).filter(|bytes| bytes.len() <= 512).collect();
    let has_signs = values.iter().flatten().any(|byte| *byte == b'=' || !byte.is_ascii());
    let mut spans = Vec::new();
    for at in 0..text.len() {
        let next = text.get(at + 1).copied().unwrap_or(b'"');
        let begins = match text[at] {
            b'\\' | b'%' | b'&' => true,
            b'\'' | b'"' => matches!(next, b'\'' | b'"' | b'\\'),
            b'$' => next == b'$' || at + 1 == text.len(),
            b'=' => has_signs && next.is_ascii_hexdigit() && !next.is_ascii_lowercase(),
            _ => false,
        };
        let mut firsts = Vec::new();
        if begins {
            spelling::first_bytes(text, at, Rest::Over, &mut |byte| firsts.push(byte));
        }
        for value in &values {
            for character in (0..value.len()).filter(|character| firsts.contains(&value[*character])) {
                if (character > 0 && value[character].is_ascii_alphanumeric())
                    || !text[..at].ends_with(&value[..character])
                {
                    continue;
                }
                if let Reach::End(place) = spelling::forward(value, text, Place::new(character, at), Rest::Over) {
                    spans.push((at - character, place.at, value.clone()));
                }
            }
        }
    }
    spans
}

fn matches(form: &[u8], reading: &Reading) -> impl Iterator<Item = (usize, usize)> {
    let head = form.len().min(LONGEST_HEAD);
    (0..reading.bytes.len()).filter_map(move |place| {
        let following = reading.bytes[place..].iter().zip(form);
        let length = following.take_while(|((byte, _), expected)| byte == *expected).count();
        let line_end = reading.line_ends.iter().find(|(before, _)| *before > place).copied();
        let start = match line_end {
            Some((before, offset)) if before < place + length.min(4) => offset,
            _ => reading.bytes[place].1,
        };
        (length >= head).then(|| (start, reading.bytes[place + length - 1].1 + 1))
    })
}

fn readings(text: &[u8]) -> [Reading; 3] {
    let [mut all, mut shown, mut joined] = [(); 3].map(|()| Reading::default());
    let (mut terminal, mut run, mut indenting) = (Terminal::default(), 0, false);
    for (offset, byte) in text.iter().copied().enumerate() {
        all.bytes.push((byte, offset));
        if !terminal.shows(byte) {
            continue;
        }
        shown.bytes.push((byte, offset));
        if byte == b'\n' && run >= 16 {
            joined.line_ends.push((joined.bytes.len(), offset + 1));
            indenting = true;
        } else if !(indenting && (byte == b' ' || byte == b'\t')) {
            indenting = false;
            joined.bytes.push((byte, offset));
        }
        run = if byte.is_ascii_alphanumeric() || b"+/-_=".contains(&byte) { run + 1 } else { 0 };
    }
    [all, shown, joined]
}
