//! The program: one file of a few kilobytes, without a runtime and a libc, so that it runs in every Linux image.
#![no_std]
#![no_main]
// Without this attribute, the compiler would turn the loops of `memory` into calls of the functions that they are in.
#![no_builtins]
#![expect(unsafe_code, reason = "a program without libc speaks to the kernel itself")]

extern crate alloc;

mod board;
mod datagrams;
mod drained;
mod exchange;
mod forward;
mod hold;
mod init;
mod keep;
mod lock;
mod memory;
mod network;
mod probe;
mod process;
mod run;
mod schedule;
mod signals;
mod start;
mod system;
mod watch;

use alloc::vec::Vec;

use pshim::Action;

/// The arguments and the environment that the kernel passed to the program.
pub(crate) struct Input {
    /// The words of the command line, without the program's own name.
    pub(crate) arguments: Vec<&'static [u8]>,
    /// The environment, as `NAME=VALUE`.
    pub(crate) environment: Vec<&'static [u8]>,
}

/// Does the task that the arguments name, and returns the exit code.
pub(crate) fn main(given: &Input) -> u8 {
    let Ok(action) = Action::parse(&given.arguments) else {
        say(&[b"this program is started by prun, in containers of its own"]);
        return pshim::FAILED;
    };
    match action {
        Action::Run { patience, init, job, command } => {
            let begin = if init { run::Begin::WithInit } else { run::Begin::AtOnce };
            run::run(patience, begin, job, command, &given.environment)
        }
        Action::Exec { command } => run::exec(command, &given.environment),
        Action::Hold => hold::hold(),
        Action::Keep { folder } => keep::keep(folder),
        Action::Done => 0,
        Action::Forward { ports } => forward::forward(ports),
        Action::Drained { patience, instances } => drained::drained(u64::from(patience), instances),
        Action::Http(request) => probe::http(request),
        Action::Tcp { host, port } => probe::tcp(host, port),
    }
}

/// Writes one line for people. The line never holds a value.
pub(crate) fn say(parts: &[&[u8]]) {
    let mut line = Vec::from(&b"prun: "[..]);
    for part in parts {
        line.extend_from_slice(part);
    }
    line.push(b'\n');
    system::write_all(system::STDERR, &line);
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    system::write_all(system::STDERR, b"prun: the entrypoint failed\n");
    system::exit(pshim::FAILED)
}
