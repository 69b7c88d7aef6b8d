//! Finds the windows of a value that may be written with any escapes.
//!
//! A writer that escapes letters and digits escapes all characters, and in one of few ways. All other texts contain
//! the value's runs of letters and digits unchanged. A run of seven contains a window of four bytes at a multiple of
//! four, wherever the run is. A shorter run contains such a window together with the characters that may be written
//! beside it, and these are so few that all can be listed. A value without four letters or digits in a row is found
//! by the texts that the usual writers make of it.

use std::collections::BTreeSet;

use psecret::Layout;
use psecret::spelling::{aligned, spellings, wholly_escaped};

use super::{Anchors, LEAST_VARIETY, NARROW, WIDE, most_telling};
use crate::encoded::LONGEST_HEAD;
use crate::filter::{Window, window};
use crate::pattern::Pattern;

/// Returns the length of the shortest span that contains an aligned window of a width, wherever the span is.
const fn smallest(width: usize) -> usize {
    2 * width - 1
}

/// The number of bytes of a text that spells a value that are used for windows.
const LONGEST_TEXT: usize = 192;

/// The number of characters of a value that are spelled.
const MOST_CHARACTERS: usize = 24;

pub(super) fn anchors(value: &[u8], texts: &[Pattern]) -> Anchors {
    let head = &value[..value.len().min(LONGEST_HEAD)];
    let mut anchors = Anchors::default();
    anchors.find_plain = of_run(head, &mut anchors) || of_short_run(head, &mut anchors);
    if !anchors.find_plain {
        anchors.find_plain = of_text(value, head, &mut anchors);
        for text in texts {
            of_text(value, text.bytes(), &mut anchors);
        }
    }
    if let Some(text) = beginning(head) {
        for text in wholly_escaped(text) {
            of_text(value, &text, &mut anchors);
        }
    }
    anchors
}

/// Finds the longest run of letters and digits, if it has a window's length.
pub(super) fn longest_run(head: &[u8]) -> Option<&[u8]> {
    let runs = head.split(|byte| !byte.is_ascii_alphanumeric());
    // If several runs are the longest, the first one counts.
    runs.rev().max_by_key(|run| run.len()).filter(|run| run.len() >= NARROW)
}

/// Returns the first characters of the value, as long as it is text.
fn beginning(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
    };
    let end = text.char_indices().nth(MOST_CHARACTERS).map_or(text.len(), |(at, _)| at);
    Some(&text[..end])
}

/// Adds the windows of a run that is long enough alone. A run of twice that length is still found if one line break
/// is in it.
fn of_run(head: &[u8], anchors: &mut Anchors) -> bool {
    let mut runs: Vec<&[u8]> = head.split(|byte| !byte.is_ascii_alphanumeric()).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
    for run in runs.into_iter().take_while(|run| run.len() >= smallest(NARROW)) {
        let at = run.as_ptr().addr() - head.as_ptr().addr();
        let is_wide = run.len() >= 2 * smallest(WIDE) - 1;
        let length = if is_wide { 2 * smallest(WIDE) - 1 } else { run.len().min(2 * smallest(NARROW) - 1) };
        let Some((variety, begin)) = most_telling(run, length, Layout::Spelled) else { continue };
        if variety < LEAST_VARIETY {
            continue;
        }
        let span = &run[begin..begin + length];
        let begins: Vec<usize> = (0..length).collect();
        if is_wide {
            add::<WIDE>(span, &begins, at + begin, &mut anchors.wide);
        } else {
            add::<NARROW>(span, &begins, at + begin, &mut anchors.narrow);
        }
        return true;
    }
    false
}

