//! The `pbuild` command.

use std::process::ExitCode;

use pbuild::CommandLine;

fn main() -> ExitCode {
    pcli::protect();
    if let Some(exit) = pbuild::run_as_plugin(std::env::args_os()) {
        return exit.into();
    }
    let command_line = CommandLine::read(std::env::args_os());
    pscreen::stage::perform(async |stage| pbuild::run(&command_line, stage).await)
}
