//! The local page of `prun ui`: one project's secrets, services and instances in a browser of this machine.
//!
//! A request enters through [`server`]. [`guard`] decides whether the request comes from the page itself. The server
//! then makes a [`Request`] for the command that opened the page. The command's answer is an [`overview::Overview`],
//! which [`render`] writes as HTML, or the lines of an errand while it runs, or one value that the reader asked for.

pub(crate) mod guard;
pub(crate) mod overview;
mod render;
pub(crate) mod server;

use psecret::UserSecret;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use crate::page::overview::Overview;

/// A request of the page to the command that opened it.
pub(crate) struct Request {
    /// The project, if the page shows several.
    pub(crate) project: Option<String>,
    /// The question that the command answers.
    pub(crate) question: Question,
}

/// A question, with the channel for its answer.
pub(crate) enum Question {
    /// Show everything except values.
    Look(oneshot::Sender<Overview>),
    /// Hand out one value.
    Value {
        /// The value.
        of: Asked,
        /// What the reader does with it.
        reason: Reason,
        /// The channel for the value. If there is none, it gets a text for people.
        answer: oneshot::Sender<Result<Zeroizing<Vec<u8>>, String>>,
    },
    /// Change something, and report each line of what happens.
    Errand(Errand, mpsc::UnboundedSender<News>),
}

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A variable of the instances.
    Injected(String),
    /// A secret of the user's, read from its declared source.
    Environment(String),
}

/// What a reader does with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The page shows it.
    Reveal,
    /// The page puts it into the clipboard, and does not show it.
    Copy,
}

/// A change that the page asks for.
#[derive(Debug)]
pub(crate) enum Errand {
    /// A service gets a new credential.
    Rotate(String),
    /// All instances are replaced.
    Restart,
    /// A secret of the sealed store gets a value.
    Set(String, UserSecret),
}

/// A message during an errand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A line, as the terminal shows it.
    Line(String),
    /// The end of the errand.
    End(End),
}

/// The end of an errand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The errand is done.
    Done,
    /// The errand failed; the lines before tell why.
    Failed,
}
