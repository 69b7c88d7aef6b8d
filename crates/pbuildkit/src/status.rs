//! The updates about a running build, as plain types.
//!
//! Names and logs come from the build itself and may hold secrets, so they must be redacted before people see them.

use std::time::{Duration, SystemTime};

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1 as control;
use bollard_buildkit_proto::pb;

/// A batch of updates, in the order in which the engine sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusUpdate {
    /// Steps that began, continued or ended.
    pub vertices: Vec<Vertex>,
    /// The progress of parts of steps, such as transfers.
    pub progress: Vec<Progress>,
    /// Output of steps.
    pub logs: Vec<Log>,
    /// Warnings of the frontend.
    pub warnings: Vec<Warning>,
}

/// A step of the build. Several updates of one step have the same digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vertex {
    /// The identity of the step: the digest `sha256:…` of its operation.
    pub digest: String,
    /// The identities of the steps that this step builds on.
    pub inputs: Vec<String>,
    /// The step's name, as the frontend wrote it: `[2/4] RUN make`.
    pub name: String,
    /// True if the step's result came from the cache.
    pub cached: bool,
    /// The time at which the step began.
    pub started: Option<SystemTime>,
    /// The time at which the step ended.
    pub completed: Option<SystemTime>,
    /// The reason why the step failed.
    pub error: Option<String>,
    /// The group under which the step is shown.
    pub group: Option<Group>,
}

/// A group of steps that are shown as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The group's identity.
    pub id: String,
    /// The group's name.
    pub name: String,
}

/// The progress of a part of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The transfer's identity within the step.
    pub id: String,
    /// The identity of the step.
    pub vertex: String,
    /// The name of the transferred object, if it differs from the identity.
    pub name: String,
    /// The amount that is done, in bytes for transfers.
    pub current: i64,
    /// The whole amount, or 0 if it is unknown.
    pub total: i64,
    /// The time of this update.
    pub timestamp: Option<SystemTime>,
    /// The time at which the part began.
    pub started: Option<SystemTime>,
    /// The time at which the part ended.
    pub completed: Option<SystemTime>,
}

/// A piece of a step's output, which may begin and end anywhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Log {
    /// The identity of the step.
    pub vertex: String,
    /// The stream to which the step wrote.
    pub stream: LogStream,
    /// The time at which the step wrote it.
    pub timestamp: Option<SystemTime>,
    /// The bytes, in any encoding. The piece may begin or end within a character.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Log {
    /// Leaves out the bytes, which have not been searched for secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Log({}, {:?}, {} bytes)", self.vertex, self.stream, self.bytes.len())
    }
}

/// The two output streams of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LogStream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

/// A warning of the frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The identity of the step that the warning is about; may be empty.
    pub vertex: String,
    /// The level of the warning. Most warnings have level 1.
    pub level: i64,
    /// The warning in one line.
    pub short: String,
    /// The explanation, in several lines.
    pub detail: Vec<String>,
    /// The address of a page that explains the warning.
    pub url: String,
    /// The file that the warning is about.
    pub file: Option<WarningFile>,
    /// The lines of the file that the warning is about.
    pub ranges: Vec<LineRange>,
}

/// The file that a warning is about.
#[derive(Clone, PartialEq, Eq)]
pub struct WarningFile {
    /// The file's name, as the frontend writes it.
    pub name: String,
    /// The language of the file, such as `Dockerfile`.
    pub language: String,
    /// The content of the file.
    pub text: Vec<u8>,
}

impl std::fmt::Debug for WarningFile {
    /// Leaves out the content.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "WarningFile({}, {} bytes)", self.name, self.text.len())
    }
}

/// A range of lines of a file. The first line of a file has number 1, and both ends belong to the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineRange {
    /// The first line.
    pub first: usize,
    /// The last line.
    pub last: usize,
}

impl LineRange {
    pub(crate) fn of(range: &pb::Range) -> Self {
        let line = |position: &Option<pb::Position>| {
            position.as_ref().and_then(|position| usize::try_from(position.line).ok()).unwrap_or_default()
        };
        let first = line(&range.start);
        Self { first, last: line(&range.end).max(first) }
    }
}

impl From<control::StatusResponse> for StatusUpdate {
    fn from(response: control::StatusResponse) -> Self {
        Self {
            vertices: response.vertexes.into_iter().map(Vertex::from).collect(),
            progress: response.statuses.into_iter().map(Progress::from).collect(),
            logs: response.logs.into_iter().map(Log::from).collect(),
            warnings: response.warnings.into_iter().map(Warning::from).collect(),
        }
    }
}

impl From<control::Vertex> for Vertex {
    fn from(vertex: control::Vertex) -> Self {
        Self {
            digest: vertex.digest,
            inputs: vertex.inputs,
            name: vertex.name,
            cached: vertex.cached,
            started: vertex.started.and_then(time),
            completed: vertex.completed.and_then(time),
            error: Some(vertex.error).filter(|error| !error.is_empty()),
            group: vertex.progress_group.map(|group| Group { id: group.id, name: group.name }),
        }
    }
}

impl From<control::VertexStatus> for Progress {
    fn from(status: control::VertexStatus) -> Self {
        Self {
            id: status.id,
            vertex: status.vertex,
            name: status.name,
            current: status.current,
            total: status.total,
            timestamp: status.timestamp.and_then(time),
            started: status.started.and_then(time),
            completed: status.completed.and_then(time),
        }
    }
}

impl From<control::VertexLog> for Log {
    fn from(log: control::VertexLog) -> Self {
        // Stream 1 is standard output, and stream 2 is standard error (BuildKit `util/progress/logs`).
        let stream = if log.stream == 2 { LogStream::Error } else { LogStream::Output };
        Self { vertex: log.vertex, stream, timestamp: log.timestamp.and_then(time), bytes: log.msg }
    }
}

impl From<control::VertexWarning> for Warning {
    fn from(warning: control::VertexWarning) -> Self {
        Self {
            vertex: warning.vertex,
            level: warning.level,
            short: String::from_utf8_lossy(&warning.short).into_owned(),
            detail: warning.detail.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect(),
            url: warning.url,
            file: warning.info.map(|info| WarningFile {
                name: info.filename,
                language: info.language,
                text: info.data,
            }),
            ranges: warning.ranges.iter().map(LineRange::of).collect(),
        }
    }
}

/// Converts a timestamp. Returns `None` for a time that the system's clock cannot represent (C18).
fn time(timestamp: Timestamp) -> Option<SystemTime> {
    let nanoseconds = Duration::from_nanos(u64::try_from(timestamp.nanos).ok()?);
    let seconds = Duration::from_secs(timestamp.seconds.unsigned_abs());
    let whole = if timestamp.seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(seconds)?
    } else {
        SystemTime::UNIX_EPOCH.checked_add(seconds)?
    };
    whole.checked_add(nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c18_times_before_and_beyond_the_clock_do_not_panic() {
        for seconds in [i64::MIN, -1, 0, 1, i64::MAX] {
            for nanos in [i32::MIN, -1, 0, 999_999_999, i32::MAX] {
                let _ = time(Timestamp { seconds, nanos });
            }
        }
        assert_eq!(time(Timestamp { seconds: 0, nanos: 0 }), Some(SystemTime::UNIX_EPOCH));
    }

    #[test]
    fn a_log_is_never_shown_by_debug() {
        let log = Log::from(control::VertexLog { msg: b"canary-18ab".to_vec(), stream: 2, ..Default::default() });
        assert_eq!(log.stream, LogStream::Error);
        assert!(!format!("{log:?}").contains("canary-18ab"));
    }
}
