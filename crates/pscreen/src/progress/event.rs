//! The news of a build, in plain types that know no engine.

use std::time::SystemTime;

/// One piece of news. Texts and bytes are as the engine sent them, not redacted.
#[derive(Debug)]
pub enum Event {
    /// A step began, went on or ended.
    Step(StepNews),
    /// A step wrote something.
    Log(LogNews),
    /// A part of a step moved on, such as a transfer.
    Transfer(TransferNews),
    /// The frontend warns of something.
    Warning(WarningNews),
    /// The tool itself has something to say meanwhile: a label and a line.
    Fact {
        /// The first column.
        label: String,
        /// The line.
        text: String,
    },
}

/// The state of a step; it comes again whenever something of it changes.
#[derive(Clone, Debug, Default)]
pub struct StepNews {
    /// The step's identity: BuildKit's vertex digest.
    pub id: String,
    /// The step's name for people: `[2/4] RUN make`.
    pub name: String,
    /// The identities of what it builds on.
    pub inputs: Vec<String>,
    /// When it began.
    pub started: Option<SystemTime>,
    /// When it ended.
    pub completed: Option<SystemTime>,
    /// Whether the step's result was there already.
    pub cached: bool,
    /// Why it failed.
    pub error: Option<String>,
}

/// Which output of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogStream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// Bytes of a step's log, cut anywhere.
#[derive(Clone)]
pub struct LogNews {
    /// The step.
    pub step: String,
    /// Which of its outputs.
    pub stream: LogStream,
    /// When.
    pub at: Option<SystemTime>,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for LogNews {
    /// Leaves out the bytes, which nobody has redacted yet.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogNews({}, {:?}, {} bytes)", self.step, self.stream, self.bytes.len())
    }
}

/// A part of a step.
#[derive(Clone, Debug, Default)]
pub struct TransferNews {
    /// The transfer's identity within the step: `transferring context:`.
    pub id: String,
    /// The step.
    pub step: String,
    /// The subject of the transfer, when it differs from the identity.
    pub name: String,
    /// How much is done, in bytes.
    pub current: u64,
    /// How much there is; 0 when unknown.
    pub total: u64,
    /// When this was so.
    pub at: Option<SystemTime>,
    /// When it began.
    pub started: Option<SystemTime>,
    /// When it ended.
    pub completed: Option<SystemTime>,
}

/// A warning of the frontend.
#[derive(Clone, Debug, Default)]
pub struct WarningNews {
    /// The step that it is about; may be empty.
    pub step: String,
    /// 1 is the usual level.
    pub level: i64,
    /// One line.
    pub short: String,
    /// More lines.
    pub detail: Vec<String>,
    /// Where it is explained; may be empty.
    pub url: String,
    /// Where in a file.
    pub place: Option<Position>,
}

/// Lines of a file, from 1, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file.
    pub file: String,
    /// The first line.
    pub first: usize,
    /// The last line.
    pub last: usize,
}
