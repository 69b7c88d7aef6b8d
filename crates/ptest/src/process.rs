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

    /// Ends it at once.
    pub fn kill(self) {
        let id = i32::try_from(self.0).ok().and_then(Pid::from_raw);
        // A process that has just ended does not mind.
        let _ = kill_process(id.expect("a process has a number above zero"), Signal::KILL);
    }

    fn path(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
