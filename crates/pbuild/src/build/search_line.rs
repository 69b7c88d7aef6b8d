//! The line of the screen that shows the progress of the search in the builder.

use std::time::SystemTime;

use pproof::Watch;
use pscreen::progress::{Event, StepNews, TransferNews};
use tokio::sync::mpsc;

/// Shows the search in the builder as one line among the steps of the build. It does not keep the screen open.
#[derive(Debug)]
pub(crate) struct SearchLine {
    events: mpsc::WeakSender<Vec<Event>>,
    began: Option<SystemTime>,
    name: String,
}

impl SearchLine {
    /// Makes a line on the screen that these events reach.
    pub(crate) fn new(events: mpsc::WeakSender<Vec<Event>>) -> Self {
        Self { events, began: None, name: String::new() }
    }

    /// The identity among the digests of vertices.
    const ID: &str = "pbuild:search";

    fn step(&self, completed: Option<SystemTime>) -> Event {
        let (id, name) = (Self::ID.to_owned(), self.name.clone());
        Event::Step(StepNews { id, name, started: self.began, completed, ..StepNews::default() })
    }

    fn searched(&self, bytes: u64, completed: Option<SystemTime>) -> Event {
        Event::Transfer(TransferNews {
            id: "searched".to_owned(),
            step: Self::ID.to_owned(),
            current: bytes,
            at: Some(SystemTime::now()),
            started: self.began,
            completed,
            ..TransferNews::default()
        })
    }

    async fn say(&self, events: Vec<Event>) {
        if let Some(screen) = self.events.upgrade() {
            // A screen that is gone shows nothing.
            let _ = screen.send(events).await;
        }
    }
}

impl Watch for SearchLine {
    async fn begin(&mut self, what: &str) {
        self.name = format!("[audit] searching {what}");
        self.began = Some(SystemTime::now());
        self.say(vec![self.step(None)]).await;
    }

    async fn moved(&self, bytes: u64) {
        self.say(vec![self.searched(bytes, None)]).await;
    }

    async fn end(&self) {
        self.say(vec![self.step(Some(SystemTime::now()))]).await;
    }
}
