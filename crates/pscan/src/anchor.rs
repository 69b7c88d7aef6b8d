//! Finds the pieces of a pattern that a search looks for.
//!
//! When the search has seen a piece, it compares the whole pattern with the text around the piece. So a good piece is
//! in every text that contains the pattern, and in few other texts.

mod spelled;

use std::cmp::Reverse;

use psecret::Layout;

use crate::encoded::LONGEST_HEAD;
use crate::filter::{Window, window};
use crate::pattern::Pattern;

/// The two widths of windows, in bytes.
pub(crate) const WIDE: usize = 8;
pub(crate) const NARROW: usize = 4;

/// The fewest different bytes of a span that is used. Spans with fewer occur in padding and in pictures, where every
/// second window would be looked up.
const LEAST_VARIETY: usize = 4;

/// A piece of a pattern.
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// The index in the pattern of the first character that begins in the piece.
    pub(crate) character: usize,
}

/// The windows by which a pattern is found.
#[derive(Default)]
pub(crate) struct Anchors {
    /// Whether the windows find the value where it is written without escapes. If not, the automaton must find it.
    pub(crate) find_plain: bool,
    pub(crate) wide: Vec<Window>,
    pub(crate) narrow: Vec<Window>,
}

/// Finds the windows of a pattern. For a pattern that may be written with escapes, `texts` are some texts that spell
/// it.
pub(crate) fn of(pattern: &Pattern, texts: &[Pattern]) -> Anchors {
    if pattern.layout() == Layout::Spelled {
        return spelled::anchors(pattern.bytes(), texts);
    }
    match windows::<WIDE>(pattern) {
        Some(wide) => Anchors { find_plain: true, wide, narrow: Vec::new() },
        None => match windows::<NARROW>(pattern) {
            Some(narrow) => Anchors { find_plain: true, wide: Vec::new(), narrow },
            None => Anchors::default(),
        },
    }
}

/// Makes every window of `WIDTH` bytes of the pattern's most telling span. In any text that contains the span, one of
/// these windows lies at a multiple of `WIDTH`. Returns `None` if the pattern is too short for this or has too few
/// different bytes.
///
/// An exact text contains every span of the pattern, so the smallest span is enough. A wrapped text may have one line
/// break within any `2 * WIDTH - 1` characters; of a span of twice that length, it contains the half before the break
/// or the half after it. A pattern that is too short for such a span is only found if no line breaks within it, and
/// gets the narrowest windows.
fn windows<const WIDTH: usize>(pattern: &Pattern) -> Option<Vec<Window>> {
    let smallest = 2 * WIDTH - 1;
    let head = &pattern.bytes()[..pattern.bytes().len().min(LONGEST_HEAD)];
    let length = match pattern.layout() {
        Layout::Exact | Layout::Spelled | Layout::Lines => smallest,
        Layout::Wrapped if WIDTH == NARROW => head.len().min(2 * smallest - 1),
        Layout::Wrapped => 2 * smallest - 1,
    };
    if length < smallest {
        return None;
    }
    let (variety, at) = most_telling(head, length, pattern.layout())?;
    if variety < LEAST_VARIETY {
        return None;
    }
    let span = &head[at..at + length];
    let mut windows = Vec::new();
    for spelling in spellings(span, pattern.layout()) {
        let end = spelling.bytes.len().saturating_sub(WIDTH);
        for begin in 0..=end {
            // The window's `character` is the first one that begins inside of it. A character that begins before the
            // window is compared by the backward search.
            let Some(character) = spelling.begins.iter().position(|begins| *begins >= begin) else { break };
            windows.push(Window {
                number: window::<WIDTH>(&spelling.bytes[begin..]),
                character: at + character,
                at: spelling.begins[character] - begin,
            });
        }
    }
    Some(windows)
}

/// Finds the longest piece without a line end, for a search that looks at every byte.
pub(crate) fn run(pattern: &Pattern) -> Piece {
    let head = &pattern.bytes()[..pattern.bytes().len().min(LONGEST_HEAD)];
    let begin = |line: &[u8]| line.as_ptr().addr() - head.as_ptr().addr();
    let line = match pattern.layout() {
        Layout::Exact | Layout::Wrapped => head,
        Layout::Spelled => spelled::longest_run(head).unwrap_or(head),
        Layout::Lines => head.split(|byte| *byte == b'\n').max_by_key(|line| line.len()).unwrap_or(head),
    };
    Piece { bytes: line.to_vec(), character: begin(line) }
}

/// Finds the span with the most different bytes, and of several such spans the one nearest to the middle: the parts
/// that values have in common, such as the prefix of a token, are at their ends. Characters that texts escape make a
/// span less telling.
fn most_telling(head: &[u8], length: usize, layout: Layout) -> Option<(usize, usize)> {
    let spans = head.len().checked_sub(length)? + 1;
    let mut seen = Seen { times: [0; 256], variety: 0, layout };
    head[..length].iter().for_each(|byte| seen.add(*byte));
    let mut best = None;
    for at in 0..spans {
        if at > 0 {
            seen.remove(head[at - 1]);
            seen.add(head[at + length - 1]);
        }
        if layout != Layout::Lines || seen.times[usize::from(b'\n')] == 0 {
            let worth = (!seen.is_escaped(), seen.variety, Reverse(at.abs_diff(spans / 2)), at);
            best = best.max(Some(worth));
        }
    }
    best.map(|(_, variety, _, at)| (variety, at))
}

/// The bytes of a span that moves along a pattern.
struct Seen {
    times: [u16; 256],
    variety: usize,
    layout: Layout,
}

impl Seen {
    fn add(&mut self, byte: u8) {
        let times = &mut self.times[usize::from(byte)];
        self.variety += usize::from(*times == 0);
        *times += 1;
    }

    fn remove(&mut self, byte: u8) {
        let times = &mut self.times[usize::from(byte)];
        *times -= 1;
        self.variety -= usize::from(*times == 0);
    }

    fn is_escaped(&self) -> bool {
        self.layout == Layout::Wrapped && ESCAPED.iter().any(|byte| self.times[usize::from(*byte)] > 0)
    }
}

/// The characters of base64 that JSON and URLs may escape.
const ESCAPED: &[u8] = b"+/=";

/// A span in one way of writing it.
struct Spelling {
    bytes: Vec<u8>,
    /// The index at which each character begins.
    begins: Vec<usize>,
}

/// The ways in which a text may escape the characters in [`ESCAPED`].
const ESCAPES: [fn(u8) -> String; 6] = [
    |byte| char::from(byte).to_string(),
    |byte| if byte == b'/' { "\\/".to_owned() } else { char::from(byte).to_string() },
    |byte| format!("\\u{byte:04x}"),
    |byte| format!("\\u{byte:04X}"),
    |byte| format!("%{byte:02X}"),
    |byte| format!("%{byte:02x}"),
];

fn spellings(span: &[u8], layout: Layout) -> Vec<Spelling> {
    let escaped = layout == Layout::Wrapped && span.iter().any(|byte| ESCAPED.contains(byte));
    let escapes = if escaped { &ESCAPES[..] } else { &ESCAPES[..1] };
    escapes
        .iter()
        .map(|escape| {
            let mut spelling = Spelling { bytes: Vec::new(), begins: Vec::new() };
            for byte in span {
                spelling.begins.push(spelling.bytes.len());
                if escaped && ESCAPED.contains(byte) {
                    spelling.bytes.extend_from_slice(escape(*byte).as_bytes());
                } else {
                    spelling.bytes.push(*byte);
                }
            }
            spelling
        })
        .collect()
}
