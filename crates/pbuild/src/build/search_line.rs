//! The line of the screen that shows the progress of the search in the builder.

use std::time::SystemTime;

use pproof::Watch;
use pscreen::progress::{Event, StepNews, TransferNews};
use tokio::sync::mpsc;

/// Shows the search in the builder as one line among the steps of the build. The line holds only a weak sender, so it
/// does not keep the screen open.
#[derive(Clone, Debug)]
pub(crate) struct SearchLine {
    events: mpsc::WeakSender<Vec<Event>>,
    target: Option<String>,
    began: Option<SystemTime>,
    name: String,
    /// The number of searches so far: of the image, and of the stages that a cache carries.
    count: usize,
}

impl SearchLine {
    /// Makes a line on the screen that receives `events`, for one of several targets.
    pub(crate) fn new(events: mpsc::WeakSender<Vec<Event>>, target: Option<&str>) -> Self {
        Self { events, target: target.map(str::to_owned), began: None, name: String::new(), count: 0 }
    }

    /// Returns the ID of this search, which differs from the digests of all vertices.
    fn id(&self) -> String {
        let target = self.target.as_ref().map(|target| format!(":{target}")).unwrap_or_default();
        match self.count {
            0 | 1 => format!("pbuild:search{target}"),
            number => format!("pbuild:search{target}:{number}"),
        }
    }

    fn step(&self, completed: Option<SystemTime>) -> Event {
        let (id, name) = (self.id(), self.name.clone());
        Event::Step(StepNews { id, name, started: self.began, completed, ..StepNews::default() })
    }

    fn searched(&self, bytes: u64, completed: Option<SystemTime>) -> Event {
        Event::Transfer(TransferNews {
            id: "searched".to_owned(),
            step: self.id(),
            current: bytes,
            at: Some(SystemTime::now()),
            started: self.began,
            completed,
            ..TransferNews::default()
        })
    }

    async fn say(&self, events: Vec<Event>) {
        if let Some(screen) = self.events.upgrade() {
            // If the screen is already closed, the error is ignored.
            let _ = screen.send(events).await;
        }
    }
}

impl Watch for SearchLine {
    async fn begin(&mut self, what: &str) {
        self.count += 1;
        self.name = match &self.target {
            Some(target) => format!("[{target} audit] searching {what}"),
            None => format!("[audit] searching {what}"),
        };
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
