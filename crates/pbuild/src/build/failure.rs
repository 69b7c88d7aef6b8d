//! The reasons for which a build ends without its result, as plain facts.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;

use pbuildkit::{BuildError, BuildkitError};
use pllb::SourceLines;
use pproof::GraphError;
use pscan::Report;
use pscreen::progress::FailedStep;

use super::context::ContextLeak;
use super::doubt::Doubts;
use super::injection::{Injection, InjectionError};
use super::leftovers::Removed;
use crate::audit::registry::RegistryError;
use crate::output::OutputError;
use crate::plan::{ImageName, LeakedCache};

/// The reasons why a build cannot begin on this engine.
#[derive(Debug)]
pub(crate) enum PreparationError {
    /// The engine does not know the address of `host-gateway`.
    NoGateway,
    /// The engine did not say how it keeps images.
    ImageStore(bollard::errors::Error),
    /// The engine's image store does not support this feature.
    NotInThisStore(String),
    /// The engine cannot make an archive while it also stores the image.
    ArchiveAndStore(String),
    /// The engine's image store does not export caches of this kind.
    CacheNotInThisStore(String),
    /// An annotation of an index, and the engine's image store keeps images without one.
    NoIndex,
    /// The engine's BuildKit makes only one output at a time.
    SeveralOutputs,
    /// The builder itself keeps or pushes the image, so pbuild could not search this part of the result.
    NotProvable(NotProvable),
    /// There is no space for the archive that the engine loads.
    NoRoom(OutputError),
    /// A file of an earlier build cannot be removed.
    Stale {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// A part of a result that can only be searched in an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotProvable {
    /// Layers whose files are hidden below later layers of a base.
    HiddenLayers,
    /// Attestations, which the builder makes after the search in the builder.
    Attestations,
    /// Caches, which pbuild searches after the builder has already delivered the image.
    Caches,
}

/// The reasons why a clean result could not be delivered. The parts that were delivered before the error stay.
#[derive(Debug)]
pub(crate) enum DeliveryError {
    /// There is no engine that could give the image its name.
    NoEngine,
    /// The engine did not report the ID of the image that it built.
    NoImage,
    /// The engine did not accept a name for the image.
    Naming {
        /// The name.
        name: ImageName,
        /// The cause.
        source: bollard::errors::Error,
    },
    /// A file that describes the result cannot be written.
    ResultFile {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The index of an image that several nodes built could not be written.
    Index {
        /// The image's name.
        name: ImageName,
        /// Why.
        source: RegistryError,
    },
    /// The tag of a cache could not be written into its folder.
    CacheFolder {
        /// The folder.
        folder: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The reasons why a result is not delivered after a search.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Files of the context hold secrets.
    Context(Vec<ContextLeak>),
    /// The image holds secrets.
    Image(Box<LeakingImage>),
    /// Files that the build made hold secrets.
    Files(Box<Report>, Cleanup),
    /// A cache that would be exported holds secrets.
    Cache(Box<LeakingCache>),
    /// Something could not be searched.
    Incomplete(Box<Report>),
    /// A part of a cache could not be searched.
    IncompleteCache(Box<Report>),
    /// Steps may have got other values. No search is possible for values that this build does not know.
    Doubtful(Doubts),
}

/// An image that holds secrets.
#[derive(Debug)]
pub(crate) struct LeakingImage {
    /// The findings.
    pub(super) report: Report,
    /// The image's platform, if the build makes several images and the report is about one of them.
    pub(super) platform: Option<String>,
    /// The origin of each finding, in the report's order.
    pub(super) origins: Vec<Origin>,
    /// What was removed of the image and of its cache records.
    pub(super) cleanup: Cleanup,
}

/// A cache that would be exported and holds secrets.
#[derive(Debug)]
pub(crate) struct LeakingCache {
    /// The destination of the cache.
    pub(super) destination: String,
    /// The findings.
    pub(super) report: Report,
    /// The origin of each finding, in the report's order.
    pub(super) origins: Vec<Origin>,
    /// For each finding, the steps that may have written it, if it is not known which of them did.
    pub(super) candidates: Vec<Vec<SourceLines>>,
    /// What was removed of the image and of its cache records.
    pub(super) cleanup: Cleanup,
}

/// The origin of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The step of this build that has these lines of the Dockerfile.
    Step(SourceLines),
    /// The base image.
    Base,
    /// The origin is not known.
    Unknown,
}

impl Origin {
    /// Returns whether a step of this build is the origin.
    pub(super) fn is_step(&self) -> bool {
        match self {
            Self::Step(_) => true,
            Self::Base | Self::Unknown => false,
        }
    }
}

/// What was removed of a refused build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cleanup {
    /// The numbers of removed leftovers.
    pub(super) removed: Removed,
    /// Whether the user wanted to keep the cache records.
    pub(super) cache: LeakedCache,
}

/// A build that the engine or the guard ended, with the facts about the step that failed.
#[derive(Debug)]
pub(crate) struct BrokenBuild {
    pub(super) error: BuildError<InjectionError>,
    /// The lines of the Dockerfile that the step was made from.
    pub(super) lines: Option<SourceLines>,
    /// The failed step as the screen showed it, with the end of its log.
    pub(super) step: Option<FailedStep>,
    /// The name of a given secret that differs from the name of the missing secret only in upper and lower case.
    pub(super) similar: Option<String>,
}

impl BrokenBuild {
    /// Wraps the error of a build whose steps were not observed.
    pub(crate) fn unseen(error: BuildError) -> Self {
        Self { error: widened(error, |never| match never {}), lines: None, step: None, similar: None }
    }

