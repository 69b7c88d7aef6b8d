//! The screen of running builds, and the translation of BuildKit's news for it.

use std::collections::BTreeMap;
use std::ffi::OsString;

use pbuildkit::status::{self, StatusUpdate, Warning};
use pscreen::Terminal;
use pscreen::progress::{
    Event, FailedStep, LogNews, LogStream, Position, Progress, ProgressMode, StepNews, Summary, TransferNews,
    WarningNews,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::offers::StepState;
use super::report;
use super::search_line::SearchLine;
use crate::edge::Edge;
use crate::scanner;

/// The number of batches of news that may wait for the screen. A build that prints faster than the terminal shows has
/// to wait.
const NEWS_IN_FLIGHT: usize = 64;

/// What the screen has learned about one build.
#[derive(Debug, Default)]
pub(crate) struct ScreenAccount {
    /// The step that failed, with the end of its log, redacted.
    pub(crate) failed: Option<FailedStep>,
    /// How the steps ended, by the digests of their vertices.
    pub(crate) states: BTreeMap<String, StepState>,
    /// The warnings of the frontend, not redacted.
    pub(crate) warnings: Vec<Warning>,
}

/// A screen that shows builds until [`Screen::finish`] is called and the senders of all builds are dropped.
#[derive(Debug)]
pub(crate) struct Screen {
    showing: JoinHandle<Summary>,
    events: mpsc::Sender<Vec<Event>>,
}

/// The part of a screen that shows one build.
#[derive(Debug)]
pub(crate) struct Pane {
    translating: JoinHandle<Record>,
    search: SearchLine,
}

/// The facts that are kept from one build's news.
#[derive(Debug, Default)]
struct Record {
    states: BTreeMap<String, StepState>,
    /// The digests of the vertices that failed, by their IDs on the screen.
    failed: BTreeMap<String, String>,
    warnings: Vec<Warning>,
}

impl Screen {
    /// Opens a screen.
    pub(super) fn open(mode: ProgressMode, edge: &Edge) -> Self {
        let terminal = Terminal::of_stderr(|name| std::env::var_os(name) as Option<OsString>);
        let progress = Progress::new(mode, edge.stderr.clone(), terminal);
        let (events, receiver) = mpsc::channel(NEWS_IN_FLIGHT);
        Self { showing: tokio::spawn(progress.run(receiver)), events }
    }

    /// Shows one build. Its news go into the returned sender, until the sender is dropped. If there are several
    /// builds, the steps carry the name of their target.
    pub(super) fn pane(&self, target: Option<&str>) -> (mpsc::Sender<StatusUpdate>, Pane) {
        let (sender, mut updates) = mpsc::channel(NEWS_IN_FLIGHT);
        let (events, mark) = (self.events.clone(), Mark(target.map(str::to_owned)));
        let search = SearchLine::new(events.downgrade(), target);
        let translating = tokio::spawn(async move {
            let mut record = Record::default();
            while let Some(update) = updates.recv().await {
                record.note(&update, &mark);
                if events.send(translate(update, &mark)).await.is_err() {
                    break;
                }
            }
            record
        });
        (sender, Pane { translating, search })
    }

    /// Waits until everything is shown.
    pub(super) async fn finish(self) -> Summary {
        let Self { showing, events } = self;
        drop(events);
        // If the screen has panicked, the summary is empty, because only the outcome of the build counts.
        showing.await.unwrap_or_default()
    }
}

impl Pane {
    /// Returns the line that shows the search in the builder.
    pub(super) fn search_line(&self) -> SearchLine {
        self.search.clone()
    }

    /// Returns the account of the build after the screen has shown everything.
    pub(super) async fn finish(self, summary: &Summary) -> ScreenAccount {
        let Record { states, failed, warnings } = self.translating.await.unwrap_or_default();
        let own = |step: &&FailedStep| failed.contains_key(&step.id);
        let last = summary.failed.iter().rev().find(own).cloned();
        let failed = last.map(|step| FailedStep { id: failed[&step.id].clone(), ..step });
        ScreenAccount { failed, states, warnings }
    }
}

/// The mark that distinguishes the steps of one target from those of the others.
#[derive(Debug)]
struct Mark(Option<String>);

impl Mark {
    /// Returns the ID of a vertex on the screen. Each target has its own ID for a vertex, because two builds may
    /// share a step and each of them receives the step's whole log. The two copies must not be mixed before they are
    /// redacted.
    fn id(&self, digest: &str) -> String {
        match &self.0 {
            Some(target) if !digest.is_empty() => pllb::digest(format!("{target} {digest}").as_bytes()),
            Some(_) | None => digest.to_owned(),
        }
    }

    /// Returns the name of a step, in buildx's spelling for several targets: `[web 2/4] RUN make`.
    fn name(&self, name: String) -> String {
        match (&self.0, name.strip_prefix('[')) {
            (None, _) => name,
            (Some(_), _) if name.is_empty() => name,
            (Some(target), Some(rest)) => format!("[{target} {rest}"),
            (Some(target), None) => format!("[{target}] {name}"),
        }
    }
}

impl Record {
    fn note(&mut self, update: &StatusUpdate, mark: &Mark) {
        self.warnings.extend_from_slice(&update.warnings);
        for vertex in &update.vertices {
            if vertex.error.is_some() {
                self.failed.insert(mark.id(&vertex.digest), vertex.digest.clone());
            } else if vertex.completed.is_some() {
                let state = if vertex.cached { StepState::Cached } else { StepState::Ran };
                self.states.insert(vertex.digest.clone(), state);
            }
        }
    }
}

/// Translates one batch of BuildKit's news into events of the screen.
fn translate(update: StatusUpdate, mark: &Mark) -> Vec<Event> {
    // The scanner is not a step of the user's build, and its search has its own line.
    let vertices = update.vertices.into_iter().filter(|vertex| vertex.name != scanner::NAME);
    let steps = vertices.map(|vertex| {
        Event::Step(StepNews {
            id: mark.id(&vertex.digest),
            name: mark.name(vertex.name),
            inputs: vertex.inputs.iter().map(|input| mark.id(input)).collect(),
            started: vertex.started,
            completed: vertex.completed,
            cached: vertex.cached,
            error: vertex.error.map(|error| report::without_prelude(&error)),
        })
    });
    let transfers = update.progress.into_iter().map(|progress| {
        Event::Transfer(TransferNews {
            id: progress.id,
            step: mark.id(&progress.vertex),
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
        Event::Log(LogNews { step: mark.id(&log.vertex), stream, at: log.timestamp, bytes: log.bytes })
    });
    let warnings = update.warnings.into_iter().map(|warning| {
        let range = warning.ranges.first().copied();
        Event::Warning(WarningNews {
            step: mark.id(&warning.vertex),
            level: warning.level,
            short: warning.short,
            detail: warning.detail,
            url: warning.url,
            place: warning.file.zip(range).map(|(file, range)| Position {
                file: file.name,
                first: range.first,
                last: range.last,
            }),
        })
    });
    steps.chain(transfers).chain(logs).chain(warnings).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_several_targets_carry_their_target_s_name() {
        let mark = Mark(Some("web".to_owned()));
        assert_eq!(mark.name("[internal] load .dockerignore".to_owned()), "[web internal] load .dockerignore");
        assert_eq!(mark.name("exporting to image".to_owned()), "[web] exporting to image");
        assert_eq!(Mark(None).name("[2/4] RUN make".to_owned()), "[2/4] RUN make");
    }

    #[test]
    fn a_shared_step_has_an_identity_for_each_target() {
        let [web, api, alone] = [Some("web"), Some("api"), None].map(|target| Mark(target.map(str::to_owned)));
        assert_ne!(web.id("sha256:1"), api.id("sha256:1"));
        assert_eq!(web.id("sha256:1"), web.id("sha256:1"));
        assert!(web.id("sha256:1").starts_with("sha256:"));
        assert_eq!((alone.id("sha256:1").as_str(), web.id("").as_str()), ("sha256:1", ""));
    }
}
