//! The command line as people read it: help screens in groups with examples, and tips for words that people guess.
//!
//! Clap reads the flags and writes most of the screens. This module adds three things: commands stand in groups by
//! their purpose; `--help` begins with examples, while `-h` fits on one screen; and an unknown command or flag is
//! answered with the right command. A tip repeats no argument that the user typed, because an argument may be a
//! value.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches};
use pscreen::{Diagnostic, Exit};

/// What a tool adds to its flags: the groups, examples and tips of its help screens.
#[derive(Clone, Copy, Debug)]
pub struct Guide {
    /// The tool's name.
    pub tool: &'static str,
    /// Groups of commands: the path of the parent command (empty for the tool itself), the heading, and the names.
    pub groups: &'static [(&'static str, &'static str, &'static [&'static str])],
    /// Lines of examples, each with the path of its command.
    pub examples: &'static [(&'static str, &'static str)],
    /// Commands that people guess, each with the words to type after the tool's name instead.
    pub guesses: &'static [(&'static str, &'static str)],
    /// Flags that people know from other programs: the path of the command, the flag, and the advice.
    pub flags: &'static [(&'static str, &'static str, &'static str)],
    /// Commands that accept names and never values, each with its advice. The words after such a command may be a
    /// value, so no message shows them.
    pub silent: &'static [(&'static str, &'static str)],
}

/// The reason why a command line is not run.
#[derive(Debug)]
pub enum Refusal {
    /// Clap's own answer: the help that the user asked for, or an error.
    Clap(clap::Error),
    /// A tip, which helps more than clap's error.
    Tip(Diagnostic),
}

/// Reads a command line, which begins with the program's name.
///
/// # Errors
///
/// Returns a [`Refusal`] if the user asked for help, or if clap does not accept the words.
pub fn parse<T: CommandFactory + FromArgMatches>(words: Vec<OsString>, guide: &Guide) -> Result<T, Refusal> {
    let command = arranged(T::command(), guide);
    let matches = command.clone().try_get_matches_from(words.clone());
    matches.and_then(|mut matches| T::from_arg_matches_mut(&mut matches)).map_err(|error| refusal(error, &words, guide))
}

/// Arranges the help screens of a tool.
#[must_use]
pub fn arranged(command: Command, guide: &Guide) -> Command {
    // Clap would list its own help flag before all groups.
    arrange(command.disable_help_flag(true), "", guide)
}

fn arrange(command: Command, path: &str, guide: &Guide) -> Command {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path} {name}") };
    let names: Vec<String> = command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    let hidden = command.get_arguments().any(Arg::is_hide_short_help_set);
    let grouped = command.get_arguments().any(|argument| argument.get_help_heading().is_some());
    let mut command = names
        .iter()
        .fold(command, |command, name| command.mut_subcommand(name, |one| arrange(one, &below(name), guide)));
    let example = guide.examples.iter().find(|(known, _)| *known == path).map(|(_, text)| *text);
    let more = match (hidden, example) {
        (true, _) => "Print help; `--help` shows every flag, and examples",
        (false, Some(_)) => "Print help; `--help` shows examples, too",
        (false, None) => "Print help",
    };
    let mut help = Arg::new("help").short('h').long("help").action(ArgAction::Help).help(more);
    if grouped {
        help = help.help_heading("Other");
    }
    command = command.arg(help);
    if let Some(example) = example {
        let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
        let header = *command.get_styles().get_header();
        command = command.long_about(format!("{about}\n\n{header}Examples:{header:#}\n{example}"));
    }
    if guide.groups.iter().any(|(known, ..)| *known == path) {
        command = in_groups(command, path, guide);
    }
    command
}

/// Gives the command a help text that lists its subcommands by groups. Those without a group come last, below `More`.
fn in_groups(command: Command, path: &str, guide: &Guide) -> Command {
    let (header, literal) = (*command.get_styles().get_header(), *command.get_styles().get_literal());
    let visible: Vec<&Command> = command.get_subcommands().filter(|one| !one.is_hide_set()).collect();
    let width = visible.iter().map(|one| one.get_name().len()).max().unwrap_or(0);
    let line = |one: &Command| {
        let (name, about) = (one.get_name(), one.get_about().map(ToString::to_string).unwrap_or_default());
        format!("  {literal}{name:width$}{literal:#}  {about}\n")
    };
    let groups: Vec<_> = guide.groups.iter().filter(|(known, ..)| *known == path).collect();
    let mut list = String::new();
    for (_, heading, names) in &groups {
        list.push_str(&format!("{header}{heading}:{header:#}\n"));
        let of_group = names.iter().filter_map(|name| visible.iter().find(|one| one.get_name() == *name));
        of_group.for_each(|one| list.push_str(&line(one)));
        list.push('\n');
    }
    let rest: Vec<_> =
        visible.iter().filter(|one| !groups.iter().any(|(.., names)| names.contains(&one.get_name()))).collect();
    if !rest.is_empty() {
        list.push_str(&format!("{header}More:{header:#}\n"));
        rest.iter().for_each(|one| list.push_str(&line(one)));
        list.push('\n');
    }
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{list}{header}Options:{header:#}\n{{options}}{{after-help}}"
    );
    command.help_template(template)
}

