//! The errors of a build, with one variant for each person who must act.

use std::convert::Infallible;
use std::error::Error;
use std::path::PathBuf;

use pengine::EngineError;

use crate::failure::BuildFailure;

/// The reason why a request to BuildKit failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildkitError {
    /// The engine did not hand over a connection.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The engine is Podman, which has docker's API but no BuildKit.
    #[error("{engine} has no BuildKit")]
    Podman {
        /// A description of the engine for people.
        engine: String,
    },
    /// The builder's address ended the connection, or does not speak BuildKit's protocol.
    #[error("builder {builder} does not answer as BuildKit: {why}")]
    NoAnswer {
        /// A description of the builder for people.
        builder: String,
        /// The last words of the program that carries the connection, or else the error of the transport.
        why: String,
    },
    /// The connection broke, so the state of the request is unknown.
    #[error("the connection to BuildKit broke")]
    Lost {
        /// The reason, as far as the transport knows it.
        source: tonic::Status,
    },
    /// BuildKit answered with an error.
    #[error("BuildKit refused")]
    Refused {
        /// BuildKit's explanation.
        source: BuildFailure,
    },
    /// The builder's BuildKit does not have a feature that the build requires. It would ignore the feature instead of
    /// failing.
    #[error("this builder's BuildKit is too old for {what}")]
    TooOld {
        /// The missing feature.
        what: &'static str,
    },
    /// The answer has a form that this client does not understand.
    #[error("BuildKit's answer is not understood: {problem}")]
    Unexpected {
        /// The problem of the answer.
        problem: &'static str,
    },
}

/// Finds the innermost cause of an error of the transport. The outer errors only say that there is a cause.
pub(crate) fn cause(status: &tonic::Status) -> String {
    let mut cause: &dyn Error = status;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

impl From<tonic::Status> for BuildkitError {
    fn from(status: tonic::Status) -> Self {
        // An error of the transport has a source. An error of the engine is a message without one.
        if status.source().is_some() {
            return Self::Lost { source: status };
        }
        Self::Refused { source: BuildFailure::of_status(&status) }
    }
}

/// The reason why a build failed. `E` is the error of the caller's own [`crate::Transform`].
#[derive(Debug, thiserror::Error)]
pub enum BuildError<E: Error + 'static = Infallible> {
    /// The build ran and failed, or the engine refused it.
    #[error(transparent)]
    Failed(BuildFailure),
    /// A file of a local directory could not be sent; the build was cancelled.
    #[error("failed to send {} to the engine", path.display())]
    Source {
        /// The whole path of the file.
        path: PathBuf,
        /// The reason why the file cannot be read.
        source: std::io::Error,
    },
    /// The data of an exporter could not be written to its destination; the build was cancelled.
    #[error("failed to write {}", path.display())]
    Destination {
        /// The path of the destination, as messages show it.
        path: PathBuf,
        /// The reason why the data cannot be written.
        source: std::io::Error,
    },
    /// The observer of the sent files stopped the build before the end of a file was sent.
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
    /// The engine or the connection failed. It is unknown what the engine did, and nothing was verified.
    #[error(transparent)]
    Buildkit(#[from] BuildkitError),
}
