//! The `prun` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    pcli::protect();
    prun::run(std::env::args_os())
}
