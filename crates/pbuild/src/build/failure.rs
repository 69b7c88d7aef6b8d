//! The ways in which a build ends without its result, as plain facts.

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

/// A build that cannot begin on this engine.
#[derive(Debug)]
pub(crate) enum PreparationError {
    /// The engine does not know the address of `host-gateway`.
    NoGateway,
    /// The engine did not say how it keeps images.
    ImageStore(bollard::errors::Error),
    /// The engine's image store cannot do this.
    NotInThisStore(String),
    /// An archive cannot be made together with the image of the engine's own store.
    ArchiveAndStore(String),
    /// The engine's image store exports no cache of this kind.
    CacheNotInThisStore(String),
    /// The engine's BuildKit has one output at a time.
    SeveralOutputs,
    /// The builder itself keeps or pushes the image, so this could not be searched.
    NotProvable(NotProvable),
    /// There is no room for the archive that the engine loads.
    NoRoom(OutputError),
    /// A file of an earlier build cannot be removed.
    Stale {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Something that only an export could be searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotProvable {
    /// The layers that a base hides.
    HiddenLayers,
    /// Attestations, which come into being after the search in the builder.
    Attestations,
    /// Caches, which are searched when the builder has delivered the image.
    Caches,
}

/// A clean result that could not be delivered. The parts that were delivered before the error stay.
#[derive(Debug)]
pub(crate) enum DeliveryError {
    /// The image has no engine that could name it.
    NoEngine,
    /// The engine did not say which image it built.
    NoImage,
    /// The engine did not take a name.
    Naming {
        /// The name.
        name: ImageName,
        /// Why.
        source: bollard::errors::Error,
    },
    /// A file that says what was built cannot be written.
    ResultFile {
        /// The flag that names the file.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The index of an image that several nodes built could not be written.
    Index {
        /// The image's name.
        name: ImageName,
        /// Why.
        source: RegistryError,
    },
    /// A cache in a folder got no tag.
    CacheFolder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A result that goes nowhere, because of what the search found.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Files of the context hold secrets.
    Context(Vec<ContextLeak>),
    /// The image holds secrets.
    Image(Box<LeakingImage>),
    /// Files that came of the build hold secrets.
    Files(Box<Report>, Cleanup),
    /// A cache that would be exported holds secrets.
    Cache(Box<LeakingCache>),
    /// Something could not be searched.
    Incomplete(Box<Report>),
    /// Something of a cache could not be searched.
    IncompleteCache(Box<Report>),
    /// Steps may have got other values, which nobody can search for.
    Doubtful(Doubts),
}

/// An image that holds secrets.
#[derive(Debug)]
pub(crate) struct LeakingImage {
    /// The findings.
    pub(super) report: Report,
    /// The image's platform, where the build makes several images and the report is about one.
    pub(super) platform: Option<String>,
    /// The origin of each finding, in the report's order.
    pub(super) origins: Vec<Origin>,
    /// The end of the image and of its cache records.
    pub(super) cleanup: Cleanup,
}

/// A cache that would be exported and holds secrets.
#[derive(Debug)]
pub(crate) struct LeakingCache {
    /// Where the cache would have gone.
    pub(super) destination: String,
    /// The findings.
    pub(super) report: Report,
    /// The origin of each finding, in the report's order.
    pub(super) origins: Vec<Origin>,
    /// For each finding, the steps that may have written it, where it is not known which.
    pub(super) candidates: Vec<Vec<SourceLines>>,
    /// The end of the image and of its cache records.
    pub(super) cleanup: Cleanup,
}

/// The origin of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A step of this build, by its lines of the Dockerfile.
    Step(SourceLines),
    /// The base image.
    Base,
    /// Nothing that this build knows of.
    Unknown,
}

impl Origin {
    /// Whether a step of this build wrote it.
    pub(super) fn is_step(&self) -> bool {
        match self {
            Self::Step(_) => true,
            Self::Base | Self::Unknown => false,
        }
    }
}

/// The end of the leftovers of a refused build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cleanup {
    /// How many leftovers were removed.
    pub(super) removed: Removed,
    /// Whether the user wanted to keep the cache records.
    pub(super) cache: LeakedCache,
}

/// A build that the engine or the guard ended, and what is known of the step that failed.
#[derive(Debug)]
pub(crate) struct BrokenBuild {
    pub(super) error: BuildError<InjectionError>,
    /// The lines of the Dockerfile that made the step.
    pub(super) lines: Option<SourceLines>,
    /// The step as the screen saw it, with the end of its log.
    pub(super) step: Option<FailedStep>,
    /// A name among the given secrets that differs from the missing secret's in case alone.
    pub(super) similar: Option<String>,
}

impl BrokenBuild {
    /// Wraps the error of a build of which nobody saw the steps.
    pub(crate) fn unseen(error: BuildError) -> Self {
        Self { error: widened(error, |never| match never {}), lines: None, step: None, similar: None }
    }

    /// Wraps the error of a build into whose graph nothing was injected, with the step that the screen saw fail.
    pub(super) fn uninjected(error: BuildError<InjectionError>, step: Option<FailedStep>) -> Self {
        Self { error, lines: None, step, similar: None }
    }

    /// Wraps the error of a build whose graph went through an injection, with the lines of the Dockerfile that made the
    /// failed step.
    pub(super) fn injected(error: BuildError<InjectionError>, injection: &Injection, step: Option<FailedStep>) -> Self {
        // Engines of before 2021 do not say which step an error is about; the screen saw it fail.
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

/// Splits an error of a build whose graph was only looked at: its own error, or one of the build.
///
/// # Errors
/// The error of the look.
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

/// Widens the error of a build without a transformation.
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
