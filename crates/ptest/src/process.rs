//! Processes of this machine, including those inside of engines.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

/// A process, identified by its number. After the end of the process, its command line and its environment are empty,
/// and no path that [`Process::file`] returns exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process(u32);

impl Process {
    /// Returns all processes that run now.
    ///
    /// # Panics
    ///
    /// Panics if `/proc` cannot be read.
    pub fn all() -> impl Iterator<Item = Self> {
        let entries = fs::read_dir("/proc").expect("/proc").flatten();
        entries.filter_map(|entry| Some(Self(entry.file_name().to_str()?.parse().ok()?)))
    }

    /// Returns the words of the process's command line, each followed by a zero byte.
    #[must_use]
    pub fn command(self) -> Vec<u8> {
        fs::read(self.path("cmdline")).unwrap_or_default()
    }

    /// Returns true if the process's command line contains a text.
    #[must_use]
    pub fn is_told(self, text: &str) -> bool {
        holds(&self.command(), text)
    }

    /// Returns true if the environment that the process was started with contains a text.
    #[must_use]
    pub fn inherited(self, text: &str) -> bool {
        holds(&fs::read(self.path("environ")).unwrap_or_default(), text)
    }

    /// Returns the path by which a file of the process can be read.
    #[must_use]
    pub fn file(self, path: &str) -> PathBuf {
        self.path("root").join(path.trim_start_matches('/'))
    }

    /// Kills the process.
    pub fn kill(self) {
        let id = i32::try_from(self.0).ok().and_then(Pid::from_raw);
        // The process may have ended just now, which is not an error.
        let _ = kill_process(id.expect("a process has a number above zero"), Signal::KILL);
    }

    fn path(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
