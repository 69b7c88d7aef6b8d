//! Translates docker's ways to write flags into clap's.
//!
//! Scripts and CI templates write `--no-cache=$NO_CACHE`, `--push=false` and `--target ""`, and append a flag that is
//! already there. Docker's client accepts a truth value after a flag (Go's `strconv.ParseBool`), reads an empty value
//! as if the flag were not given, and uses the last of several values. Clap does not support the first two; the last
//! is [`args_override_self`].
//!
//! [`args_override_self`]: clap::Command::args_override_self

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use clap::{Arg, ArgAction, Command};

/// The flags of docker that count as not given if their value is empty.
const NOT_GIVEN_WHEN_EMPTY: [&str; 21] = [
    "add-host",
    "allow",
    "annotation",
    "attest",
    "builder",
    "cache-from",
    "cache-to",
    "call",
    "file",
    "iidfile",
    "list",
    "metadata-file",
    "network",
    "no-cache-filter",
    "output",
    "platform",
    "progress",
    "provenance",
    "sbom",
    "secret",
    "ssh",
];

/// The flag that is short for a value of another flag, and that other flag.
const CHECK: (&str, &str) = ("check", "call");

/// Translates a whole command line, the program's name first. All commands except `pbuild build` and `pbuild bake`
/// stay unchanged.
pub(crate) fn translate(command: &Command, words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut start: Vec<OsString> = words.by_ref().take(2).collect();
    let name = ["build", "bake"].into_iter().find(|name| start.get(1).is_some_and(|word| word == name));
    let build = name.and_then(|name| command.find_subcommand(name));
    match build {
        None => start.extend(words),
        Some(build) => {
            let mut translation = Translation { build, given: Vec::new() };
            translation.read(words);
            start.extend(translation.given.into_iter().flat_map(|given| given.words));
        }
    }
    start
}

/// Words of the command line that belong together: a flag with its value, or a word that is not a flag.
struct Given {
    flag: Option<String>,
    words: Vec<OsString>,
}

struct Translation<'command> {
    build: &'command Command,
    given: Vec<Given>,
}

impl Translation<'_> {
    fn read(&mut self, mut words: impl Iterator<Item = OsString>) {
        while let Some(word) = words.next() {
            if word == "--" {
                self.keep(None, std::iter::once(word).chain(words.by_ref()));
                return;
            }
            let Some((flag, value)) = find(self.build, &word) else {
                self.keep(None, [word]);
                continue;
            };
            match value {
                _ if !takes_a_value(flag) => self.switch(flag, word, value),
                Some(value) => self.value(flag, &value),
                None => match words.next() {
                    Some(value) => self.value(flag, &value),
                    None => self.keep(None, [word]),
                },
            }
        }
    }

    /// Translates a flag that is on or off.
    fn switch(&mut self, flag: &Arg, word: OsString, value: Option<OsString>) {
        // `-h` prints a shorter help text than `--help`, so the word stays.
        if matches!(flag.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong) {
            return self.keep(None, [word]);
        }
        let name = name(flag);
        let on = match value.as_deref().map(boolean) {
            None => true,
            Some(Some(on)) => on,
            // Docker does not accept this value either, so the word stays and clap reports it.
            Some(None) => return self.keep(None, [word]),
        };
        if name == CHECK.0 {
            // Like docker, `--check` sets the value of `--call`, and `--check=false` sets nothing.
            if on {
                self.forget(CHECK.1);
                self.keep(Some(CHECK.1), [format!("--{}={name}", CHECK.1).into()]);
            }
            return;
        }
        self.forget(&name);
        if on {
            self.keep(Some(&name), [format!("--{name}").into()]);
        }
    }

    /// Translates a flag with a value into one word, because clap then accepts even a value that looks like a flag.
    fn value(&mut self, flag: &Arg, value: &OsStr) {
        let name = name(flag);
        let given = !value.is_empty() || !NOT_GIVEN_WHEN_EMPTY.contains(&name.as_str());
        if !matches!(flag.get_action(), ArgAction::Append) {
            self.forget(&name);
        }
        if given {
            let mut word = OsString::from(format!("--{name}="));
            word.push(value);
            self.keep(Some(&name), [word]);
        }
    }

    fn forget(&mut self, flag: &str) {
        self.given.retain(|given| given.flag.as_deref() != Some(flag));
    }

    fn keep(&mut self, flag: Option<&str>, words: impl IntoIterator<Item = OsString>) {
        self.given.push(Given { flag: flag.map(str::to_owned), words: words.into_iter().collect() });
    }
}

