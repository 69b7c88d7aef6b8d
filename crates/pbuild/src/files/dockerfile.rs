//! The instructions of a Dockerfile.
//!
//! A small parser that finds where instructions begin and end. It handles the byte order mark, CRLF, the `escape`
//! directive, comments, continuations and heredocs in the same way as BuildKit's parser.

/// A Dockerfile, cut into instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dockerfile {
    /// The character that continues a line: `\`, or the one that `# escape=` sets.
    pub(crate) escape: char,
    /// The instructions, in the order of the text.
    pub(crate) instructions: Vec<Instruction>,
}

/// One instruction. Its lines are joined, and comments, blank lines and the bodies of its heredocs are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// The number of its first line, from 1.
    pub(crate) line: usize,
    /// The text, with the keyword first.
    pub(crate) text: String,
}

impl Dockerfile {
    /// Reads any bytes. Bytes that are not UTF-8 are replaced, and a line that is not an instruction becomes one with
    /// an unknown keyword.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let lines: Vec<&str> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
        let escape = escape_character(&lines);
        let (mut instructions, mut at) = (Vec::new(), 0);
        while let Some(instruction) = next_instruction(&lines, &mut at, escape) {
            if let Some(rest) = takes_heredocs(&instruction) {
                skip_heredocs(&lines, &mut at, rest, escape);
            }
            instructions.push(instruction);
        }
        Self { escape, instructions }
    }
}

impl Instruction {
    /// Returns the keyword in capitals, and the rest of the text.
    pub(crate) fn parts(&self) -> (String, &str) {
        split_keyword(&self.text)
    }
}

fn split_keyword(text: &str) -> (String, &str) {
    let text = text.trim_start();
    let (keyword, rest) = text.find(char::is_whitespace).map_or((text, ""), |end| text.split_at(end));
    (keyword.to_ascii_uppercase(), rest.trim_start())
}

/// Returns the part of an instruction that may open heredocs, if any part may.
fn takes_heredocs(instruction: &Instruction) -> Option<&str> {
    let (mut keyword, mut rest) = instruction.parts();
    if keyword == "ONBUILD" {
        (keyword, rest) = split_keyword(rest);
    }
    matches!(keyword.as_str(), "RUN" | "COPY" | "ADD").then_some(rest)
}

/// Reads `# escape=`, which counts only among the directives at the top of the file.
fn escape_character(lines: &[&str]) -> char {
    for line in lines {
        let Some((name, value)) = line.trim().strip_prefix('#').and_then(|rest| rest.split_once('=')) else { break };
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            break;
        }
        if name.eq_ignore_ascii_case("escape") {
            return if value.trim() == "`" { '`' } else { '\\' };
        }
    }
    '\\'
}

/// Joins lines into the next instruction, without comments and blank lines. Moves `at` to the line after the
/// instruction.
fn next_instruction(lines: &[&str], at: &mut usize, escape: char) -> Option<Instruction> {
    let is_nothing = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    while lines.get(*at).is_some_and(|line| is_nothing(line)) {
        *at += 1;
    }
    let line = *at + 1;
    let mut text = String::new();
    let mut began = false;
    while let Some(next) = lines.get(*at) {
        *at += 1;
        // Comments and blank lines inside of a continuation are left out.
        if began && is_nothing(next) {
            continue;
        }
        began = true;
        match continued(next, escape) {
            Some(part) => text.push_str(part),
            None => {
                text.push_str(next);
                break;
            }
        }
    }
    began.then(|| Instruction { text: text.trim().to_owned(), line })
}

/// Returns the line without the escape character at its end, if there is one. A doubled escape character does not
/// count (BuildKit: `([^\\])\\[ \t]*$|^\\[ \t]*$`).
fn continued(line: &str, escape: char) -> Option<&str> {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!before.ends_with(escape)).then_some(before)
}

