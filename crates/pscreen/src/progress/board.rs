//! The state of every step. All texts are redacted on the board.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use psecret::{Redactor, RedactorStream};

use super::event::{Event, LogNews, LogStream, Position, StepNews, TransferNews, WarningNews};
use super::lines::{LineBuffer, Piece};
use crate::visible::{log_line, one_line};

/// The number of lines of a step's log that are kept for an error message.
const TAIL: usize = 20;

/// The most characters that are kept of such a line.
const LONGEST_TAIL_LINE: usize = 500;

/// A summary of how the steps ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of steps that succeeded, including cached ones.
    pub done: usize,
    /// The number of steps that were cached.
    pub cached: usize,
    /// The steps that failed, in the order in which they began.
    pub failed: Vec<FailedStep>,
}

/// A step that failed. All of its texts are redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedStep {
    /// The step's identity.
    pub id: String,
    /// The step's name.
    pub name: String,
    /// The reason why the step failed.
    pub error: String,
    /// The last lines of the step's output.
    pub tail: Vec<String>,
}

/// The state of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Running,
    Done,
    Cached,
    Failed(String),
}

/// A step with everything that renderers need. All of its texts are redacted.
#[derive(Debug)]
pub(super) struct Vertex {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) inputs: Vec<String>,
    pub(super) state: State,
    pub(super) started: Option<SystemTime>,
    pub(super) completed: Option<SystemTime>,
    /// The time at which the current run of the step began, by this machine's clock.
    pub(super) running_since: Option<Instant>,
    pub(super) transfers: Vec<Transfer>,
    /// The number that is shown for the step. It is assigned when the step begins.
    pub(super) number: Option<usize>,
    pub(super) tail: VecDeque<String>,
    outputs: BTreeMap<LogStream, Output>,
}

#[derive(Debug)]
struct Output {
    redactor: RedactorStream,
    lines: LineBuffer,
    at: Option<SystemTime>,
}

#[derive(Clone, Debug)]
pub(super) struct Transfer {
    pub(super) id: String,
    pub(super) name: String,
    /// The text that people see. Like docker, it uses the identity, which says more than the name: `transferring
    /// context:`.
    pub(super) label: String,
    pub(super) current: u64,
    pub(super) total: u64,
    pub(super) at: Option<SystemTime>,
    pub(super) started: Option<SystemTime>,
    pub(super) completed: Option<SystemTime>,
}

/// A change on the board. Steps and transfers are identified by their positions.
#[derive(Debug)]
pub(super) enum BoardEvent {
    /// The step changed. `began` and `ended` are true if its run began or ended.
    Step {
        step: usize,
        began: bool,
        ended: bool,
    },
    /// Redacted bytes of a step's log, which may begin and end anywhere.
    Chunk {
        step: usize,
        stream: LogStream,
        at: Option<SystemTime>,
        bytes: Vec<u8>,
    },
    /// A line of a step's log, or a piece of one.
    Text {
        step: usize,
        stream: LogStream,
        at: Option<SystemTime>,
        piece: Piece,
    },
    Transfer {
        step: usize,
        transfer: usize,
    },
    Warning(WarningNews),
    Fact {
        label: String,
        text: String,
    },
}

#[derive(Debug)]
pub(super) struct Board {
    redactor: Redactor,
    pub(super) steps: Vec<Vertex>,
    positions: BTreeMap<String, usize>,
    numbered: usize,
}

impl Board {
    pub(super) fn new(redactor: Redactor) -> Self {
        Self { redactor, steps: Vec::new(), positions: BTreeMap::new(), numbered: 0 }
    }

    pub(super) fn apply(&mut self, events: Vec<Event>, now: Instant, changes: &mut Vec<BoardEvent>) {
        let mut ends = Vec::new();
        for event in events {
            match event {
                Event::Step(news) => self.step(news, now, changes, &mut ends),
                Event::Log(news) => self.log(news, now, changes),
                Event::Transfer(news) => self.transfer(news, now, changes),
                Event::Warning(news) => changes.push(BoardEvent::Warning(self.warning(news))),
                Event::Fact { label, text } => {
                    changes.push(BoardEvent::Fact { label, text: self.redactor.redact(&text) })
                }
            }
        }
        // The end of a step closes its outputs, so it is handled after all events that arrived with it. If several
        // ends of one step arrived together, only the last one counts.
        for at in 0..ends.len() {
            let (step, news) = &ends[at];
            if ends[at + 1..].iter().all(|(later, _)| later != step) {
                self.end(*step, news, now, changes);
            }
        }
    }

