//! The errors of a build, one for each person who must act.

use std::convert::Infallible;
use std::error::Error;
use std::path::PathBuf;

use pengine::EngineError;

use crate::failure::BuildFailure;

/// Why talking to BuildKit failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildkitError {
    /// The engine did not hand over a connection.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The other side has docker's API and no BuildKit.
    #[error("{engine} has no BuildKit")]
    Podman {
        /// The engine, in words for people.
        engine: String,
    },
    /// The other side, where a builder should be, ends the connection or is not BuildKit.
    #[error("builder {builder} does not answer as BuildKit: {why}")]
    NoAnswer {
        /// Which one.
        builder: String,
        /// The last words of the program on the way, else what the transport knows.
        why: String,
    },
    /// The connection broke: whatever was under way is in an unknown state.
    #[error("the connection to BuildKit broke")]
    Lost {
        /// Why, as far as the transport knows.
        source: tonic::Status,
    },
    /// BuildKit answered with an error.
    #[error("BuildKit refused")]
    Refused {
        /// BuildKit's explanation.
        source: BuildFailure,
    },
    /// The BuildKit of this builder does not know what the build asks for, and would build without it.
    #[error("this builder's BuildKit is too old for {what}")]
    TooOld {
        /// What it does not know.
        what: &'static str,
    },
    /// BuildKit's answer is not one that we understand.
    #[error("BuildKit's answer is not understood: {problem}")]
    Unexpected {
        /// The problem of the answer.
        problem: &'static str,
    },
}

/// Finds the innermost cause of an error of the transport: the outer errors say no more than that there is a cause.
pub(crate) fn cause(status: &tonic::Status) -> String {
    let mut cause: &dyn Error = status;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

impl From<tonic::Status> for BuildkitError {
    fn from(status: tonic::Status) -> Self {
        // An error of the transport has a cause; an error of the engine came as a message.
        if status.source().is_some() {
            return Self::Lost { source: status };
        }
        Self::Refused { source: BuildFailure::of_status(&status) }
    }
}

/// Why a build did not succeed. `E` is the error of the caller's own [`crate::Transform`].
#[derive(Debug, thiserror::Error)]
pub enum BuildError<E: Error + 'static = Infallible> {
    /// The build ran and failed, or the engine refused it.
    #[error(transparent)]
    Failed(BuildFailure),
    /// A file of a local directory could not be sent; the build was cancelled.
    #[error("failed to send {} to the engine", path.display())]
    Source {
        /// The file, in full.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The data of an exporter could not be put where it belongs; the build was cancelled.
    #[error("failed to write {}", path.display())]
    Destination {
        /// The receiver's path, as people know it.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An observer of the sent files stopped the build, before a file's end was sent.
    #[error("the build was stopped while {} was being sent", path.display())]
    Stopped {
        /// The local directory's name, such as `context`.
        local: String,
        /// The file, relative to that directory.
        path: PathBuf,
    },
    /// The caller's transformation failed; nothing ran.
    #[error(transparent)]
    Transform(E),
    /// The engine or the connection failed; what the engine did is unknown, and nothing was verified.
    #[error(transparent)]
    Buildkit(#[from] BuildkitError),
}
