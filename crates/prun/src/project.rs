//! The project that a command is about: its name, its manifest, its state and its engine.

use std::path::{Path, PathBuf};

use pcli::FoundManifest;
use pcredential::Ledger;
use pengine::{Endpoint, Engine, Environment, Flags, Safety};

use crate::edge::Edge;
use crate::error::RunError;
use crate::plan;
use crate::plan::request::{Choice, Transport};
use crate::state::{LockedState, State};
use crate::values::generation::Generation;

/// Reads the manifest.
///
/// # Errors
///
/// If it is not valid, or the named file does not exist.
pub(crate) fn manifest(given: Option<&Path>) -> Result<Option<FoundManifest>, RunError> {
    Ok(pcli::find_manifest(given, &[Path::new("")])?)
}

/// Returns the folder in which prun keeps the state of all projects.
#[must_use]
pub(crate) fn folder_of_states() -> Option<PathBuf> {
    pvault::state_folder(&|name| std::env::var_os(name), "prun")
}

/// Connects to an engine that will get secrets.
///
/// # Errors
///
/// [`RunError::Connect`], also if others could read the connection and `transport` forbids that.
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

/// Connects to the engine that docker would use.
///
/// # Errors
///
/// [`RunError::Connect`].
pub(crate) async fn connect() -> Result<Engine, RunError> {
    let endpoint = Endpoint::resolve(&Environment::of_process(), &Flags::default())?;
    Ok(Engine::connect(&endpoint).await?)
}

/// Finds the project's name in the flags or in the manifest.
///
/// # Errors
///
/// If neither names a project, or the manifest is not valid.
pub(crate) fn name_of(choice: &Choice) -> Result<String, RunError> {
    if let Some(name) = choice.name.as_deref() {
        return Ok(plan::project(Some(name), None, "")?.0);
    }
    let found = manifest(choice.config.as_deref())?;
    let named = found.as_ref().and_then(|found| found.manifest.name.as_deref());
    let image = found.as_ref().and_then(|found| found.manifest.image.as_deref());
    match (named, image) {
        (None, None) => Err(RunError::NoProject),
        (named, image) => Ok(plan::project(None, named, image.unwrap_or_default())?.0),
    }
}

/// Reads the state of a project: its services and the generation that runs.
///
/// # Errors
///
/// [`RunError::UnknownProject`] if there is none; errors of the state if it cannot be read.
pub(crate) fn known(name: &str) -> Result<(Ledger, Option<Generation>), RunError> {
    let state = State::of(folder_of_states(), name)?;
    match state.ledger()? {
        Some(ledger) => Ok((ledger, state.generation()?)),
        None => Err(RunError::UnknownProject { project: name.to_owned() }),
    }
}

/// A project that was started once, with its engine.
pub(crate) struct KnownProject {
    /// The project's name.
    pub(crate) name: String,
    /// The engine that docker would use.
    pub(crate) host: Engine,
    /// The sealed state.
    pub(crate) state: State,
}

impl KnownProject {
    /// Finds the project's state and connects to its engine.
    ///
    /// # Errors
    ///
    /// If nothing names a project, or no engine answers.
    pub(crate) async fn find(choice: &Choice, edge: &Edge) -> Result<Self, RunError> {
        let name = name_of(choice)?;
        let state = State::of(folder_of_states(), &name)?;
        let host = edge.cancellation.unless_cancelled(connect()).await??;
        Ok(Self { name, host, state })
    }

    /// Reads its services and the generation that runs.
    ///
    /// # Errors
    ///
    /// [`RunError::NotStarted`] if there is neither.
    pub(crate) fn open(&self, locked: &LockedState<'_>) -> Result<(Ledger, Generation), RunError> {
        match (locked.ledger()?, self.state.generation()?) {
            (Some(ledger), Some(generation)) => Ok((ledger, generation)),
            (None, _) | (_, None) => Err(RunError::NotStarted { project: self.name.clone() }),
        }
    }
}
