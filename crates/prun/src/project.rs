//! The project that a command is about: its name, its manifest, its state and its engine.

use std::path::{Path, PathBuf};

use pcli::FoundManifest;
use pcredential::Ledger;
use pengine::{Endpoint, Engine, Environment, Flags, Safety};

use crate::edge::{Edge, Failure};
use crate::error::RunError;
use crate::names::Project;
use crate::plan;
use crate::plan::request::{Choice, Transport};
use crate::state::caller::Caller;
use crate::state::document::Document;
use crate::state::{Closed, LockedState, State};
use crate::values::generation::Generation;

/// Finds and reads the manifest. Returns `None` if there is none and no file was named.
///
/// # Errors
///
/// Returns an error if the manifest is not valid, or if the named file does not exist.
pub(crate) fn manifest(given: Option<&Path>) -> Result<Option<FoundManifest>, RunError> {
    Ok(pcli::find_manifest(given, &[Path::new("")])?)
}

/// Connects to an engine that will get secrets.
///
/// # Errors
///
/// Returns [`RunError::Connect`] if no engine answers, or if others could read the connection and `transport` does
/// not allow that.
pub(crate) async fn connect_to_deliver(transport: Transport, edge: &Edge) -> Result<Engine, RunError> {
    let endpoint = Endpoint::resolve(&Environment::of_process(), &Flags::default())?;
    if transport == Transport::Private {
        endpoint.require_private()?;
    }
    if endpoint.safety() == Safety::Plaintext {
        edge.stderr.warning("the engine is reached over plain TCP: everybody on the way can read the secrets");
    }
    Ok(Engine::connect(&endpoint).await?)
}

/// Connects to the engine that docker's client would use.
///
/// # Errors
///
/// Returns [`RunError::Connect`].
pub(crate) async fn connect() -> Result<Engine, RunError> {
    let endpoint = Endpoint::resolve(&Environment::of_process(), &Flags::default())?;
    Ok(Engine::connect(&endpoint).await?)
}

/// The project that a command line chooses.
#[derive(Clone, Debug)]
pub(crate) struct NamedProject {
    /// The project's name.
    pub(crate) name: String,
    /// The folder of the manifest that names the project; `None` if a flag names it.
    pub(crate) folder: Option<PathBuf>,
}

/// Finds the project's name in the flags or in the manifest.
///
/// # Errors
///
/// Returns an error if neither names a project, or if the manifest is not valid.
pub(crate) fn name_of(choice: &Choice) -> Result<NamedProject, RunError> {
    if let Some(name) = choice.name.as_deref() {
        return Ok(NamedProject { name: plan::project(Some(name), None, "")?.0, folder: None });
    }
    let found = manifest(choice.config.as_deref())?;
    let named = found.as_ref().and_then(|found| found.manifest.name.as_deref());
    let image = found.as_ref().and_then(|found| found.manifest.image.as_deref());
    match (named, image) {
        (None, None) => Err(RunError::NoProject),
        (named, image) => {
            let name = plan::project(None, named, image.unwrap_or_default())?.0;
            Ok(NamedProject { name, folder: found.map(|found| found.directory().to_owned()) })
        }
    }
}

/// A project, its engine and its state.
pub(crate) struct KnownProject {
    /// The project's name.
    pub(crate) name: String,
    /// The engine that docker's client would use.
    pub(crate) host: Engine,
    /// The sealed state.
    pub(crate) state: State,
}

impl KnownProject {
    /// Connects to the engine of the project that the command line chooses.
    ///
    /// # Errors
    ///
    /// Returns an error if nothing names a project, or if no engine answers.
    pub(crate) async fn find(choice: &Choice, edge: &Edge) -> Result<Self, RunError> {
        let named = name_of(choice)?;
        let host = edge.cancellation.unless_cancelled(connect()).await??;
        let state = State::of(&host, &named.name, Caller::of_process(named.folder.as_deref()));
        Ok(Self { name: named.name, host, state })
    }

    /// Reads the state.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::UnknownProject`] if there is no state, and the errors of [`State::read`].
    pub(crate) async fn read(&self) -> Result<Document, RunError> {
        self.state.read().await?.ok_or_else(|| self.unknown())
    }

    /// Reads the state for a command that hands out values.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`KnownProject::read`] and of [`State::read_own`].
    pub(crate) async fn read_own(&self) -> Result<Document, RunError> {
        self.state.read_own().await?.ok_or_else(|| self.unknown())
    }

    /// Finds the project on the engine by its labels, without opening its state.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::UnknownProject`] if the engine has nothing of the project.
    pub(crate) async fn project(&self) -> Result<Project, RunError> {
        self.state.project().await?.ok_or_else(|| self.unknown())
    }

    /// Runs `work` under the project's lock, and releases the lock at the end. An unknown project is refused before
    /// the lock is taken, because taking it would create a volume.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::UnknownProject`], and the errors of [`State::locked`] and of `work`.
    pub(crate) async fn locked<T>(
        &self,
        edge: &Edge,
        closed: Closed,
        work: impl AsyncFnOnce(&LockedState<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.project().await?;
        self.state.locked(edge, closed, work).await
    }

    /// Returns the ledger of services and the generation that runs.
    ///
    /// # Errors
    ///
    /// Returns [`RunError::NotStarted`] if the state lacks one of them.
    pub(crate) fn open(&self, locked: &LockedState<'_>) -> Result<(Ledger, Generation), RunError> {
        match (locked.ledger()?, locked.generation()?) {
            (Some(ledger), Some(generation)) => Ok((ledger, generation)),
            (None, _) | (_, None) => Err(RunError::NotStarted { project: self.name.clone() }),
        }
    }

    fn unknown(&self) -> RunError {
        RunError::UnknownProject { project: self.name.clone() }
    }
}
