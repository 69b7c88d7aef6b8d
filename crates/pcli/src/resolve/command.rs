//! `from = { command = […] }`: a program of the manifest that prints a value.

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

/// The time that a program may run if the manifest sets no `timeout`.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most bytes that are shown of a failing program's standard error (C12).
const LONGEST_COMPLAINT: usize = 2048;

/// The most bytes that are read of a program's standard error. More is read than shown, so that values can be masked
/// before the text is cut.
const LONGEST_TALK: usize = 64 << 10;

/// The time that the pipes of a program that ended may stay open.
const LEFTOVER: Duration = Duration::from_millis(500);

/// The time between two looks at a running program.
const LOOK: Duration = Duration::from_millis(10);

/// A program as the manifest names it. It is started directly, without a shell.
pub(super) struct Command<'a> {
    pub(super) words: &'a [String],
    pub(super) directory: &'a Path,
    pub(super) timeout: Option<Duration>,
    pub(super) raw: bool,
}

impl Command<'_> {
    /// Runs the program and returns its output, without the last line end unless the manifest sets `raw` (C13).
    ///
    /// The program's standard input is empty, so it cannot ask the user anything. It runs in a process group of its
    /// own. The whole group is killed when the program has ended, when its time is up, or when the user stops the
    /// work.
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
            // The pipe cannot be set to read without waiting. A read could then hang the tool, so the program is
            // killed.
            let _ = child.kill();
            return Err(start_failed(io::ErrorKind::Unsupported.into()).into());
        };
        let timeout = self.timeout.unwrap_or(PATIENCE);
        let ended = wait(&child, [&mut printed, &mut said], timeout, cancellation);
        // This ends a program whose time is up, and all children that a program left in its group.
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

/// One end of a pipe, with the first bytes that came out of it.
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
        // The vector gets all of its room at once, because a vector that grows leaves copies of the value in memory.
        Ok(Self { pipe, bytes: Zeroizing::new(Vec::with_capacity(limit)) })
    }

    /// Reads the bytes that are in the pipe, without waiting. Bytes past the limit are dropped, so that the program
    /// can end. Returns true if the pipe may hold more bytes.
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

/// Reads from both pipes in turn, so that a pipe that is always full does not keep the other one waiting. Returns
/// true if a pipe may hold more bytes.
fn drain([one, other]: &mut [&mut Tap; 2]) -> bool {
    one.drain() | other.drain()
}

/// Waits until the program ends, without reaping it; the caller does that. Returns false if its time is up. Both
/// pipes are drained meanwhile, because a program that waits for an empty pipe would never end.
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

/// Reads the rest of the bytes in the pipes of a program that ended. A child that left the process group may hold the
/// pipes open; after [`LEFTOVER`], its output is ignored.
fn finish(mut taps: [&mut Tap; 2]) {
    let start = Instant::now();
    while taps.iter().any(|tap| tap.pipe.is_some()) && start.elapsed() < LEFTOVER {
        if !drain(&mut taps) {
            thread::sleep(LOOK);
        }
    }
}

/// Masks the secrets read so far, and the program's own output, in a program's complaint. The text is masked before
/// it is cut, so that the beginning of a value cannot remain at the cut.
fn redacted(known: &[Secret], name: &SecretName, printed: &[u8], said: &[u8]) -> String {
    let builder =
        known.iter().fold(RedactorBuilder::new(), |builder, secret| builder.secret(secret.name(), secret.value()));
    // Without a redactor, nothing may be shown.
    let Ok(redactor) = builder.mask(name.as_str(), printed.trim_ascii()).build() else { return String::new() };
    let mut stream = redactor.stream();
    let mut masked = stream.push(said);
    if said.len() < LONGEST_TALK {
        // A longer complaint was cut, so the end that the redactor holds back may be the beginning of a value, and is
        // dropped.
        masked.extend(stream.finish());
    }
    let text = String::from_utf8_lossy(&masked);
    let end = text.floor_char_boundary(LONGEST_COMPLAINT);
    text[..end].to_owned()
}
