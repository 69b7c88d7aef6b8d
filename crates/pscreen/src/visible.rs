//! Makes foreign text safe for a terminal: the text stays, and its effects on the terminal are removed.

/// Replaces control characters by visible escapes. Line ends and tabs stay.
///
/// This is for names, paths and messages (C20, A18). Bidirectional overrides are replaced too, because they make a
/// text look like another one.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => out.push(character),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{85}' => out.extend(character.escape_unicode()),
            _ if character.is_control() => out.extend(character.escape_default()),
            _ => out.push(character),
        }
    }
    out
}

/// Makes a text one line: line ends become blanks, and control characters become visible.
#[must_use]
pub fn one_line(text: &str) -> String {
    visible(text).lines().map(str::trim_end).collect::<Vec<_>>().join(" ")
}

/// Cleans a line of a step's log. Colours stay; all other escape sequences and control characters are removed.
///
/// A step may move the cursor, set the window's title or clear the screen, but not in our output.
pub(crate) fn log_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|character: char| character.is_control()) {
        out.push_str(&rest[..at]);
        let control = &rest[at..];
        rest = match control.strip_prefix('\u{1b}') {
            Some(sequence) => escape(sequence, &mut out),
            None => {
                if control.starts_with('\t') {
                    out.push('\t');
                }
                control.char_indices().nth(1).map_or("", |(next, _)| &control[next..])
            }
        };
    }
    out.push_str(rest);
    out
}

/// Skips an escape sequence, whose ESC was already read, and returns the text after it. A sequence that only sets
/// colours (ECMA-48 SGR) is copied to `out`.
fn escape<'a>(sequence: &'a str, out: &mut String) -> &'a str {
    match sequence.chars().next() {
        // A CSI sequence has parameters and intermediates, and then one final character.
        Some('[') => {
            let body = &sequence[1..];
            let end = body.find(|c: char| !matches!(c, '\u{20}'..='\u{3f}')).unwrap_or(body.len());
            let (parameters, rest) = body.split_at(end);
            match rest.chars().next() {
                Some('m') if parameters.bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':') => {
                    out.push_str("\u{1b}[");
                    out.push_str(parameters);
                    out.push('m');
                    &rest[1..]
                }
                Some(last @ '\u{40}'..='\u{7e}') => &rest[last.len_utf8()..],
                _ => rest,
            }
        }
        // OSC and similar sequences end at BEL or ST. Without such an end, they extend to the end of the line.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            let end = sequence.find(['\u{7}', '\u{1b}']).unwrap_or(sequence.len());
            let rest = &sequence[end..];
            rest.strip_prefix('\u{7}').or(rest.strip_prefix("\u{1b}\\")).unwrap_or(rest)
        }
        // This sequence has intermediates, and then one final character.
        Some('\u{20}'..='\u{2f}') => {
            let rest = sequence.trim_start_matches(|c: char| matches!(c, '\u{20}'..='\u{2f}'));
            rest.char_indices().nth(1).map_or("", |(next, _)| &rest[next..])
        }
        Some('\u{30}'..='\u{7e}') => &sequence[1..],
        _ => sequence,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_shown_c20() {
        assert_eq!(visible("a\u{1b}[2Jb\rc\0\n\td\u{202e}e"), "a\\u{1b}[2Jb\\rc\\u{0}\n\td\\u{202e}e");
        assert_eq!(one_line("RUN a \\\n  b"), "RUN a \\   b");
        assert_eq!(visible("ünïcode 日本"), "ünïcode 日本");
    }

    #[test]
    fn a_log_line_keeps_colours_alone() {
        assert_eq!(log_line("\u{1b}[31;1mred\u{1b}[0m"), "\u{1b}[31;1mred\u{1b}[0m");
        assert_eq!(log_line("a\u{1b}[2Kb\u{1b}[10;5Hc\u{1b}[?25ld"), "abcd");
        assert_eq!(log_line("a\u{1b}]0;title\u{7}b\u{1b}]8;;x\u{1b}\\c"), "abc");
        assert_eq!(log_line("a\u{1b}(Bb\u{1b}7c\u{8}\u{7f}d\te"), "abcd\te");
        assert_eq!(log_line("a\u{1b}]unended"), "a");
        assert_eq!(log_line("a\u{1b}["), "a");
        assert_eq!(log_line("\u{9b}31mx"), "31mx");
    }

    proptest! {
        #[test]
        fn no_other_control_character_gets_through(text in "[\\x00-\\x20\\[\\]mHJ;0-9ab\u{1b}\u{9b}\u{7f}é]{0,40}") {
            let shown = log_line(&text);
            let mut plain = shown.clone();
            while let Some(at) = plain.find("\u{1b}[") {
                let end = at + 2 + plain[at + 2..].find('m').expect("only colours");
                prop_assert!(plain[at + 2..end].bytes().all(|b| b.is_ascii_digit() || b == b';' || b == b':'));
                plain.replace_range(at..=end, "");
            }
            prop_assert!(plain.chars().all(|c| !c.is_control() || c == '\t'), "{:?}", shown);
            prop_assert!(visible(&text).chars().all(|c| !c.is_control() || c == '\t' || c == '\n'));
        }
    }
}
