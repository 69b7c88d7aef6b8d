//! `from = { command = […] }`: a value that a program prints.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use psecret::{LONGEST_SECRET, RedactorBuilder, Secret, SecretName, UserSecret};
use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use zeroize::Zeroizing;

use super::{CommandError, ResolveError};
use crate::scrub;
use pscreen::Cancellation;

/// How long a program may run when the manifest does not say.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of what a failing program says is shown, in bytes (C12).
const LONGEST_COMPLAINT: usize = 2048;

/// How much of it is read, so that values can be masked before it is cut.
const LONGEST_TALK: usize = 64 << 10;

/// How long the pipes of a program that ended may stay open.
const LEFTOVER: Duration = Duration::from_millis(500);

/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// A program as the manifest names it. No shell reads the words.
pub(super) struct Command<'a> {
    pub(super) words: &'a [String],
    pub(super) directory: &'a Path,
    pub(super) timeout: Option<Duration>,
    pub(super) raw: bool,
}

impl Command<'_> {
    /// Runs it and takes what it prints, without the one line end that programs print last unless it is wanted raw
    /// (C13).
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
        scrub(&mut command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.process_group(0).spawn().map_err(start_failed)?;
        let printed = Tap::on(child.stdout.take(), LONGEST_SECRET + 1);
        let said = Tap::on(child.stderr.take(), LONGEST_TALK);
        let (Ok(mut printed), Ok(mut said)) = (printed, said) else {
            // Not a pipe of which one can read without waiting: not worth a deadlock.
            let _ = child.kill();
            return Err(start_failed(io::ErrorKind::Unsupported.into()).into());
        };
        let timeout = self.timeout.unwrap_or(PATIENCE);
        let ended = wait(&child, [&mut printed, &mut said], timeout, cancellation);
        // A pipe that cannot be set to read without waiting could hang the command.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let status = child.wait().map_err(start_failed)?;
        if !ended? {
            let seconds = timeout.as_secs();
            return Err(CommandError::Late { name: name.clone(), program, seconds }.into());
        }
        finish([&mut printed, &mut said]);
        let mut value = printed.bytes;
        if !status.success() {
            let complaint = redacted(known, name, &value, &said.bytes);
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

/// One end of a pipe, of which the first bytes are kept.
struct Tap {
    pipe: Option<File>,
    bytes: Zeroizing<Vec<u8>>,
}

impl Tap {
    fn on(pipe: Option<impl Into<OwnedFd>>, limit: usize) -> io::Result<Self> {
        let pipe = pipe.map(|pipe| File::from(pipe.into()));
        if let Some(pipe) = &pipe {
            let flags = rustix::fs::fcntl_getfl(pipe)? | OFlags::NONBLOCK;
            rustix::fs::fcntl_setfl(pipe, flags)?;
        }
        // All the room at once: a vector that grows would leave copies behind.
        Ok(Self { pipe, bytes: Zeroizing::new(Vec::with_capacity(limit)) })
    }

    /// Takes what is there, without waiting; what is past the limit is dropped, so that the program can end. Gives back
    /// whether there may be more at once.
    fn drain(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        let mut chunk = Zeroizing::new([0; 16 << 10]);
        match pipe.read(chunk.as_mut_slice()) {
            Ok(0) => self.pipe = None,
            Ok(count) => {
                let room = self.bytes.capacity() - self.bytes.len();
                self.bytes.extend_from_slice(&chunk[..count.min(room)]);
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.pipe = None,
        }
        false
    }
}

/// Reads from both pipes what they hold; a pipe that is always full does not keep the other waiting.
fn drain([one, other]: &mut [&mut Tap; 2]) -> bool {
    one.drain() | other.drain()
}

/// Waits for the end, which is left for the caller to take; `false` when time is up. Both pipes are drained meanwhile;
/// a program that waits for one of them to empty would never end.
fn wait(
    child: &Child,
    mut taps: [&mut Tap; 2],
    timeout: Duration,
    cancellation: &Cancellation,
) -> Result<bool, ResolveError> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let start = Instant::now();
    loop {
        let more = drain(&mut taps);
        if let Ok(Some(_)) = waitid(WaitId::Pid(Pid::from_child(child)), options) {
            return Ok(true);
        }
        if let Some(ending) = cancellation.ending() {
            return Err(ResolveError::Ended(ending));
        }
        if start.elapsed() >= timeout {
            return Ok(false);
        }
        if !more {
            thread::sleep(LOOK);
        }
    }
}

/// Takes what stands in the pipes of a program that ended. One that left its group before may hold them open; what it
/// would write is not waited for.
fn finish(mut taps: [&mut Tap; 2]) {
    let start = Instant::now();
    while taps.iter().any(|tap| tap.pipe.is_some()) && start.elapsed() < LEFTOVER {
        if !drain(&mut taps) {
            thread::sleep(LOOK);
        }
    }
}

/// Masks the complaint of a program: the secrets read so far, and everything that the program printed. It is masked
/// before it is cut, so that no beginning of a value stays at the cut.
fn redacted(known: &[Secret], name: &SecretName, printed: &[u8], said: &[u8]) -> String {
    let builder =
        known.iter().fold(RedactorBuilder::new(), |builder, secret| builder.secret(secret.name(), secret.value()));
    // Without a redactor nothing can be shown.
    let Ok(redactor) = builder.mask(name.as_str(), printed.trim_ascii()).build() else { return String::new() };
    let mut stream = redactor.stream();
    let mut masked = stream.push(said);
    if said.len() < LONGEST_TALK {
        // Otherwise what may be the beginning of a value is held back for good.
        masked.extend(stream.finish());
    }
    let text = String::from_utf8_lossy(&masked);
    let end = text.floor_char_boundary(LONGEST_COMPLAINT);
    text[..end].to_owned()
}
