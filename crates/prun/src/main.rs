//! The `prun` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    pcli::protect();
    if let Some(exit) = prun::run_as_plugin(std::env::args_os()) {
        return exit.into();
    }
    prun::run(std::env::args_os())
}
