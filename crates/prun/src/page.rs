//! The local page of `prun ui`: one project's secrets, services and instances in a browser of this machine.
//!
//! A request enters through [`server`], which asks [`guard`] whether it comes from the page itself, and turns it into a
//! [`Request`] for the command that opened the page. The command answers with an [`overview::Overview`], which [`render`] writes
//! as HTML, with the lines of an errand while it runs, or with one value that somebody asked for.

pub(crate) mod guard;
pub(crate) mod overview;
mod render;
pub(crate) mod server;

use psecret::UserSecret;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use crate::page::overview::Overview;

/// What the page asks of the command that opened it.
pub(crate) struct Request {
    /// The project, if the page shows several.
    pub(crate) project: Option<String>,
    /// What is asked.
    pub(crate) question: Question,
}

/// A question, with the way for its answer.
pub(crate) enum Question {
    /// Show everything but values.
    Look(oneshot::Sender<Overview>),
    /// Hand out one value.
    Value {
        /// Which.
        of: Asked,
        /// What the reader does with it.
        reason: Reason,
        /// Where it goes; a text for people instead, if there is none.
        answer: oneshot::Sender<Result<Zeroizing<Vec<u8>>, String>>,
    },
    /// Change something. What happens is told line by line.
    Errand(Errand, mpsc::UnboundedSender<News>),
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A variable of the instances.
    Injected(String),
    /// A secret of the user's, from where it is declared to come from.
    Environment(String),
}

/// What a reader does with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The page shows it.
    Reveal,
    /// The page puts it into the clipboard, and shows nothing.
    Copy,
}

/// A change.
#[derive(Debug)]
pub(crate) enum Errand {
    /// A service gets a new credential.
    Rotate(String),
    /// All instances are replaced.
    Restart,
    /// A secret of the sealed store gets a value.
    Set(String, UserSecret),
}

/// What happens during an errand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A line, as the terminal shows it.
    Line(String),
    /// The end.
    End(End),
}

/// The end of an errand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It is done.
    Done,
    /// It failed; the lines say why.
    Failed,
}
