//! The wrapper of a step: it runs the step's command and masks what it prints.
//!
//! A builder that runs a step shows its output to everybody and keeps it, and a frontend sees none of it. So the program
//! is mounted into the step and runs the command itself ([`run`]). The words before the command say which secrets this step was
//! given ([`held`]): their values are read here, in the step, from where the step has them. Nothing else is known to
//! the wrapper, because a step may find a way to read its memory.
//!
//! Output passes through two pipes and a redactor each, and never beside them: where masking ends, for whatever
//! reason, the pipes close, and nothing comes out any more. The wrapper makes itself undumpable, so that the step cannot
//! reach the descriptors behind it through `/proc` either, unless it has the right to trace everything.

pub mod held;
mod pump;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;

use psecret::{Redactor, RedactorBuilder};
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus};

use held::{Held, Missing};
use pump::Pump;

/// The word that asks the frontend image's program for this.
pub const WORD: &str = "mask";

/// What stands between the words and the command.
pub const END: &str = "--";

/// The exit code where the command did not run, or its output could not be masked: that of `docker run` for its own failures.
const FAILED: i32 = 125;
/// A shell's exit codes for a command that is no program, and for one that is not there.
const NOT_RUNNABLE: i32 = 126;
const NOT_FOUND: i32 = 127;
/// What a shell adds to the number of the signal that ended a command.
const BY_SIGNAL: i32 = 128;

/// Why the command does not run. The words hold nothing of a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaskError {
    /// The words before the command are none.
    #[error("the wrapper of this step was not called as the frontend calls it")]
    Words,
    /// There are more forms than a step has memory for.
    #[error("the values of this step have too many forms to be masked")]
    Forms,
    /// The wrapper cannot close the ways around it.
    #[error("the wrapper of this step cannot be set up: {0}")]
    SetUp(io::Error),
    /// The command cannot be started.
    #[error("failed to run {command:?}: {source}")]
    Run {
        /// Its first word, masked.
        command: String,
        /// Why.
        source: io::Error,
    },
}

impl MaskError {
    fn code(&self) -> i32 {
        match self {
            Self::Run { source, .. } if source.kind() == io::ErrorKind::NotFound => NOT_FOUND,
            Self::Run { .. } => NOT_RUNNABLE,
            Self::Words | Self::Forms | Self::SetUp(_) => FAILED,
        }
    }
}

/// A command that runs.
#[derive(Clone, Copy, Debug)]
pub struct Running(Pid);

impl Running {
    /// Passes a signal on, by its number.
    pub fn signal(self, number: i32) {
        if let Some(signal) = Signal::from_named_raw(number) {
            // Gone already, and its code is on its way.
            let _ = rustix::process::kill_process(self.0, signal);
        }
    }
}

/// Runs a command, masks what it prints, and returns the exit code that a shell would tell of it.
///
/// `words` stand behind [`WORD`]. `started` gets the command, for signals that are to be passed on. What fails before the
/// command runs is told on standard error.
pub fn run(words: Vec<OsString>, started: impl FnOnce(Running)) -> i32 {
    match wrapped(words, started) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "pbuild: {error}");
            error.code()
        }
    }
}

fn wrapped(words: Vec<OsString>, started: impl FnOnce(Running)) -> Result<i32, MaskError> {
    let mut words = words.into_iter();
    let held = words.next().and_then(|word| held::parse(word.to_str()?)).ok_or(MaskError::Words)?;
    let command = match (words.next(), words.next()) {
        (Some(end), Some(command)) if end == END => command,
        _ => return Err(MaskError::Words),
    };
    // Before any value is read: from here on nobody without the right to trace reads this memory or opens these descriptors.
    let closed = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    closed.map_err(|error| MaskError::SetUp(error.into()))?;
    let redactor = redactor(&held)?;

    let pipes = [io::pipe(), io::pipe(), io::pipe()];
    let [out, error, end] = pipes.map(|pipe| pipe.map_err(MaskError::SetUp));
    let ((out, out_end), (error, error_end), (ended, end)) = (out?, error?, end?);
    let spawned = Command::new(&command)
        .args(words)
        .stdin(Stdio::inherit())
        .stdout(out_end)
        .stderr(error_end)
        // `kill 0` means the step, as it does without a wrapper.
        .process_group(0)
        .spawn();
    let child =
        spawned.map_err(|source| MaskError::Run { command: redactor.redact(&command.to_string_lossy()), source })?;
    let child = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(MaskError::Words)?;
    let pump = Pump::new(&redactor, out, error, ended);
    let masking = thread::spawn(move || pump.run(&mut io::stdout(), &mut io::stderr()));
    started(Running(child));
    let code = wait(child);
    drop(end);
    // What was written before the end is masked and shown before this ends too.
    match masking.join() {
        Ok(()) => Ok(code),
        Err(_) => Ok(FAILED),
    }
}

/// A redactor of the values that the step holds. What it holds and cannot read is told, each in one line.
fn redactor(held: &[Held]) -> Result<Redactor, MaskError> {
    let (mut builder, mut missing) = (RedactorBuilder::new(), Vec::new());
    for one in held {
        match one.value() {
            Ok(value) => builder = builder.secret(&one.name, &value),
            Err(why) => missing.push((one, why)),
        }
    }
    let redactor = builder.build().map_err(|_| MaskError::Forms)?;
    for (one, why) in missing {
        let why = match why {
            Missing::Unreadable => "this step's user cannot read it",
            Missing::NotThere => "it is not there",
        };
        let line = format!("pbuild: {} is not masked: {}, and {why}", one.name, one.holder);
        let _ = writeln!(io::stderr(), "{}", redactor.redact(&line));
    }
    Ok(redactor)
}

/// Waits for the command and for every process that has no other parent left.
fn wait(command: Pid) -> i32 {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((process, status))) if process == command => return code(status),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return FAILED,
        }
    }
}

fn code(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => BY_SIGNAL + signal,
        (None, None) => FAILED,
    }
}
