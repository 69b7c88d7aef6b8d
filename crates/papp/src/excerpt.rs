//! A line of a manifest in the form that may be shown: keys and headers without values.

/// The replacement of everything that is not shown.
const MASK: &str = "…";

/// The context of a place in a TOML text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Around {
    /// No string encloses the place, so keys and headers may begin at it.
    Nothing,
    /// A string of several lines with this quote encloses the place.
    LongString(u8),
}

/// Returns the line that begins at an offset, with everything masked that is not a key, a header or a single bracket.
///
/// A user may have pasted a value anywhere, so only text that is certainly a name is shown: a header up to its
/// bracket, and a key up to its `=`. A line inside a value that spans several lines is masked as a whole.
pub(crate) fn masked_line(text: &str, line_start: usize) -> String {
    let line = text[line_start..].lines().next().unwrap_or_default();
    let line = line.trim_end_matches('\r');
    let content = line.trim_start();
    if content.is_empty() {
        return String::new();
    }
    if within_value(&text.as_bytes()[..line_start]) {
        return MASK.to_owned();
    }
    let indent = &line[..line.len() - content.len()];
    let shown = header(content).or_else(|| key(content));
    match shown {
        Some(shown) if shown.len() == content.trim_end().len() => format!("{indent}{shown}"),
        Some(shown) => format!("{indent}{shown} {MASK}"),
        None => format!("{indent}{MASK}"),
    }
}

/// Returns `[table]` or `[[table]]` at the beginning of a line.
fn header(content: &str) -> Option<&str> {
    let closing = if content.starts_with("[[") { "]]" } else { "]" };
    let end = content.starts_with('[').then(|| content.find(closing))?? + closing.len();
    is_key(content[..end].trim_matches(['[', ']'])).then_some(&content[..end])
}

/// Returns the key at the beginning of a line, with its `=`.
fn key(content: &str) -> Option<&str> {
    let equals = content.find('=')?;
    is_key(&content[..equals]).then_some(&content[..=equals])
}

/// Returns true if a text consists of bare or quoted words with dots between them.
fn is_key(text: &str) -> bool {
    text.split('.').map(str::trim).all(|word| {
        let quoted = ['"', '\''].into_iter().find_map(|quote| word.strip_prefix(quote)?.strip_suffix(quote));
        let of_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        match quoted {
            Some(inner) => inner.chars().all(|c| of_bare(c) || c == ' '),
            None => !word.is_empty() && word.chars().all(of_bare),
        }
    })
}

/// Returns true if the text ends inside a string, an array or an inline table.
fn within_value(before: &[u8]) -> bool {
    let (mut around, mut depth, mut at) = (Around::Nothing, 0_usize, 0);
    let mut line_start = true;
    while let Some(byte) = before.get(at).copied() {
        let tripled = |quote: u8| before[at..].starts_with(&[quote; 3]);
        match (around, byte) {
            (Around::LongString(b'"'), b'\\') => at += 1,
            (Around::LongString(quote), _) if tripled(quote) => {
                around = Around::Nothing;
                at += 2;
            }
            (Around::LongString(_), _) => {}
            (Around::Nothing, b'"' | b'\'') if tripled(byte) => {
                around = Around::LongString(byte);
                at += 2;
            }
            (Around::Nothing, b'"' | b'\'') => at = end_of_string(before, at),
            (Around::Nothing, b'#') => at += before[at..].iter().take_while(|b| **b != b'\n').count() - 1,
            // The brackets of a header close on the same line, so the line is skipped.
            (Around::Nothing, b'[') if line_start && depth == 0 => {
                at += before[at..].iter().take_while(|b| **b != b'\n').count() - 1;
            }
            (Around::Nothing, b'[' | b'{') => depth += 1,
            (Around::Nothing, b']' | b'}') => depth = depth.saturating_sub(1),
            (Around::Nothing, _) => {}
        }
        line_start = byte == b'\n' || (line_start && matches!(byte, b' ' | b'\t' | b'\r'));
        at += 1;
    }
    depth > 0 || around != Around::Nothing
}

/// Returns the offset of the quote that closes a string of one line. If the quote is missing, returns the last offset
/// of the line, or the end of the text.
fn end_of_string(text: &[u8], opening: usize) -> usize {
    let quote = text[opening];
    let mut at = opening + 1;
    while let Some(byte) = text.get(at).copied() {
        match byte {
            b'\n' => return at - 1,
            b'\\' if quote == b'"' => at += 1,
            _ if byte == quote => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Masks the line that contains the marker `@`, after removing the marker.
    fn masked(text: &str) -> String {
        let at = text.find('@').expect("a marked line");
        let text = text.replace('@', "");
        masked_line(&text, text[..at].rfind('\n').map_or(0, |newline| newline + 1))
    }

    #[test]
    fn keys_and_headers_are_shown_and_values_are_not_c9() {
        for (text, shown) in [
            ("A = \"hunter2@", "A = …"),
            ("A = 1\n  B.\"c d\" = hunter2@", "  B.\"c d\" = …"),
            ("[secrets.NPM_TOKEN@] hunter2", "[secrets.NPM_TOKEN] …"),
            ("[[init]@]", "[[init]]"),
            ("[secrets@]", "[secrets]"),
            ("hunter2@", "…"),
            ("# hunter2@", "…"),
            ("A B! = hunter2@", "…"),
            ("\"hunter2\" B = 1@", "…"),
            ("A = [\n  \"x\",\n  hunter2=x@\n]", "…"),
            ("A = \"\"\"\nhunter2=x@\n\"\"\"", "…"),
            ("A = '''\n[hunter2]@\n'''", "…"),
            ("A = { b = [\n hunter2 = 3@", "…"),
            ("A = [\"]\", '[']\nB = hunter2@", "B = …"),
            ("A = \"\"\"x\\\"\"\"\"\nB = hunter2@", "B = …"),
            ("A = \"open\nB = hunter2@", "B = …"),
            ("[a]\nB = hunter2@", "B = …"),
            ("@", ""),
        ] {
            assert_eq!(masked(text), shown, "{text:?}");
        }
    }
}