    /// Wraps the error of a build without an injection. `step` is the step that failed on the screen.
    pub(super) fn uninjected(error: BuildError<InjectionError>, step: Option<FailedStep>) -> Self {
        Self { error, lines: None, step, similar: None }
    }

    /// Wraps the error of a build with an injection, and adds the lines of the Dockerfile that the failed step was
    /// made from.
    pub(super) fn injected(error: BuildError<InjectionError>, injection: &Injection, step: Option<FailedStep>) -> Self {
        // Engines from before 2021 do not name the step that an error is about, so the step that failed on the screen
        // is used.
        let of_error = match &error {
            BuildError::Failed(failure) => failure.vertex.as_deref(),
            BuildError::Source { .. }
            | BuildError::Destination { .. }
            | BuildError::Stopped { .. }
            | BuildError::Transform(_)
            | BuildError::Buildkit(_) => None,
        };
        let vertex = of_error.or_else(|| step.as_ref().map(|step| step.id.as_str()));
        let lines = vertex.and_then(|vertex| injection.graph().lines(vertex)).cloned();
        Self { error, lines, step, similar: None }
    }

    /// Notes a similar name among the given secrets, if the build failed because a required secret was not given.
    pub(super) fn given<'a>(mut self, mut names: impl Iterator<Item = &'a str>) -> Self {
        if let BuildError::Transform(InjectionError::Graph(GraphError::Required { id, .. })) = &self.error {
            self.similar = names.find(|name| name.eq_ignore_ascii_case(id)).map(str::to_owned);
        }
        self
    }
}

/// Separates the errors of a look at a build graph: an error of the build is wrapped as a [`BrokenBuild`].
///
/// # Errors
/// Returns the error of the look itself.
pub(crate) fn of_look<E: std::error::Error + 'static>(error: BuildError<E>) -> Result<BrokenBuild, E> {
    match error {
        BuildError::Transform(error) => Err(error),
        BuildError::Failed(failure) => Ok(BrokenBuild::unseen(BuildError::Failed(failure))),
        BuildError::Source { path, source } => Ok(BrokenBuild::unseen(BuildError::Source { path, source })),
        BuildError::Destination { path, source } => Ok(BrokenBuild::unseen(BuildError::Destination { path, source })),
        BuildError::Stopped { local, path } => Ok(BrokenBuild::unseen(BuildError::Stopped { local, path })),
        BuildError::Buildkit(error) => Ok(BrokenBuild::unseen(BuildError::Buildkit(error))),
    }
}

/// Converts the error of a build without a transformation. `never` converts the error that cannot happen.
pub(super) fn widened(error: BuildError, never: impl Fn(Infallible) -> InjectionError) -> BuildError<InjectionError> {
    match error {
        BuildError::Transform(error) => BuildError::Transform(never(error)),
        BuildError::Failed(failure) => BuildError::Failed(failure),
        BuildError::Source { path, source } => BuildError::Source { path, source },
        BuildError::Destination { path, source } => BuildError::Destination { path, source },
        BuildError::Stopped { local, path } => BuildError::Stopped { local, path },
        BuildError::Buildkit(error) => BuildError::Buildkit(error),
    }
}

impl From<BuildkitError> for BrokenBuild {
    fn from(error: BuildkitError) -> Self {
        Self::unseen(BuildError::Buildkit(error))
    }
}
