//! The `ARG` lines and other declarations of a Dockerfile.

use crate::files::dockerfile::{Dockerfile, words};

/// A build argument that the Dockerfile declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Argument {
    /// The name of the argument.
    pub(super) name: String,
    /// Whether the Dockerfile gives the argument a value that is not empty.
    pub(super) has_default: bool,
    /// The line of the instruction, from 1.
    pub(super) line: usize,
}

/// Lists the arguments, each once, in the order of the text. An argument counts as one with a default if any of its
/// declarations has a default.
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

/// Lists the IDs of the secrets that the steps mount, each once, with the line of the first mount.
pub(super) fn mounted(dockerfile: &[u8]) -> Vec<(String, usize)> {
    let Dockerfile { escape, instructions } = Dockerfile::read(dockerfile);
    let mut found: Vec<(String, usize)> = Vec::new();
    for instruction in &instructions {
        let (keyword, rest) = instruction.parts();
        if keyword != "RUN" {
            continue;
        }
        // All flags come before the command.
        let flags = words(rest, escape).into_iter().take_while(|word| word.starts_with("--"));
        for id in flags.filter_map(|flag| mounted_id(flag.strip_prefix("--mount=")?)) {
            if found.iter().all(|(known, _)| *known != id) {
                found.push((id, instruction.line));
            }
        }
    }
    found
}

/// Lists the TCP ports that the last stage exposes, each once. A port that a variable decides is left out.
pub(super) fn exposed(dockerfile: &[u8]) -> Vec<u16> {
    let Dockerfile { escape, instructions } = Dockerfile::read(dockerfile);
    let mut found = Vec::new();
    for instruction in &instructions {
        match instruction.parts() {
            (keyword, _) if keyword == "FROM" => found.clear(),
            (keyword, rest) if keyword == "EXPOSE" => {
                let ports = words(rest, escape).into_iter();
                let ports = ports.filter_map(|word| word.strip_suffix("/tcp").unwrap_or(&word).parse().ok());
                ports.for_each(|port| {
                    if !found.contains(&port) {
                        found.push(port)
                    }
                });
            }
            _ => {}
        }
    }
    found
}

/// Reads the ID of a secret's mount, as BuildKit does: `id`, or else the last part of the target. Returns `None` for
/// another kind of mount, or if a variable decides the ID.
fn mounted_id(mount: &str) -> Option<String> {
    let field = |keys: &[&str]| {
        mount
            .split(',')
            .find_map(|part| part.split_once('=').filter(|(key, _)| keys.contains(key)).map(|(_, value)| value))
    };
    if field(&["type"])? != "secret" {
        return None;
    }
    let of_target = || field(&["target", "dst", "destination"]).and_then(|target| target.rsplit('/').next());
    let id = field(&["id"]).or_else(of_target)?;
    (!id.is_empty() && !id.contains('$')).then(|| id.to_owned())
}

/// Reads one word of `ARG`. Returns the name, and whether the word gives a value that is not empty.
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
    fn finds_the_secrets_that_steps_mount() {
        let text = "FROM x\nRUN --mount=type=cache,target=/c --mount=type=secret,id=npm,required npm ci\n\
                    RUN --network=none \\\n  --mount=type=secret,target=/home/app/.netrc,env=N make --mount=type=secret,id=no\n\
                    RUN --mount=target=/run/pip.conf,type=secret true\nRUN --mount=type=secret,id=npm x\n\
                    RUN --mount=type=secret,id=$ID x\nRUN --mount=type=ssh,id=s x\nCOPY --mount=type=secret,id=no . .\n";
        let expected = [("npm", 2), (".netrc", 3), ("pip.conf", 5)].map(|(id, line)| (id.to_owned(), line));
        assert_eq!(mounted(text.as_bytes()), expected);
    }

    #[test]
    fn ports_are_those_of_the_last_stage() {
        let text = b"FROM a\nEXPOSE 1\nFROM b\nEXPOSE 3000 80/tcp $PORT 53/udp\nexpose 3000\n";
        assert_eq!(exposed(text), [3000, 80]);
    }

    #[test]
    fn an_argument_knows_its_line() {
        let lines: Vec<usize> =
            arguments(b"\n# x\nARG A\nFROM x\nARG \\\n B\n").iter().map(|found| found.line).collect();
        assert_eq!(lines, [3, 5]);
    }

    /// Returns whether the characters of a name occur in the text in this order. A name that continues on the next
    /// line is joined, and no other name may appear.
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