/// Adds the windows of a run of four to six characters, each together with the characters that may be written before
/// and after it.
fn of_short_run(head: &[u8], anchors: &mut Anchors) -> bool {
    let Some(run) = longest_run(head).filter(|run| run.len() < smallest(NARROW)) else { return false };
    let at = run.as_ptr().addr() - head.as_ptr().addr();
    if run.iter().collect::<BTreeSet<_>>().len() == 1 {
        return false;
    }
    let missing = smallest(NARROW) - run.len();
    let (before, behind) = match (at > 0, at + run.len() < head.len()) {
        (true, true) => (missing / 2, missing - missing / 2),
        (true, false) => (missing, 0),
        (false, true) => (0, missing),
        (false, false) => return false,
    };
    let mut add = |bytes: &[u8], character: usize, at: usize| {
        anchors.narrow.push(Window { number: window::<NARROW>(bytes), character, at });
    };
    for begin in 0..=run.len() - NARROW {
        add(&run[begin..begin + NARROW], at + begin, 0);
    }
    for length in 1..=before {
        for bytes in ends(&head[..at], length) {
            add(&[&bytes, &run[..NARROW - length]].concat(), at, length);
        }
    }
    for length in 1..=behind {
        let begin = run.len() + length - NARROW;
        for bytes in beginnings(&head[at + run.len()..], length) {
            add(&[&run[begin..], &bytes].concat(), at + begin, 0);
        }
    }
    true
}

/// Lists every beginning, of `length` bytes, of a text that spells the value.
fn beginnings(value: &[u8], length: usize) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    let Some(first) = value.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()) else {
        return value.get(..length).map(<[u8]>::to_vec).into_iter().collect();
    };
    for spelling in spelled(first) {
        match spelling.as_bytes().get(..length) {
            Some(bytes) => {
                all.insert(bytes.to_vec());
            }
            None => {
                let rest = beginnings(&value[first.len_utf8()..], length - spelling.len());
                all.extend(rest.into_iter().map(|rest| [spelling.as_bytes(), &rest].concat()));
            }
        }
    }
    all
}

/// Lists every end, of `length` bytes, of a text that spells the value.
fn ends(value: &[u8], length: usize) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    let last = std::str::from_utf8(value).ok().and_then(|text| text.chars().next_back());
    let Some(last) = last else {
        return value.len().checked_sub(length).map(|from| value[from..].to_vec()).into_iter().collect();
    };
    for spelling in spelled(last) {
        match spelling.len().checked_sub(length) {
            Some(from) => {
                all.insert(spelling.as_bytes()[from..].to_vec());
            }
            None => {
                let rest = ends(&value[..value.len() - last.len_utf8()], length - spelling.len());
                all.extend(rest.into_iter().map(|rest| [&rest, spelling.as_bytes()].concat()));
            }
        }
    }
    all
}

/// Lists the ways in which a writer that does not escape letters and digits may write a character.
fn spelled(c: char) -> Vec<String> {
    if c.is_ascii_alphanumeric() { vec![c.to_string()] } else { spellings(c) }
}

/// Adds the windows of the most telling span in a text that spells the value. Returns false if the text has no such
/// span.
fn of_text(value: &[u8], text: &[u8], anchors: &mut Anchors) -> bool {
    let Some((begins, end)) = aligned(value, text, LONGEST_TEXT) else { return false };
    let text = &text[..end];
    let length = if text.len() >= smallest(WIDE) { smallest(WIDE) } else { smallest(NARROW) };
    let Some((variety, at)) = most_telling(text, length, Layout::Spelled) else { return false };
    if variety < LEAST_VARIETY {
        return false;
    }
    let first = begins.partition_point(|begin| *begin < at);
    let begins: Vec<usize> = begins[first..].iter().map(|begin| begin - at).collect();
    if length == smallest(WIDE) {
        add::<WIDE>(&text[at..at + length], &begins, first, &mut anchors.wide);
    } else {
        add::<NARROW>(&text[at..at + length], &begins, first, &mut anchors.narrow);
    }
    true
}

/// Adds the windows of a span. `begins` are the indexes of its characters, which are numbered from `first` on.
fn add<const WIDTH: usize>(span: &[u8], begins: &[usize], first: usize, windows: &mut Vec<Window>) {
    for begin in 0..=span.len() - WIDTH {
        // The window's `character` is the first one that begins inside of it. A character that begins before the
        // window is compared by the backward search.
        let nth = begins.partition_point(|character| *character < begin);
        let Some(character) = begins.get(nth) else { break };
        windows.push(Window { number: window::<WIDTH>(&span[begin..]), character: first + nth, at: character - begin });
    }
}
