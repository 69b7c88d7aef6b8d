//! The `ARG` lines of a Dockerfile.

use crate::files::dockerfile::{Dockerfile, words};

/// One declared build argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Argument {
    /// Its name.
    pub(super) name: String,
    /// Whether the Dockerfile gives it a value that is not empty.
    pub(super) has_default: bool,
    /// The line of its instruction, from 1.
    pub(super) line: usize,
}

/// Lists the arguments, each once, in the order of the text. An argument that has a default anywhere has a default.
pub(super) fn arguments(dockerfile: &[u8]) -> Vec<Argument> {
    let Dockerfile { escape, instructions } = Dockerfile::read(dockerfile);
    let mut found: Vec<Argument> = Vec::new();
    for instruction in &instructions {
        let (keyword, rest) = instruction.parts();
        if keyword != "ARG" {
            continue;
        }
        for (name, has_default) in words(rest, escape).iter().filter_map(|word| declaration(word)) {
            match found.iter_mut().find(|known| known.name == name) {
                Some(known) => known.has_default |= has_default,
                None => found.push(Argument { name, has_default, line: instruction.line }),
            }
        }
    }
    found
}

/// Reads one word of `ARG`: the name, and whether there is a value behind it.
fn declaration(word: &str) -> Option<(String, bool)> {
    let (name, value) = word.split_once('=').map_or((word, ""), |(name, value)| (name, value));
    let plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let is_name = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(plain);
    is_name.then(|| (name.to_owned(), !matches!(value, "" | "\"\"" | "''")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(String, bool)> {
        arguments(text.as_bytes()).into_iter().map(|argument| (argument.name, argument.has_default)).collect()
    }

    fn named(names: &[(&str, bool)]) -> Vec<(String, bool)> {
        names.iter().map(|(name, has_default)| ((*name).to_owned(), *has_default)).collect()
    }

    #[test]
    fn finds_arguments_in_every_spelling() {
        for (text, expected) in [
            ("ARG A\nFROM x\narg B=1\nArg C=\n", &[("A", false), ("B", true), ("C", false)][..]),
            ("\u{feff}ARG A\r\nFROM x\r\n", &[("A", false)]),
            ("ARG A B=2 C=\"x ARG y\" D=''", &[("A", false), ("B", true), ("C", true), ("D", false)]),
            ("ARG \\\n  # a comment\n\n  A \\\n  B=1\nARG C", &[("A", false), ("B", true), ("C", false)]),
            ("# escape=`\nARG A `\n B\nRUN x\\\nARG C", &[("A", false), ("B", false), ("C", false)]),
            ("RUN echo a \\\\\nARG A", &[("A", false)]),
            ("RUN echo a \\\nARG A\nARG B", &[("B", false)]),
            ("# ARG A\n  ARG B\n", &[("B", false)]),
            ("ARG A\nFROM x\nARG A=1", &[("A", true)]),
            ("ARG 1A =x ${B} C", &[("C", false)]),
            ("ARGUMENT A\nRUN ARG B\n", &[]),
        ] {
            assert_eq!(read(text), named(expected), "{text:?}");
        }
    }

    #[test]
    fn an_argument_knows_its_line() {
        let lines: Vec<usize> =
            arguments(b"\n# x\nARG A\nFROM x\nARG \\\n B\n").iter().map(|found| found.line).collect();
        assert_eq!(lines, [3, 5]);
    }

    /// Whether the characters of a name stand in the text in this order: a name that goes on over a line end is joined,
    /// and none is invented.
    fn holds(text: &str, name: &str) -> bool {
        let mut characters = text.chars();
        name.chars().all(|wanted| characters.any(|found| found == wanted))
    }

    #[test]
    fn a_name_that_goes_on_over_a_line_end_is_joined() {
        assert_eq!(read("CRUN <<E\nARG A\\\nYARG B"), named(&[("AYARG", false), ("B", false)]));
        assert_eq!(read("ARG FIR\\\n# a comment\nST=1"), named(&[("FIRST", true)]));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "([ARGrunCOPY<\\-\"'`#=\\\\ \t\r\nEOF0\u{feff}é]|ARG A|RUN <<E\n|# escape=`\n){0,80}") {
            for argument in arguments(text.as_bytes()) {
                prop_assert!(holds(&text, &argument.name), "{}", argument.name);
                prop_assert!(argument.line <= text.split('\n').count());
            }
        }
    }
}
