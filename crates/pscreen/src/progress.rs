//! Progress of a build, for people: on a terminal, in a pipe, as JSON or not at all.
//!
//! A tool turns what its engine says into [`Event`]s. The board redacts them and keeps the state of every step; a
//! renderer shows what changed. Names, logs, warnings and errors are redacted on the board, so no renderer ever holds
//! anything else: logs with a stream of their own for each step and output, the rest text by text.
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

/// How often a running build is redrawn, and how long a line without an end waits at most (L5).
const TICK: Duration = Duration::from_millis(100);

/// The narrowest terminal that is redrawn when nobody asked for it; below, plain lines are easier to read.
const NARROWEST: usize = 20;

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressMode {
    /// On a terminal `Tty`, else `Plain`.
    #[default]
    Auto,
    /// One line for each fact, in order, in docker's format.
    Plain,
    /// The running part redraws.
    Tty,
    /// A JSON object for each piece of news, as buildx prints them.
    RawJson,
    /// Nothing.
    Quiet,
}

/// Shows a build.
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
    /// Shows on this printer, behind its redactor.
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

    /// Takes news that came together. Within them, what a step says is shown before its end, whatever their order.
    pub fn update(&mut self, events: Vec<Event>, now: Instant) {
        let mut changes = Vec::new();
        self.board.apply(events, now, &mut changes);
        self.show(changes, now);
    }

    /// Lets time pass: redraws, and shows lines that wait for their end too long.
    pub fn tick(&mut self, now: Instant) {
        let mut changes = Vec::new();
        self.board.tick(now, &mut changes);
        self.show(changes, now);
    }

    /// Ends the progress: shows the lines that were held back, and says how the build went.
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

    /// Shows everything that the sender sends, until it is dropped.
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
            // Facts of the tool itself are no progress: whoever asked for quiet asked for none of them either.
            Renderer::Quiet => {}
        }
    }
}

#[cfg(test)]
mod tests;