    pub(super) fn tick(&mut self, now: Instant, changes: &mut Vec<BoardEvent>) {
        for (position, step) in self.steps.iter_mut().enumerate() {
            for (stream, output) in &mut step.outputs {
                let mut pieces = Vec::new();
                output.lines.tick(now, &mut pieces);
                push_pieces(position, *stream, output.at, pieces, changes, &mut step.tail);
            }
        }
    }

    pub(super) fn finish(&mut self, changes: &mut Vec<BoardEvent>) {
        let now = Instant::now();
        (0..self.steps.len()).for_each(|step| self.close_outputs(step, now, changes));
    }

    pub(super) fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for step in &self.steps {
            match &step.state {
                State::Done => summary.done += 1,
                State::Cached => (summary.done, summary.cached) = (summary.done + 1, summary.cached + 1),
                State::Failed(error) => summary.failed.push(FailedStep {
                    id: step.id.clone(),
                    name: step.name.clone(),
                    error: error.clone(),
                    tail: step.tail.iter().cloned().collect(),
                }),
                State::Waiting | State::Running => {}
            }
        }
        summary
    }

    fn position(&mut self, id: &str) -> usize {
        if let Some(position) = self.positions.get(id) {
            return *position;
        }
        self.positions.insert(id.to_owned(), self.steps.len());
        self.steps.push(Vertex {
            id: id.to_owned(),
            name: String::new(),
            inputs: Vec::new(),
            state: State::Waiting,
            started: None,
            completed: None,
            running_since: None,
            transfers: Vec::new(),
            number: None,
            tail: VecDeque::new(),
            outputs: BTreeMap::new(),
        });
        self.steps.len() - 1
    }

    fn step(&mut self, news: StepNews, now: Instant, changes: &mut Vec<BoardEvent>, ends: &mut Vec<(usize, StepNews)>) {
        let position = self.position(&news.id);
        let name = one_line(&self.redactor.redact(&news.name));
        let step = &mut self.steps[position];
        if !name.is_empty() {
            step.name = name;
        }
        if !news.inputs.is_empty() {
            step.inputs.clone_from(&news.inputs);
        }
        // BuildKit repeats that a step was cached, each time with other times. The repetitions are ignored.
        if news.cached && step.state == State::Cached {
            return;
        }
        let is_new_run = news.started.is_some() && news.started != step.started;
        let began = is_new_run || (news.started.is_some() && step.state == State::Waiting);
        if began {
            step.state = State::Running;
            step.started = news.started;
            step.completed = None;
            step.running_since = Some(now);
        }
        if news.cached || news.completed.is_some() || news.error.is_some() {
            ends.push((position, news));
        }
        if began {
            self.number(position);
        }
        changes.push(BoardEvent::Step { step: position, began, ended: false });
    }

    fn end(&mut self, position: usize, news: &StepNews, now: Instant, changes: &mut Vec<BoardEvent>) {
        let state = match (news.error.as_deref(), news.cached, news.completed) {
            (Some(error), ..) => State::Failed(one_line(&self.redactor.redact(error))),
            (None, true, _) => State::Cached,
            (None, false, _) => State::Done,
        };
        let step = &mut self.steps[position];
        if step.state == state && step.completed == news.completed {
            return;
        }
        self.number(position);
        self.close_outputs(position, now, changes);
        let step = &mut self.steps[position];
        step.state = state;
        step.completed = news.completed;
        step.running_since = None;
        changes.push(BoardEvent::Step { step: position, began: false, ended: true });
    }

    fn number(&mut self, position: usize) {
        let step = &mut self.steps[position];
        if step.number.is_none() {
            self.numbered += 1;
            step.number = Some(self.numbered);
        }
    }

    fn log(&mut self, news: LogNews, now: Instant, changes: &mut Vec<BoardEvent>) {
        let position = self.position(&news.step);
        self.number(position);
        let step = &mut self.steps[position];
        let redactor = &self.redactor;
        let output = step.outputs.entry(news.stream).or_insert_with(|| Output {
            redactor: redactor.stream(),
            lines: LineBuffer::default(),
            at: None,
        });
        output.at = news.at;
        let bytes = output.redactor.push(&news.bytes);
        output.emit(position, news.stream, bytes, now, changes, &mut step.tail);
    }

    fn close_outputs(&mut self, position: usize, now: Instant, changes: &mut Vec<BoardEvent>) {
        let step = &mut self.steps[position];
        for (stream, mut output) in std::mem::take(&mut step.outputs) {
            let bytes = output.redactor.finish();
            output.emit(position, stream, bytes, now, changes, &mut step.tail);
            let mut pieces = Vec::new();
            output.lines.finish(&mut pieces);
            push_pieces(position, stream, output.at, pieces, changes, &mut step.tail);
        }
    }

    fn transfer(&mut self, news: TransferNews, now: Instant, changes: &mut Vec<BoardEvent>) {
        let position = self.position(&news.step);
        self.number(position);
        let (id, name) = (self.redactor.redact(&news.id), self.redactor.redact(&news.name));
        let step = &mut self.steps[position];
        step.running_since.get_or_insert(now);
        let transfer = Transfer {
            label: one_line(if id.is_empty() { &name } else { &id }),
            id,
            name,
            current: news.current,
            total: news.total,
            at: news.at,
            started: news.started,
            completed: news.completed,
        };
        let place = step.transfers.iter().position(|known| known.id == transfer.id);
        let place = place.unwrap_or(step.transfers.len());
        if place == step.transfers.len() {
            step.transfers.push(transfer);
        } else {
            step.transfers[place] = transfer;
        }
        changes.push(BoardEvent::Transfer { step: position, transfer: place });
    }

    fn warning(&self, news: WarningNews) -> WarningNews {
        let redact = |text: &str| self.redactor.redact(text);
        WarningNews {
            short: redact(&news.short),
            detail: news.detail.iter().map(|line| redact(line)).collect(),
            url: redact(&news.url),
            place: news.place.map(|place| Position { file: redact(&place.file), ..place }),
            ..news
        }
    }
}

