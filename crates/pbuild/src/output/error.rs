//! The errors of outputs: reasons why a result cannot go to its destination.

use std::path::PathBuf;

/// A reason why an output is not possible. Each message names the flag.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// The value does not follow the grammar.
    #[error("invalid --output {0:?}: write a folder, `-`, or type=TYPE with NAME=VALUE pairs between commas")]
    Format(String),
    /// The type does not exist.
    #[error("invalid --output: there is no type {0:?}")]
    Kind(String),
    /// The value has pairs but no `type=`.
    #[error("invalid --output {0:?}: type is required")]
    NoKind(String),
    /// The type needs a destination, and the flag names none.
    #[error("--output type={0}: dest is required")]
    NoDestination(&'static str),
    /// The result of this type is a tree, which cannot go to standard output.
    #[error("--output type={0}: dest cannot be standard output")]
    NotToOutput(&'static str),
    /// Standard output is a terminal, which must not get an archive.
    #[error("--output type={0}: standard output is a terminal; write dest=FILE")]
    Terminal(&'static str),
    /// Two results would go to standard output.
    #[error("--output: two results cannot both go to standard output")]
    OutputTwice,
    /// The destination's folder does not exist, or the destination cannot be written to.
    #[error("--output dest={}", path.display())]
    Destination {
        /// The path as the user wrote it.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// An image is to be pushed, and it has no name.
    #[error("tag is needed when pushing to registry")]
    NoName,
    /// The builder has no engine that could keep the image.
    #[error("--output type=image: builder `{0}` has no engine that keeps the image; add push=true, or use --load")]
    NoStore(String),
    /// A docker engine pushes an image only under a name.
    #[error("--output push-by-digest=true: a docker engine pushes under a name only")]
    ByDigest,
    /// An output of several nodes would have to be joined, and its kind cannot be.
    #[error("--output {0}: what several nodes of the builder make cannot be joined there")]
    NotJoined(String),
    /// A result that was received cannot be read for the search.
    #[error("failed to search --output {place}")]
    Search {
        /// The destination.
        place: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A result cannot be written to its destination.
    #[error("failed to write --output {place}")]
    Write {
        /// The destination.
        place: String,
        /// The cause.
        source: std::io::Error,
    },
}
