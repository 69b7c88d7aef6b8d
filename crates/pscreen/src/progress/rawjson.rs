//! One JSON object for each update, in the format of buildx's `--progress rawjson` (BuildKit's `client.SolveStatus`).

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::board::{Board, BoardEvent, State};
use super::event::{LogStream, WarningNews};
use crate::Printer;

#[derive(Debug, Default)]
pub(super) struct RawJson;

#[derive(Default, Serialize)]
struct SolveStatus<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vertexes: Vec<Vertex<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<VertexStatus<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logs: Vec<VertexLog<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<VertexWarning<'a>>,
}

#[derive(Serialize)]
struct Vertex<'a> {
    digest: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    inputs: &'a [String],
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cached: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
}

#[derive(Serialize)]
struct VertexStatus<'a> {
    id: &'a str,
    vertex: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    total: u64,
    current: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<String>,
}

#[derive(Serialize)]
struct VertexLog<'a> {
    vertex: &'a str,
    stream: u8,
    data: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
}

#[derive(Serialize)]
struct VertexWarning<'a> {
    vertex: &'a str,
    level: i64,
    short: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    detail: Vec<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    url: &'a str,
}

impl RawJson {
    pub(super) fn show(&mut self, board: &Board, changes: &[BoardEvent], printer: &Printer) {
        let mut status = SolveStatus::default();
        // The changed steps, each once, although a step may begin and end in one update: its position, and whether
        // its end is shown.
        let mut steps: Vec<(usize, bool)> = Vec::new();
        for change in changes {
            match change {
                BoardEvent::Step { step, began, ended } => {
                    let over = *ended || !*began;
                    match steps.iter_mut().find(|(position, _)| position == step) {
                        Some((_, shown)) => *shown |= over,
                        None => steps.push((*step, over)),
                    }
                }
                BoardEvent::Chunk { step, stream, at, bytes } => status.logs.push(VertexLog {
                    vertex: &board.steps[*step].id,
                    stream: match stream {
                        LogStream::Output => 1,
                        LogStream::Error => 2,
                    },
                    data: STANDARD.encode(bytes),
                    timestamp: time(*at),
                }),
                BoardEvent::Transfer { step, transfer } => {
                    let of = &board.steps[*step];
                    let transfer = &of.transfers[*transfer];
                    status.statuses.push(VertexStatus {
                        id: &transfer.id,
                        vertex: &of.id,
                        name: &transfer.name,
                        total: transfer.total,
                        current: transfer.current,
                        timestamp: time(transfer.at),
                        started: time(transfer.started),
                        completed: time(transfer.completed),
                    });
                }
                BoardEvent::Warning(warning) => status.warnings.push(vertex_warning(warning)),
                BoardEvent::Fact { label, text } => printer.as_events().fact(label, text),
                // These lines repeat the bytes of the chunks.
                BoardEvent::Text { .. } => {}
            }
        }
        status.vertexes = steps.into_iter().map(|(step, over)| vertex(board, step, over)).collect();
        let nothing = status.vertexes.is_empty()
            && status.statuses.is_empty()
            && status.logs.is_empty()
            && status.warnings.is_empty();
        if nothing {
            return;
        }
        // Strings, numbers and lists cannot fail to serialize.
        if let Ok(mut line) = serde_json::to_vec(&status) {
            line.push(b'\n');
            printer.print_bytes(&line);
        }
    }
}

/// Describes a step. Its end is included if `over` is true. BuildKit dates the end of some cached steps before their
/// beginning; the later of the two times is used as the end.
fn vertex(board: &Board, position: usize, over: bool) -> Vertex<'_> {
    let step = &board.steps[position];
    Vertex {
        digest: &step.id,
        inputs: &step.inputs,
        name: &step.name,
        started: time(step.started),
        completed: if over { time(step.completed.max(step.completed.and(step.started))) } else { None },
        cached: over && step.state == State::Cached,
        error: match &step.state {
            State::Failed(error) if over => error,
            State::Failed(_) | State::Waiting | State::Running | State::Done | State::Cached => "",
        },
    }
}

fn vertex_warning(warning: &WarningNews) -> VertexWarning<'_> {
    VertexWarning {
        vertex: &warning.step,
        level: warning.level,
        short: STANDARD.encode(&warning.short),
        detail: warning.detail.iter().map(|line| STANDARD.encode(line)).collect(),
        url: &warning.url,
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Writes a time in RFC 3339, as Go does. Returns `None` for a time outside of the calendar (C18).
fn time(time: Option<SystemTime>) -> Option<String> {
    jiff::Timestamp::try_from(time?).ok().map(|time| time.to_string())
}
