//! The events of a build, as plain types that do not depend on an engine.

use std::time::SystemTime;

/// An event of a build. Texts and bytes are not redacted yet.
#[derive(Debug)]
pub enum Event {
    /// A step began, continued or ended.
    Step(StepNews),
    /// A step wrote bytes to its log.
    Log(LogNews),
    /// A part of a step, such as a transfer, made progress.
    Transfer(TransferNews),
    /// The frontend issued a warning.
    Warning(WarningNews),
    /// The tool itself reports a fact while the build runs.
    Fact {
        /// The label, which is the first column.
        label: String,
        /// The text of the fact, in one line.
        text: String,
    },
}

/// The state of a step. It is sent again with every change.
#[derive(Clone, Debug, Default)]
pub struct StepNews {
    /// The identity of the step, which is BuildKit's digest of the vertex.
    pub id: String,
    /// The name of the step for people, such as `[2/4] RUN make`.
    pub name: String,
    /// The identities of the steps that this step builds on.
    pub inputs: Vec<String>,
    /// The time at which the step began.
    pub started: Option<SystemTime>,
    /// The time at which the step ended.
    pub completed: Option<SystemTime>,
    /// True if the step's result came from the cache.
    pub cached: bool,
    /// The reason why the step failed.
    pub error: Option<String>,
}

/// The output stream of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogStream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Bytes of a step's log, which may begin and end anywhere.
#[derive(Clone)]
pub struct LogNews {
    /// The identity of the step.
    pub step: String,
    /// The output stream that the step wrote to.
    pub stream: LogStream,
    /// The time at which the step wrote the bytes.
    pub at: Option<SystemTime>,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for LogNews {
    /// Leaves out the bytes, which are not redacted yet.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogNews({}, {:?}, {} bytes)", self.step, self.stream, self.bytes.len())
    }
}

/// The progress of a part of a step.
#[derive(Clone, Debug, Default)]
pub struct TransferNews {
    /// The transfer's identity within the step: `transferring context:`.
    pub id: String,
    /// The identity of the step.
    pub step: String,
    /// The name of the transferred object, if it differs from the identity.
    pub name: String,
    /// The number of bytes that are done.
    pub current: u64,
    /// The whole number of bytes, or 0 if it is unknown.
    pub total: u64,
    /// The time of this progress.
    pub at: Option<SystemTime>,
    /// The time at which the part began.
    pub started: Option<SystemTime>,
    /// The time at which the part ended.
    pub completed: Option<SystemTime>,
}

/// A warning of the frontend.
#[derive(Clone, Debug, Default)]
pub struct WarningNews {
    /// The identity of the step that the warning is about; may be empty.
    pub step: String,
    /// The level of the warning. Most warnings have level 1.
    pub level: i64,
    /// The warning in one line.
    pub short: String,
    /// The explanation, in several lines.
    pub detail: Vec<String>,
    /// The address of a page that explains the warning; may be empty.
    pub url: String,
    /// The lines of a file that the warning is about.
    pub place: Option<Position>,
}

/// A range of lines of a file. The first line of a file has number 1, and both ends belong to the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file.
    pub file: String,
    /// The first line.
    pub first: usize,
    /// The last line.
    pub last: usize,
}
