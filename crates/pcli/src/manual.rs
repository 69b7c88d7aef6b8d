//! The manual pages and the completion scripts of a tool, made from its flags.

use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use pscreen::{Diagnostic, Exit, Printer};

/// Writes the manual pages of a tool into a folder, and makes the folder if it does not exist. The tool and each of
/// its commands have a page of their own, such as `pbuild-secrets-set.1`.
///
/// The pages are the same on every machine.
///
/// # Errors
///
/// Returns an error with exit code 1 if the folder cannot be made or a page cannot be written.
pub fn write_pages(command: Command, folder: &Path) -> Result<(), Diagnostic> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let source = format!("{} {}", command.get_name(), command.get_version().unwrap_or_default());
    let written = std::fs::create_dir_all(folder).and_then(|()| write_page(&command, &source, folder));
    written.map_err(|error| {
        Diagnostic::from_error(&error, Exit::Failed)
            .note(format!("while writing manual pages into {}", folder.display()))
            .help("name another folder")
    })
}

/// Writes the page of one command, and the pages of its subcommands.
fn write_page(command: &Command, source: &str, folder: &Path) -> io::Result<()> {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write_page(inner, source, folder)?;
    }
    Man::new(command.clone()).source(source).generate_to(folder).map(drop)
}

/// Prints the script that completes a tool's commands and flags in a shell. A reader that closes the pipe early is
/// not an error.
pub fn print_completions(mut command: Command, shell: Shell, stdout: &Printer) {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    stdout.bytes(&script);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool() -> Command {
        let inner = Command::new("inner").about("Does the inner work");
        Command::new("tool").version("1").subcommand(inner).subcommand(Command::new("secret").hide(true))
    }

    #[test]
    fn every_command_that_people_see_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("man/man1");
        write_pages(tool(), &below).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(&below).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["tool-inner.1", "tool.1"]);
        let page = std::fs::read_to_string(below.join("tool-inner.1")).unwrap();
        assert!(page.contains("Does the inner work") && page.contains("\"tool 1\""), "{page}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let diagnostic = write_pages(tool(), &file.join("man")).unwrap_err();
        let shown = diagnostic.render(&psecret::Redactor::none());
        assert!(shown.contains("file/man"), "{shown}");
    }
}
