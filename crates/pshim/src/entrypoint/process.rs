//! The change from this program to another one, by `execve`.

use alloc::vec::Vec;

use pshim::program::{self, Attempt};

use crate::{say, system};

/// Becomes a command with an environment. Returns the exit code if that fails.
pub(crate) fn become_program(command: &[&[u8]], environment: &[&[u8]]) -> u8 {
    let terminated = |texts: &[&[u8]]| -> Vec<Vec<u8>> { texts.iter().map(|text| program::terminated(text)).collect() };
    let (arguments, variables) = (terminated(command), terminated(environment));
    let mut attempts = Vec::new();
    for file in program::candidates(command[0], environment) {
        let attempt = match system::execute(&file, &arguments, &variables) {
            system::ENOENT | system::ENOTDIR => Attempt::Missing,
            system::EACCES | system::EPERM => Attempt::Denied,
            _ => Attempt::Failed,
        };
        attempts.push(attempt);
        if attempt == Attempt::Failed {
            break;
        }
    }
    let code = program::exit_code(&attempts);
    let problem: &[u8] = if code == pshim::NOT_FOUND { b": not found" } else { b": cannot be run" };
    say(&[command[0], problem]);
    code
}

/// Returns the exit code that a shell would show for a child's status. For a child that a signal killed, it is 128
/// plus the signal's number.
pub(crate) fn code_of(status: i32) -> u8 {
    let signal = status & 0x7f;
    if signal == 0 { (status >> 8) as u8 } else { 128 + signal as u8 }
}
