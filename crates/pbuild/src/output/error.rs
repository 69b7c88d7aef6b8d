//! Why a result cannot go where the flags send it.

use std::path::PathBuf;

/// An output that is not possible. Each message names the flag.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// The value does not follow the grammar.
    #[error("invalid --output {0:?}: write a folder, `-`, or type=TYPE with NAME=VALUE pairs between commas")]
    Format(String),
    /// No such type.
    #[error("invalid --output: there is no type {0:?}")]
    Kind(String),
    /// Pairs without `type=`.
    #[error("invalid --output {0:?}: type is required")]
    NoKind(String),
    /// A type that needs a destination has none.
    #[error("--output type={0}: dest is required")]
    NoDestination(&'static str),
    /// A tree cannot be standard output.
    #[error("--output type={0}: dest cannot be standard output")]
    NotToOutput(&'static str),
    /// A terminal is no place for an archive.
    #[error("--output type={0}: standard output is a terminal; write dest=FILE")]
    Terminal(&'static str),
    /// Two outputs, one standard output.
    #[error("--output: two results cannot both go to standard output")]
    OutputTwice,
    /// The destination's folder is missing, or it cannot be written to.
    #[error("--output dest={}", path.display())]
    Destination {
        /// The path as given.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A push without a name.
    #[error("tag is needed when pushing to registry")]
    NoName,
    /// A builder without an engine is asked to keep an image.
    #[error("--output type=image: builder `{0}` has no engine that keeps the image; add push=true, or use --load")]
    NoStore(String),
    /// The engine pushes under names alone.
    #[error("--output push-by-digest=true: a docker engine pushes under a name only")]
    ByDigest,
    /// A result that several nodes make in parts, which cannot be joined.
    #[error("--output {0}: what several nodes of the builder make cannot be joined there")]
    NotJoined(String),
    /// A result that was received cannot be searched.
    #[error("failed to search --output {place}")]
    Search {
        /// The place.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// A result cannot be written to its place.
    #[error("failed to write --output {place}")]
    Write {
        /// The place.
        place: String,
        /// Why.
        source: std::io::Error,
    },
}
