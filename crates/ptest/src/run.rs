//! Runs of our own tools, with a clean environment, captured output, and samples of the process table.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::oracle::Oracle;
use crate::sample::Sampler;
use crate::trace::{Trace, clean};

/// A tool before its run. [`Scene::pbuild`](crate::Scene::pbuild) and similar functions make it.
#[must_use = "a tool does nothing until it is run"]
pub struct Tool<'scene> {
    oracle: &'scene Oracle,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: PathBuf,
    input: Option<Vec<u8>>,
    terminal: Option<(u16, u16)>,
    deadline: Duration,
    may_show: bool,
}

impl<'scene> Tool<'scene> {
    pub(crate) fn new(oracle: &'scene Oracle, program: PathBuf, folder: PathBuf) -> Self {
        Self {
            oracle,
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            folder,
            input: None,
            terminal: None,
            deadline: Duration::from_secs(600),
            may_show: false,
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable. If the value is a canary, it may occur in the `environ` of the tool and its
    /// children, in exactly this variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Runs the tool in another folder than the scene's project.
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = folder.as_ref().to_owned();
        self
    }

    /// Sets the bytes of the tool's stdin; without this call, stdin is empty.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Runs the tool on a terminal of this size. Its whole output then counts as stdout.
    pub fn on_terminal(mut self, columns: u16, rows: u16) -> Self {
        self.terminal = Some((columns, rows));
        self
    }

    /// Sets the time that the tool may take; without this call, it is ten minutes.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Allows canaries in the output, for commands whose purpose is to show them.
    pub fn may_show_values(mut self) -> Self {
        self.may_show = true;
        self
    }

    /// Runs the tool until it ends, and fails if its output or the process table contained a canary.
    ///
    /// # Panics
    ///
    /// Panics if the tool cannot be started, exceeds its deadline, or leaks a canary.
    #[track_caller]
    pub fn run(self) -> Outcome {
        self.spawn().finish()
    }

    /// Starts the tool, for tests that act while it runs.
    ///
    /// # Panics
    ///
    /// Panics if the tool cannot be started.
    pub fn spawn(mut self) -> Running<'scene> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.folder).env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut master = None;
        if let Some((columns, rows)) = self.terminal {
            let (ours, theirs) = terminal(columns, rows);
            let copy = || Stdio::from(theirs.try_clone().expect("a descriptor is free"));
            command.stdin(copy()).stdout(copy()).stderr(copy());
            master = Some(File::from(ours));
        } else {
            command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let began = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        // The command is dropped because it still holds the other end of the terminal.
        drop(command);
        let sampler = Sampler::start(child.id());
        let stdout = match master {
            Some(master) => Pipe::read(master),
            None => Pipe::read(child.stdout.take().expect("stdout is piped")),
        };
        let stderr = match child.stderr.take() {
            Some(stderr) => Pipe::read(stderr),
            None => Pipe::read(std::io::empty()),
        };
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), self.input.take()) {
            // The tool may end without reading all of its input, so errors are ignored.
            thread::spawn(move || drop(stdin.write_all(&input)));
        }
        Running { tool: self, child, sampler: Some(sampler), stdout, stderr, began }
    }
}

/// Opens both ends of a new terminal.
fn terminal(columns: u16, rows: u16) -> (OwnedFd, OwnedFd) {
    use rustix::fs::{Mode, OFlags};
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let open = || -> rustix::io::Result<(OwnedFd, OwnedFd)> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let name = ptsname(&ours, Vec::new())?;
        let theirs = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let size = rustix::termios::Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&theirs, size)?;
        Ok((ours, theirs))
    };
    open().unwrap_or_else(|error| panic!("no terminal: {error}"))
}

/// A pipe that a thread reads, so that the tool never waits for the test.
struct Pipe {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Pipe {
    fn read(mut source: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bytes);
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            // A terminal whose other end is closed fails with EIO, which counts as the end, too.
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..count]);
            }
        });
        Self { bytes, thread: Some(thread) }
    }

    fn so_far(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn whole(&mut self) -> Vec<u8> {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the reader only copies");
        }
        self.so_far()
    }
}

/// A running tool.
#[must_use = "a running tool must be finished"]
pub struct Running<'scene> {
    tool: Tool<'scene>,
    child: Child,
    sampler: Option<Sampler>,
    stdout: Pipe,
    stderr: Pipe,
    began: Instant,
}

