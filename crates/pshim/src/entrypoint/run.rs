//! The way from delivered values to the running app.

use alloc::vec::Vec;

use pshim::environment;

use crate::{init, process, say, schedule, system};

/// The work that comes before the app's command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// The init commands.
    WithInit,
    /// No work: the command begins at once.
    AtOnce,
}

/// Waits for the values, runs the init commands, and then becomes the app or runs its command by the schedule.
pub(crate) fn run(
    patience: u32,
    begin: Begin,
    job: Option<pshim::Job<'_>>,
    command: &[&[u8]],
    inherited: &[&'static [u8]],
) -> u8 {
    if !wait_for_values(patience) {
        say(&[
            b"the values of this container are gone, as after a restart of the engine; `prun resume` brings them back",
        ]);
        return pshim::FAILED;
    }
    let Some(environment) = merged(inherited) else { return pshim::FAILED };
    if begin == Begin::WithInit
        && let Err(code) = init::run_all(&environment)
    {
        return code;
    }
    match job {
        None => process::become_program(command, &environment),
        Some(job) => schedule::repeat(job, command, &environment),
    }
}

/// Becomes a command with the app's environment. Returns an exit code if that fails.
pub(crate) fn exec(command: &[&[u8]], inherited: &[&'static [u8]]) -> u8 {
    match merged(inherited) {
        Some(environment) => process::become_program(command, &environment),
        None => pshim::FAILED,
    }
}

/// Waits until the values are complete, and returns whether they are. They are missing after a restart of the engine,
/// and while `prun` has not written them yet. A signal that asks for an end must be handled here, because the program
/// is process 1 of its container, for which the kernel ignores signals without a handler.
fn wait_for_values(patience: u32) -> bool {
    let ready = pshim::program::terminated(pshim::READY_FILE.as_bytes());
    let is_ready = || {
        let Ok(file) = system::open(&ready) else { return false };
        system::close(file);
        true
    };
    if is_ready() {
        return true;
    }
    let Some(signals) = crate::signals::Signals::watch() else { return false };
    let deadline = system::milliseconds() + u64::from(patience) * 1000;
    while system::milliseconds() < deadline {
        let _ = system::poll(&mut [signals.poll()], Some(50));
        if let Some(crate::signals::Signal::End(number)) = signals.next() {
            system::exit(128 + number as u8);
        }
        if is_ready() {
            return true;
        }
    }
    false
}

fn merged(inherited: &[&'static [u8]]) -> Option<Vec<&'static [u8]>> {
    let file = match system::read_file(pshim::ENVIRONMENT_FILE) {
        // The content is needed until another program takes this one's place, so it is never freed.
        Ok(file) => file.leak(),
        Err(system::EACCES) => {
            say(&[b"this user may not read the values of the app"]);
            return None;
        }
        Err(_) => {
            say(&[b"the values of this container are gone, as after a restart of the engine; `prun resume` brings them back"]);
            return None;
        }
    };
    let delivered = environment::parse(file);
    if delivered.is_none() {
        say(&[b"the values of the app are not whole"]);
    }
    delivered.map(|delivered| environment::merge(inherited, &delivered))
}
