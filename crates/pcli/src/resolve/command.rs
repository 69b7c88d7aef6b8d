//! `from = { command = […] }`: a value that a program prints.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use psecret::{LONGEST_SECRET, RedactorBuilder, Secret, SecretName, UserSecret};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use zeroize::Zeroizing;

use super::ResolveError;
use crate::{Cancellation, Diagnostic};

/// How long a program may run when the manifest does not say.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of what a failing program says is shown, in bytes (C12).
const LONGEST_COMPLAINT: usize = 2048;

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Why a program gave no value. Only its name is told, never its arguments.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// It could not be started.
    #[error("secret `{name}`: failed to start {program}")]
    Start {
        /// The secret.
        name: SecretName,
        /// The program.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// It said that it failed.
    #[error("secret `{name}`: {program} ended with {status}")]
    Failed {
        /// The secret.
        name: SecretName,
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The beginning of what it wrote to standard error, redacted.
        complaint: String,
    },
    /// It ran too long and was ended.
    #[error("secret `{name}`: {program} did not end within {seconds} seconds")]
    Late {
        /// The secret.
        name: SecretName,
        /// The program.
        program: String,
        /// How long it was given.
        seconds: u64,
    },
}

impl CommandError {
    /// Adds what the program said.
    pub(super) fn complete(&self, diagnostic: Diagnostic) -> Diagnostic {
        match self {
            Self::Failed { program, complaint, .. } if !complaint.is_empty() => {
                diagnostic.tail(format!("{program} said"), complaint.lines().map(str::to_owned).collect())
            }
            Self::Late { .. } => diagnostic.help("`timeout` beside `command` gives it more time"),
            Self::Start { .. } | Self::Failed { .. } => diagnostic,
        }
    }
}

/// A program as the manifest names it. No shell reads the words.
pub(super) struct Command<'a> {
    pub(super) words: &'a [String],
    pub(super) directory: &'a Path,
    pub(super) timeout: Option<Duration>,
    pub(super) raw: bool,
}

impl Command<'_> {
    /// Runs it and takes what it prints, without the one line end that programs print last unless it is wanted raw (C13).
    ///
    /// Its standard input is empty and no terminal asks it anything. It runs in a process group of its own, which is
    /// ended as a whole when it is over, late, or the user stops the work.
    pub(super) fn run(
        &self,
        name: &SecretName,
        known: &[Secret],
        cancellation: &Cancellation,
    ) -> Result<UserSecret, ResolveError> {
        let program = self.words.first().cloned().unwrap_or_default();
        let start_failed = |source| CommandError::Start { name: name.clone(), program: program.clone(), source };
        let mut command = std::process::Command::new(&program);
        command.args(self.words.iter().skip(1));
        if !self.directory.as_os_str().is_empty() {
            command.current_dir(self.directory);
        }
        command.env_remove(crate::IDENTITY_VARIABLE).env_remove(crate::CACHE_KEY_VARIABLE);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn().map_err(start_failed)?;
        // Both pipes are drained at the same time; a program that waits for one of them to empty never ends.
        let printed = child.stdout.take().map(|pipe| thread::spawn(|| read_up_to(pipe, LONGEST_SECRET + 1)));
        let said = child.stderr.take().map(|pipe| thread::spawn(|| read_up_to(pipe, LONGEST_COMPLAINT)));
        let timeout = self.timeout.unwrap_or(PATIENCE);
        let ended = wait(&child, timeout, cancellation);
        // Also after a good end: what it left behind would hold the pipes open. The group cannot be another's yet,
        // because its leader is not taken from the kernel before. Gone already is as good.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let status = child.wait().map_err(start_failed)?;
        let late = || CommandError::Late { name: name.clone(), program: program.clone(), seconds: timeout.as_secs() };
        if !ended? {
            return Err(late().into());
        }
        let mut value = joined(printed);
        if !status.success() {
            let complaint = redacted(known, name, &value, &joined(said));
            return Err(CommandError::Failed { name: name.clone(), program, status, complaint }.into());
        }
        if !self.raw && value.ends_with(b"\n") {
            value.pop();
            if value.ends_with(b"\r") {
                value.pop();
            }
        }
        Ok(UserSecret::new(std::mem::take(&mut *value)))
    }
}

/// Waits for the end, which is left for the caller to take; `false` when time is up.
fn wait(child: &Child, timeout: Duration, cancellation: &Cancellation) -> Result<bool, ResolveError> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let start = Instant::now();
    loop {
        if let Ok(Some(_)) = waitid(WaitId::Pid(Pid::from_child(child)), options) {
            return Ok(true);
        }
        if let Some(ending) = cancellation.ending() {
            return Err(ResolveError::Ended(ending));
        }
        if start.elapsed() >= timeout {
            return Ok(false);
        }
        thread::sleep(LOOK);
    }
}

/// The first bytes of a pipe; the rest is drained and dropped, so that the program can end.
fn read_up_to(mut pipe: impl Read, limit: usize) -> Zeroizing<Vec<u8>> {
    // All the room at once: a vector that grows would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit));
    let _ = pipe.by_ref().take(limit as u64).read_to_end(&mut bytes);
    let _ = io::copy(&mut pipe, &mut io::sink());
    bytes
}

fn joined(reader: Option<thread::JoinHandle<Zeroizing<Vec<u8>>>>) -> Zeroizing<Vec<u8>> {
    reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
}

/// What a program complained about, without the secrets read so far and without what it printed.
fn redacted(known: &[Secret], name: &SecretName, printed: &[u8], said: &[u8]) -> String {
    let builder =
        known.iter().fold(RedactorBuilder::new(), |builder, secret| builder.secret(secret.name(), secret.value()));
    match builder.mask(name.as_str(), printed.trim_ascii()).build() {
        Ok(redactor) => redactor.redact(&String::from_utf8_lossy(said)),
        // Without a redactor nothing can be shown.
        Err(_) => String::new(),
    }
}