/// Splits a text into words as a shell does. Quotes stay part of a word.
pub(crate) fn words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == escape && quote != Some('\'') {
            word.push(character);
            word.extend(characters.next());
            continue;
        }
        match quote {
            None if character.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if matches!(character, '\'' | '"') => quote = Some(character),
            Some(open) if open == character => quote = None,
            None | Some(_) => {}
        }
        word.push(character);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Moves `at` past the heredocs that an instruction opens.
fn skip_heredocs(lines: &[&str], at: &mut usize, rest: &str, escape: char) {
    for word in words(rest, escape) {
        let Some((tabs, end)) = heredoc(&word) else { continue };
        while let Some(line) = lines.get(*at) {
            *at += 1;
            let line = if tabs { line.trim_start_matches('\t') } else { line };
            if line == end {
                break;
            }
        }
    }
}

/// Reads `<<END` or `3<<-"END"`. Returns whether tabs before the end word are allowed, and the end word (BuildKit:
/// `^(\d*)<<(-?)\s*([^<]*)$`).
fn heredoc(word: &str) -> Option<(bool, String)> {
    let rest = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<")?;
    let (tabs, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let end: String = rest.chars().filter(|c| !matches!(c, '"' | '\'')).collect();
    (!rest.contains('<') && !end.is_empty()).then_some((tabs, end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keywords(text: &str) -> Vec<(usize, String)> {
        let read = Dockerfile::read(text.as_bytes());
        read.instructions.iter().map(|instruction| (instruction.line, instruction.parts().0)).collect()
    }

    #[test]
    fn instructions_begin_where_buildkit_sees_them() {
        for (text, lines) in [
            ("# syntax=x\n\nFROM a\n  # note\nRUN b", &[3, 5][..]),
            ("\u{feff}FROM a\r\nRUN b \\\r\n  # note\r\n\r\n  c\r\nRUN d", &[1, 2, 6]),
            ("# escape=`\nFROM x\nRUN a `\n  b\nRUN c\\\nRUN d", &[2, 3, 5, 6]),
            ("#\n# escape=`\nRUN a `\nRUN b", &[3, 4]),
            ("FROM x\nRUN echo a \\\\\nRUN b", &[1, 2, 3]),
            ("RUN a \\", &[1]),
            ("", &[]),
        ] {
            let read: Vec<usize> = keywords(text).iter().map(|(line, _)| *line).collect();
            assert_eq!(read, lines, "{text:?}");
        }
    }

    #[test]
    fn the_lines_of_a_heredoc_are_no_instructions() {
        for text in [
            "RUN <<EOF\nARG A\nEOF\nARG B",
            "RUN cat <<EOF > /x && true\nARG A\nEOF\nARG B",
            "RUN <<-\"E F\"\nARG A\n\tE F\nARG B",
            "COPY <<a <<b /x/\nARG A\na\nARG A\nb\nARG B",
            "ONBUILD RUN <<EOF\nARG A\nEOF\nARG B",
            "RUN 3<<EOF\nARG A\nEOF\nARG B",
            "RUN echo $((1<<2))\nARG B",
            "RUN cat <<<word\nARG B",
            "RUN echo \"<<EOF\"\nARG B",
            "ENV X=<<EOF\nARG B",
        ] {
            let read = keywords(text);
            assert_eq!(read.len(), 2, "{text:?}");
            assert_eq!(read[1], (text.lines().count(), "ARG".to_owned()), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([ARGrunCOPY<\\-\"'`#=\\\\ \t\r\nEOF0\u{feff}é]|ARG A|RUN <<E\n|# escape=`\n){0,80}") {
            let read = Dockerfile::read(text.as_bytes());
            let lines: Vec<usize> = read.instructions.iter().map(|instruction| instruction.line).collect();
            prop_assert!(lines.is_sorted_by(|one, other| one < other));
            prop_assert!(lines.iter().all(|line| (1..=text.split('\n').count()).contains(line)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Dockerfile::read(&bytes);
        }
    }
}