impl Running<'_> {
    /// Returns the process id of the tool.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the output of the tool on stdout and stderr so far.
    #[must_use]
    pub fn output_so_far(&self) -> String {
        let mut bytes = self.stdout.so_far();
        bytes.extend(self.stderr.so_far());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until stdout or stderr contains the text.
    ///
    /// # Panics
    ///
    /// Panics if the tool ends or exceeds its deadline first.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> &mut Self {
        loop {
            if self.output_so_far().contains(text) {
                return self;
            }
            let ended = self.child.try_wait().expect("a child of ours").is_some();
            // The last output may not have arrived through the pipe yet.
            if ended {
                thread::sleep(Duration::from_millis(50));
            }
            let hopeless = ended || self.began.elapsed() > self.tool.deadline;
            assert!(
                !hopeless || self.output_so_far().contains(text),
                "{} did not print {text:?}\n{}",
                self.tool.program.display(),
                self.tool.oracle.mask(self.output_so_far().as_bytes())
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&mut self) -> &mut Self {
        self.signal(Signal::INT)
    }

    /// Sends SIGTERM.
    pub fn terminate(&mut self) -> &mut Self {
        self.signal(Signal::TERM)
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) -> &mut Self {
        self.signal(Signal::KILL)
    }

    fn signal(&mut self, signal: Signal) -> &mut Self {
        // A child keeps its process id until it is reaped, so the signal cannot reach another process.
        if self.child.try_wait().expect("a child of ours").is_none() {
            let process = Pid::from_child(&self.child);
            kill_process(process, signal).unwrap_or_else(|error| panic!("cannot send {signal:?}: {error}"));
        }
        self
    }

    /// Waits for the tool's end, and fails if its output or the process table contained a canary.
    ///
    /// # Panics
    ///
    /// Panics if the tool exceeds its deadline, or leaks a canary.
    #[track_caller]
    pub fn finish(mut self) -> Outcome {
        let status = self.wait();
        let outcome = Outcome {
            status,
            stdout: self.stdout.whole(),
            stderr: self.stderr.whole(),
            took: self.began.elapsed(),
            masked_stdout: String::new(),
            masked_stderr: String::new(),
        };
        let oracle = self.tool.oracle;
        let mut traces = self.traces_in_processes();
        if !self.tool.may_show {
            traces.extend(oracle.search("stdout", &outcome.stdout));
            traces.extend(oracle.search("stderr", &outcome.stderr));
        }
        clean(&traces);
        let (masked_stdout, masked_stderr) = (oracle.mask(&outcome.stdout), oracle.mask(&outcome.stderr));
        Outcome { masked_stdout, masked_stderr, ..outcome }
    }

    #[track_caller]
    fn wait(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            if self.began.elapsed() > self.tool.deadline {
                drop(self.child.kill());
                drop(self.child.wait());
                panic!(
                    "{} took longer than {:?}\n{}",
                    self.tool.program.display(),
                    self.tool.deadline,
                    self.tool.oracle.mask(self.output_so_far().as_bytes())
                );
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn traces_in_processes(&mut self) -> Vec<Trace> {
        let given: Vec<Vec<u8>> = self
            .tool
            .environment
            .iter()
            .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
            .collect();
        let samples = self.sampler.take().map(Sampler::finish).unwrap_or_default();
        let mut traces = Vec::new();
        for sample in samples {
            let left: Vec<&[u8]> = sample
                .bytes
                .split(|byte| *byte == 0)
                .filter(|entry| sample.file == "cmdline" || !given.iter().any(|given| given == entry))
                .collect();
            let label = format!("the {} of `{}`", sample.file, sample.program);
            traces.extend(self.tool.oracle.search(&label, &left.join(&0)));
        }
        traces
    }
}

impl Drop for Running<'_> {
    /// Ends the process, so that a failed test leaves nothing running.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// The result of a run: how it ended, and its output.
#[derive(Clone)]
pub struct Outcome {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    took: Duration,
    masked_stdout: String,
    masked_stderr: String,
}

impl Outcome {
    /// Returns the exit code. For a process that a signal killed, it is 128 plus the signal's number, as in shells.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Returns true if a signal ended the process.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        self.status.signal().is_some()
    }

    /// Returns stdout as text.
    #[must_use]
    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns stderr as text.
    #[must_use]
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Returns stdout as text, with canaries masked.
    pub(crate) fn masked_stdout(&self) -> &str {
        &self.masked_stdout
    }

    /// Returns stderr as text, with canaries masked.
    pub(crate) fn masked_stderr(&self) -> &str {
        &self.masked_stderr
    }

    /// Returns the bytes of stdout.
    #[must_use]
    pub fn stdout_bytes(&self) -> &[u8] {
        &self.stdout
    }

    /// Returns the bytes of stderr.
    #[must_use]
    pub fn stderr_bytes(&self) -> &[u8] {
        &self.stderr
    }

    /// Returns stdout as JSON.
    ///
    /// # Panics
    ///
    /// Panics if stdout is not JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("stdout is not JSON: {error}\n{self:?}"))
    }

    /// Returns the time that the run took.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Fails if the exit code is not this one.
    ///
    /// # Panics
    ///
    /// Panics with the masked output if the exit code is another one.
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Self {
        assert!(self.code() == code, "expected exit code {code}\n{self:?}");
        self
    }

    /// Fails if stderr does not contain the text.
    ///
    /// # Panics
    ///
    /// Panics if the text is missing.
    #[track_caller]
    pub fn expect_stderr(&self, text: &str) -> &Self {
        assert!(self.stderr().contains(text), "stderr lacks {text:?}\n{self:?}");
        self
    }

    /// Fails if stdout does not contain the text.
    ///
    /// # Panics
    ///
    /// Panics if the text is missing.
    #[track_caller]
    pub fn expect_stdout(&self, text: &str) -> &Self {
        assert!(self.stdout().contains(text), "stdout lacks {text:?}\n{self:?}");
        self
    }
}

/// Checks of the output of a run.
impl Oracle {
    /// Fails if the output of a tool contains a canary.
    ///
    /// # Panics
    ///
    /// Panics if a canary is found.
    #[track_caller]
    pub fn check_output(&self, outcome: &Outcome) {
        let mut traces = self.search("stdout", outcome.stdout_bytes());
        traces.extend(self.search("stderr", outcome.stderr_bytes()));
        clean(&traces);
    }
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (stdout, stderr) = (&self.masked_stdout, &self.masked_stderr);
        write!(f, "exit: {:?}\nstdout:\n{stdout}\nstderr:\n{stderr}", self.code())
    }
}
