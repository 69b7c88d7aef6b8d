//! The wrapper of a step: it runs the step's command, and masks the command's output.
//!
//! A builder shows the output of a step to everybody and stores it, and a frontend never sees it. So the program is
//! mounted into the step and runs the command itself ([`run`]). The arguments before the command list the secrets of
//! this step ([`held`]). The wrapper reads the values in the step, in the variables and files through which the step
//! has them. It knows nothing else, because a step may find a way to read its memory.
//!
//! All output passes through two pipes, with a redactor for each. If masking ends for any reason, the pipes close and
//! no more output is shown. The wrapper makes itself undumpable, so that the step cannot reach its output through
//! `/proc`, unless the step may trace every process.

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

/// The first argument of the frontend image's program for a wrapper.
pub const WORD: &str = "mask";

/// The separator between the wrapper's arguments and the command.
pub const END: &str = "--";

/// The exit code if the command did not run, or its output could not be masked. It is the one of `docker run` for its
/// own failures.
const FAILED: i32 = 125;
/// A shell's exit codes for a command that cannot be executed, and for one that does not exist.
const NOT_RUNNABLE: i32 = 126;
const NOT_FOUND: i32 = 127;
/// The number that a shell adds to the number of the signal that ended a command.
const BY_SIGNAL: i32 = 128;

/// The reason why the command does not run. The messages contain nothing of a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MaskError {
    /// The arguments before the command are not those of a wrapper.
    #[error("the wrapper of this step was not called as the frontend calls it")]
    Words,
    /// The values have more forms than a step has memory for.
    #[error("the values of this step have too many forms to be masked")]
    Forms,
    /// The wrapper cannot prevent the step from bypassing it.
    #[error("the wrapper of this step cannot be set up: {0}")]
    SetUp(io::Error),
    /// The command cannot be started.
    #[error("failed to run {command:?}: {source}")]
    Run {
        /// The first word of the command, masked.
        command: String,
        /// The cause.
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

/// A command that is running.
#[derive(Clone, Copy, Debug)]
pub struct Running(Pid);

impl Running {
    /// Sends a signal to the command, by the signal's number.
    pub fn signal(self, number: i32) {
        if let Some(signal) = Signal::from_named_raw(number) {
            // The command may have ended, and its exit code will be read next.
            let _ = rustix::process::kill_process(self.0, signal);
        }
    }
}

/// Runs a command, masks its output, and returns the exit code that a shell would return for it.
///
/// `words` are the arguments after [`WORD`]. `started` is called with the command, so that the caller can send
/// signals to it. Errors before the command runs are written to standard error.
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
    // This comes before any value is read: from now on, only a process that may trace every process can read this
    // memory or open these descriptors.
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
        // With a group of its own, `kill 0` in the step reaches the step's processes, but not the wrapper.
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
    // The output that was written before the command's end is masked and shown before this function returns.
    match masking.join() {
        Ok(()) => Ok(code),
        Err(_) => Ok(FAILED),
    }
}

/// Makes a redactor of the values that the step has. A value that cannot be read is reported in one line.
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

/// Waits for the command. Also reaps the processes that lost their parent.
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
