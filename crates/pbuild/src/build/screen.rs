//! The screen of a running build, and the way of BuildKit's news to it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use pbuildkit::status::{self, StatusUpdate};
use pscreen::Terminal;
use pscreen::progress::{
    Event, FailedStep, LogNews, LogStream, Position, Progress, ProgressMode, StepNews, TransferNews, WarningNews,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::offers::StepState;
use super::report;
use super::search_line::SearchLine;
use crate::edge::Edge;
use crate::scanner;

/// How many batches of news may wait for the screen. A build that prints faster than a terminal shows waits too.
const NEWS_IN_FLIGHT: usize = 64;

/// The account that the screen gives of a build.
#[derive(Debug, Default)]
pub(crate) struct ScreenAccount {
    /// The step that failed, with the end of its log, redacted.
    pub(crate) failed: Option<FailedStep>,
    /// The ends of the steps, by the digests of their vertices.
    pub(crate) states: BTreeMap<String, StepState>,
}

/// A screen that shows a build until its sender is dropped.
#[derive(Debug)]
pub(crate) struct Screen {
    showing: JoinHandle<ScreenAccount>,
    events: mpsc::WeakSender<Vec<Event>>,
}

impl Screen {
    /// Waits until everything is shown, and returns the account.
    pub(crate) async fn finish(self) -> ScreenAccount {
        // A screen that panicked gives no account; only the outcome of the build counts.
        self.showing.await.unwrap_or_default()
    }

    /// The line on which the search in the builder is shown.
    pub(crate) fn search_line(&self) -> SearchLine {
        SearchLine::new(self.events.clone())
    }
}

/// Opens the screen of a build.
pub(super) fn open(mode: ProgressMode, edge: &Edge) -> (mpsc::Sender<StatusUpdate>, Screen) {
    let terminal = Terminal::of_stderr(|name| std::env::var_os(name) as Option<OsString>);
    let progress = Progress::new(mode, edge.stderr.clone(), terminal);
    let (sender, mut updates) = mpsc::channel(NEWS_IN_FLIGHT);
    let (events, receiver) = mpsc::channel(NEWS_IN_FLIGHT);
    let of_search = events.downgrade();
    let task = tokio::spawn(async move {
        let translate = async move {
            let mut states = BTreeMap::new();
            while let Some(update) = updates.recv().await {
                note_states(&update, &mut states);
                if events.send(translate(update)).await.is_err() {
                    break;
                }
            }
            states
        };
        let (states, summary) = tokio::join!(translate, progress.run(receiver));
        ScreenAccount { failed: summary.failed.into_iter().next_back(), states }
    });
    (sender, Screen { showing: task, events: of_search })
}

fn note_states(update: &StatusUpdate, states: &mut BTreeMap<String, StepState>) {
    for vertex in update.vertices.iter().filter(|vertex| vertex.completed.is_some() && vertex.error.is_none()) {
        let state = if vertex.cached { StepState::Cached } else { StepState::Ran };
        states.insert(vertex.digest.clone(), state);
    }
}

/// Translates one batch of BuildKit's news into events of the screen.
fn translate(update: StatusUpdate) -> Vec<Event> {
    // The scanner is no step of the build; its search has a line of its own.
    let vertices = update.vertices.into_iter().filter(|vertex| vertex.name != scanner::PROGRAM.name);
    let steps = vertices.map(|vertex| {
        Event::Step(StepNews {
            id: vertex.digest,
            name: vertex.name,
            inputs: vertex.inputs,
            started: vertex.started,
            completed: vertex.completed,
            cached: vertex.cached,
            error: vertex.error.map(|error| report::without_prelude(&error)),
        })
    });
    let transfers = update.progress.into_iter().map(|progress| {
        Event::Transfer(TransferNews {
            id: progress.id,
            step: progress.vertex,
            name: progress.name,
            current: u64::try_from(progress.current).unwrap_or(0),
            total: u64::try_from(progress.total).unwrap_or(0),
            at: progress.timestamp,
            started: progress.started,
            completed: progress.completed,
        })
    });
    let logs = update.logs.into_iter().map(|log| {
        let stream = match log.stream {
            status::LogStream::Output => LogStream::Output,
            status::LogStream::Error => LogStream::Error,
        };
        Event::Log(LogNews { step: log.vertex, stream, at: log.timestamp, bytes: log.bytes })
    });
    let warnings = update.warnings.into_iter().map(|warning| {
        let range = warning.ranges.first().copied();
        Event::Warning(WarningNews {
            step: warning.vertex,
            level: warning.level,
            short: warning.short,
            detail: warning.detail,
            url: warning.url,
            place: warning.file.zip(range).map(|(file, range)| Position { file, first: range.first, last: range.last }),
        })
    });
    steps.chain(transfers).chain(logs).chain(warnings).collect()
}