/// Finds the flag that a word names, and the value that is attached with `=`.
fn find<'command>(build: &'command Command, word: &OsStr) -> Option<(&'command Arg, Option<OsString>)> {
    let bytes = word.as_bytes();
    let (name, value) = match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(OsString::from_vec(bytes[at + 1..].to_owned()))),
        None => (bytes, None),
    };
    let name = std::str::from_utf8(name).ok()?;
    let mut flags = build.get_arguments();
    let flag = match name.strip_prefix("--") {
        Some(long) => flags.find(|flag| {
            let mut names = flag.get_long().into_iter().chain(flag.get_all_aliases().into_iter().flatten());
            names.any(|name| name == long)
        }),
        None => {
            let mut letters = name.strip_prefix('-')?.chars();
            let letter = letters.next()?;
            // Clap itself reads several letters in one word, and a value that is attached without `=`.
            letters.next().is_none().then(|| flags.find(|flag| flag.get_short() == Some(letter)))?
        }
    };
    flag.map(|flag| (flag, value))
}

fn name(flag: &Arg) -> String {
    flag.get_long().unwrap_or(flag.get_id().as_str()).to_owned()
}

/// Returns whether the next word is the flag's value. A flag whose value is optional (`--rm`) is a boolean flag of
/// docker.
fn takes_a_value(flag: &Arg) -> bool {
    let optional = flag.get_num_args().is_some_and(|range| range.min_values() == 0);
    matches!(flag.get_action(), ArgAction::Set | ArgAction::Append) && !optional
}

/// Reads a truth value as Go's `strconv.ParseBool` does. Returns `None` for any other text.
pub(crate) fn boolean(word: &OsStr) -> Option<bool> {
    match word.to_str()? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::command::build::BuildArguments;
    use crate::command::{Command as Chosen, CommandLine};

    fn parse(words: &[&str]) -> Result<BuildArguments, clap::Error> {
        let mut command = CommandLine::command();
        command.build();
        let words = ["pbuild", "build"].iter().chain(words).chain(&["."]).map(OsString::from);
        match CommandLine::try_parse_from(translate(&command, words))?.command {
            Chosen::Build(arguments) => Ok(*arguments),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_boolean_takes_docker_s_words() {
        for (words, on) in [
            (&["--no-cache"][..], true),
            (&["--no-cache=true"], true),
            (&["--no-cache=T"], true),
            (&["--no-cache=0"], false),
            (&["--no-cache", "--no-cache=false"], false),
            (&["--no-cache=false", "--no-cache"], true),
            (&["--no-cache", "--no-cache"], true),
            (&[], false),
        ] {
            assert_eq!(parse(words).unwrap().no_cache, on, "{words:?}");
        }
        assert!(parse(&["-q=true"]).unwrap().quiet && !parse(&["-q", "--quiet=false"]).unwrap().quiet);
        for words in
            [["--pull=1", "--rm=false"], ["--force-rm=true", "--compress=false"], ["--load=true", "--push=false"]]
        {
            assert!(parse(&words).is_ok(), "{words:?}");
        }
        assert!(parse(&["--push", "--load"]).is_ok());
        assert!(parse(&["--no-cache=perhaps"]).is_err());
        assert!(parse(&["--no-cache="]).is_err(), "docker refuses it, too");
    }

    #[test]
    fn the_last_of_several_counts() {
        let arguments =
            parse(&["-f", "one", "--file=two", "--target", "a", "--target", "b", "-t", "x", "-t", "y"]).unwrap();
        assert_eq!((arguments.recipe.file.as_deref(), arguments.recipe.target.as_deref()), (Some("two"), Some("b")));
        assert_eq!(arguments.tags, ["x", "y"]);
        assert_eq!(parse(&["--check", "--call=outline"]).unwrap().call.call.as_deref(), Some("outline"));
        assert_eq!(parse(&["--call=outline", "--check=true"]).unwrap().call.call.as_deref(), Some("check"));
        assert_eq!(parse(&["--print=targets", "--check=false"]).unwrap().call.call.as_deref(), Some("targets"));
    }

    #[test]
    fn an_empty_value_is_none_where_docker_has_it_so() {
        let none = parse(&[]).unwrap();
        for name in NOT_GIVEN_WHEN_EMPTY.into_iter().filter(|name| *name != "list") {
            let attached = parse(&[&format!("--{name}=")]).unwrap();
            let apart = parse(&[&format!("--{name}"), ""]).unwrap();
            for arguments in [attached, apart] {
                assert_eq!(format!("{arguments:?}"), format!("{none:?}"), "{name}");
            }
        }
        assert_eq!(parse(&["-f", "one", "-f", ""]).unwrap().recipe.file, None, "the last one counts");
        assert_eq!(parse(&["--secret", "id=A", "--secret="]).unwrap().secrets.secrets, ["id=A"]);
        assert_eq!(parse(&["--tag", ""]).unwrap().tags, [""], "an error of its own");
    }

    #[test]
    fn what_is_no_flag_of_docker_s_stays() {
        let arguments = parse(&["--build-arg", "--no-cache=false", "--label=--push=false"]).unwrap();
        assert_eq!(arguments.recipe.build_arguments, ["--no-cache=false"]);
        assert_eq!(arguments.labels, ["--push=false"]);
        let mut command = CommandLine::command();
        command.build();
        for words in
            [&["pbuild", "audit", "--json=false"][..], &["pbuild"], &["pbuild", "build", "--", "--no-cache=false"]]
        {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert_eq!(translate(&command, words.clone()), words);
        }
    }
}