fn refusal(error: clap::Error, words: &[OsString], guide: &Guide) -> Refusal {
    let words: Vec<String> = words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    tip(error.kind(), &words, guide).map_or(Refusal::Clap(error), Refusal::Tip)
}

fn tip(kind: ErrorKind, words: &[String], guide: &Guide) -> Option<Diagnostic> {
    let commands: Vec<&str> = words.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect();
    let typed = |path: &str| {
        let path: Vec<&str> = path.split(' ').collect();
        commands.starts_with(&path)
    };
    match kind {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            None
        }
        ErrorKind::InvalidSubcommand => {
            let (guess, answer) = guide.guesses.iter().find(|(guess, _)| typed(guess))?;
            Some(Diagnostic::error(format!("{} has no command `{guess}`", guide.tool), Exit::Usage).help(*answer))
        }
        ErrorKind::UnknownArgument => {
            if let Some((path, help)) = guide.silent.iter().find(|(path, _)| typed(path)) {
                let title =
                    format!("`{} {path}` takes a name, and one of the words behind it is something else", guide.tool);
                return Some(Diagnostic::error(title, Exit::Usage).help(*help));
            }
            let given = |flag: &str| {
                let is_flag =
                    |word: &String| *word == flag || word.strip_prefix(flag).is_some_and(|rest| rest.starts_with('='));
                words.iter().take_while(|word| *word != "--").any(is_flag)
            };
            let (path, flag, answer) = guide.flags.iter().find(|(path, flag, _)| typed(path) && given(flag))?;
            Some(Diagnostic::error(format!("`{} {path}` has no flag `{flag}`", guide.tool), Exit::Usage).help(*answer))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::{Parser, Subcommand};

    use super::*;

    const GUIDE: Guide = Guide {
        tool: "tool",
        groups: &[("", "Begin", &["start"]), ("", "Look", &["list"])],
        examples: &[("", "  tool start    begin")],
        guesses: &[("up", "tool start")],
        flags: &[("start", "--gpus", "leave it out")],
        silent: &[("list", "type a name alone")],
    };

    /// A tool
    #[derive(Debug, Parser)]
    #[command(name = "tool")]
    struct Tool {
        #[command(subcommand)]
        _command: Commands,
    }

    #[derive(Debug, Subcommand)]
    enum Commands {
        /// Begin
        Start {
            /// A rare one
            #[arg(long, hide_short_help = true)]
            rare: bool,
        },
        /// Show
        List { name: Option<String> },
        /// Of no group
        Other,
    }

    fn said(line: &str) -> String {
        let words = line.split_whitespace().map(OsString::from).collect();
        match parse::<Tool>(words, &GUIDE).expect_err(line) {
            Refusal::Clap(error) => error.to_string(),
            Refusal::Tip(diagnostic) => diagnostic.to_string(),
        }
    }

    #[test]
    fn commands_stand_in_groups_and_examples_come_first() {
        let short = said("tool -h");
        assert!(
            short.contains(
                "Begin:\n  start  Begin\n\nLook:\n  list   Show\n\nMore:\n  other  Of no group\n\nOptions:\n"
            ),
            "{short}"
        );
        assert!(!short.contains("Examples"), "{short}");
        let long = said("tool --help");
        assert!(long.find("Examples:").expect("examples") < long.find("Usage:").expect("usage"), "{long}");
        assert!(!said("tool start -h").contains("--rare") && said("tool start --help").contains("--rare"));
    }

    #[test]
    fn a_guess_is_answered_with_the_command_that_does_it() {
        assert_eq!(said("tool up"), "error: tool has no command `up`\n  help: tool start\nexit code 2\n");
        assert_eq!(
            said("tool start --gpus=all"),
            "error: `tool start` has no flag `--gpus`\n  help: leave it out\nexit code 2\n"
        );
        assert!(said("tool start --other").contains("--other"), "clap's own words");
    }

    #[test]
    fn a_value_that_was_typed_is_not_repeated() {
        for line in ["tool list NAME t0p-s3cr3t", "tool list --t0p-s3cr3t", "tool list NAME --value=t0p-s3cr3t"] {
            let said = said(line);
            assert!(!said.contains("s3cr3t") && said.contains("type a name alone"), "{said}");
        }
    }
}
