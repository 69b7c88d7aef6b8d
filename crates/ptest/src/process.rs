//! Processes of this machine, those of engines among them.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

/// A process, by its number. It may end at any time; then it has no words and no files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// All that run now.
    ///
    /// # Panics
    ///
    /// When `/proc` cannot be read.
    pub fn all() -> impl Iterator<Item = Self> {
        let entries = fs::read_dir("/proc").expect("/proc").flatten();
        entries.filter_map(|entry| Some(Self(entry.file_name().to_str()?.parse().ok()?)))
    }

    /// The one that was started last.
    ///
    /// # Panics
    ///
    /// When `/proc` cannot be read.
    #[must_use]
    pub fn newest() -> Self {
        let told = fs::read_to_string("/proc/loadavg").expect("/proc");
        Self(told.split_whitespace().last().and_then(|number| number.parse().ok()).expect("a number"))
    }

    /// The next two thousand after this one. To look through these costs less than to look through all, for what lives for a
    /// moment only. After the highest number come the low ones again.
    ///
    /// # Panics
    ///
    /// When `/proc` cannot be read.
    pub fn since(before: Self) -> impl Iterator<Item = Self> {
        let highest = fs::read_to_string("/proc/sys/kernel/pid_max").expect("/proc");
        let highest: u32 = highest.trim().parse().expect("a number");
        (1..2000).map(move |next| Self((before.0 + next) % highest))
    }

    /// Its words, a NUL behind each.
    #[must_use]
    pub fn command(self) -> Vec<u8> {
        fs::read(self.path("cmdline")).unwrap_or_default()
    }

    /// Whether a text stands in its command line.
    #[must_use]
    pub fn is_told(self, text: &str) -> bool {
        holds(&self.command(), text)
    }

    /// Whether a text stands in the environment that it was started with.
    #[must_use]
    pub fn inherited(self, text: &str) -> bool {
        holds(&fs::read(self.path("environ")).unwrap_or_default(), text)
    }

    /// A file as the process sees it.
    #[must_use]
    pub fn file(self, path: &str) -> PathBuf {
        self.path("root").join(path.trim_start_matches('/'))
    }

    /// Holds it where it is.
    pub fn stop(self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn go_on(self) {
        self.signal(Signal::CONT);
    }

    /// Ends it at once.
    pub fn kill(self) {
        self.signal(Signal::KILL);
    }

    /// A process that has just ended does not mind.
    fn signal(self, signal: Signal) {
        let id = i32::try_from(self.0).ok().and_then(Pid::from_raw);
        let _ = kill_process(id.expect("a process has a number above zero"), signal);
    }

    fn path(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
