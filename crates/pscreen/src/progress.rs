//! The progress of a build, for people: on a terminal, in a pipe, as JSON, or not shown at all.
//!
//! A tool turns the updates of its engine into [`Event`]s. The board redacts all of their texts and keeps the state
//! of every step; a renderer shows the changes. Since the board redacts names, logs, warnings and errors, no renderer
//! ever holds unredacted text. Each output of each step is redacted as one stream; all other texts are redacted one
//! by one.
//!
//! ```
//! use pscreen::progress::{Event, Progress, ProgressMode, StepNews};
//! use pscreen::{Colour, Printer, Terminal};
//! # use std::time::{Duration, Instant, SystemTime};
//!
//! let printer = Printer::new(Box::new(std::io::sink()), Colour::Never);
//! let mut progress = Progress::new(ProgressMode::Plain, printer, Terminal { redraws: false, size: None });
//! let started = Some(SystemTime::UNIX_EPOCH);
//! let step = StepNews { id: "sha256:one".into(), name: "[1/1] RUN true".into(), started, ..StepNews::default() };
//! progress.update(vec![Event::Step(step)], Instant::now());
//! assert!(progress.finish(Instant::now()).failed.is_empty());
//! ```

mod board;
mod event;
mod lines;
mod plain;
mod rawjson;
mod tty;

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use board::{Board, BoardEvent};
pub use board::{FailedStep, Summary};
pub use event::{Event, LogNews, LogStream, Position, StepNews, TransferNews, WarningNews};

use crate::{Printer, Terminal};

/// The time between two redraws of a running build (L5).
const TICK: Duration = Duration::from_millis(100);

/// The narrowest terminal that is redrawn unless the user asks for it. On a narrower terminal, plain lines are easier
/// to read.
const NARROWEST: usize = 20;

/// The way in which progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressMode {
    /// `Tty` on a terminal that can be redrawn, else `Plain`.
    #[default]
    Auto,
    /// One line for each fact, in order, in docker's format.
    Plain,
    /// Finished steps scroll up, and running steps are redrawn below.
    Tty,
    /// One JSON object for each update, as in buildx.
    RawJson,
    /// Nothing is shown.
    Quiet,
}

/// The progress display of a build.
#[derive(Debug)]
pub struct Progress {
    board: Board,
    renderer: Renderer,
    printer: Printer,
}

#[derive(Debug)]
enum Renderer {
    Plain(plain::Plain),
    Tty(tty::Tty),
    RawJson(rawjson::RawJson),
    Quiet,
}

impl Progress {
    /// Makes a display on this printer, with the printer's redactor.
    #[must_use]
    pub fn new(mode: ProgressMode, printer: Printer, terminal: Terminal) -> Self {
        let wide = terminal.size.is_none_or(|(width, _)| width >= NARROWEST);
        let renderer = match mode {
            ProgressMode::Auto if terminal.redraws && wide => Renderer::Tty(tty::Tty::new(terminal)),
            ProgressMode::Auto | ProgressMode::Plain => Renderer::Plain(plain::Plain::default()),
            ProgressMode::Tty => Renderer::Tty(tty::Tty::new(terminal)),
            ProgressMode::RawJson => Renderer::RawJson(rawjson::RawJson),
            ProgressMode::Quiet => Renderer::Quiet,
        };
        Self { board: Board::new(printer.redactor().clone()), renderer, printer }
    }

    /// Shows events that arrived together. The output of a step is shown before the step's end, in whatever order
    /// they are listed.
    pub fn update(&mut self, events: Vec<Event>, now: Instant) {
        let mut changes = Vec::new();
        self.board.apply(events, now, &mut changes);
        self.show(changes, now);
    }

    /// Redraws the display, and shows lines that have waited too long for their end.
    pub fn tick(&mut self, now: Instant) {
        let mut changes = Vec::new();
        self.board.tick(now, &mut changes);
        self.show(changes, now);
    }

    /// Ends the display: shows the lines that were held back, and returns a summary of the build.
    pub fn finish(&mut self, now: Instant) -> Summary {
        let mut changes = Vec::new();
        self.board.finish(&mut changes);
        self.show(changes, now);
        match &mut self.renderer {
            Renderer::Plain(plain) => plain.finish(&self.printer),
            Renderer::Tty(tty) => tty.finish(&self.board, &self.printer, now),
            Renderer::RawJson(_) | Renderer::Quiet => {}
        }
        self.board.summary()
    }

    /// Shows all events of the channel until its sender is dropped.
    pub async fn run(mut self, mut events: mpsc::Receiver<Vec<Event>>) -> Summary {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                news = events.recv() => match news {
                    Some(events) => self.update(events, Instant::now()),
                    None => return self.finish(Instant::now()),
                },
                _ = ticks.tick() => self.tick(Instant::now()),
            }
        }
    }

    fn show(&mut self, changes: Vec<BoardEvent>, now: Instant) {
        match &mut self.renderer {
            Renderer::Plain(plain) => plain.show(&self.board, &changes, &self.printer),
            Renderer::Tty(tty) => tty.show(&self.board, &changes, &self.printer, now),
            Renderer::RawJson(raw) => raw.show(&self.board, &changes, &self.printer),
            // The tool's own facts are hidden too, because the user asked for no output.
            Renderer::Quiet => {}
        }
    }
}

#[cfg(test)]
mod tests;