impl Output {
    fn emit(
        &mut self,
        step: usize,
        stream: LogStream,
        bytes: Vec<u8>,
        now: Instant,
        changes: &mut Vec<BoardEvent>,
        tail: &mut VecDeque<String>,
    ) {
        if bytes.is_empty() {
            return;
        }
        let mut pieces = Vec::new();
        self.lines.push(&bytes, now, &mut pieces);
        changes.push(BoardEvent::Chunk { step, stream, at: self.at, bytes });
        push_pieces(step, stream, self.at, pieces, changes, tail);
    }
}

impl Vertex {
    /// Returns the duration of the step's run: by the engine's clock if the step has ended, by this machine's clock
    /// while it runs.
    pub(super) fn duration(&self, now: Instant) -> Option<Duration> {
        match (self.started, self.completed, self.running_since) {
            (Some(started), Some(completed), _) => Some(completed.duration_since(started).unwrap_or_default()),
            (_, None, Some(since)) => Some(now.saturating_duration_since(since)),
            _ => None,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Returns the last lines of the log, including lines that have not ended yet.
    pub(super) fn last_lines(&self, count: usize) -> Vec<String> {
        let open =
            self.outputs.values().map(|output| tail_line(output.lines.current())).filter(|line| !line.is_empty());
        let mut lines: Vec<String> = self.tail.iter().cloned().chain(open).collect();
        lines.drain(..lines.len().saturating_sub(count));
        lines
    }
}

fn push_pieces(
    step: usize,
    stream: LogStream,
    at: Option<SystemTime>,
    pieces: Vec<Piece>,
    changes: &mut Vec<BoardEvent>,
    tail: &mut VecDeque<String>,
) {
    for piece in pieces {
        let line = tail_line(&piece.text);
        match tail.back_mut().filter(|_| piece.continues) {
            Some(last) => {
                let room = LONGEST_TAIL_LINE.saturating_sub(last.chars().count());
                last.extend(line.chars().take(room));
            }
            None => tail.push_back(line),
        }
        if tail.len() > TAIL {
            tail.pop_front();
        }
        changes.push(BoardEvent::Text { step, stream, at, piece });
    }
}

/// Prepares a line for an error message: removes escapes, and cuts the line.
fn tail_line(bytes: &[u8]) -> String {
    let line = anstream::adapter::strip_str(&log_line(&String::from_utf8_lossy(bytes))).to_string();
    line.chars().take(LONGEST_TAIL_LINE).collect()
}
