//! The project that a command is about: its name, its manifest, its state and its engine.

use std::path::{Path, PathBuf};

use pcli::FoundManifest;
use pcredential::Ledger;
use pengine::{Endpoint, Engine, Environment, Flags, Safety};

use crate::edge::Edge;
use crate::error::RunError;
use crate::plan;
use crate::state::{Locked, State};
use crate::values::generation::Generation;

/// How the user says which project a command is about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice<'a> {
    /// The project's name.
    pub(crate) name: Option<&'a str>,
    /// The manifest that names it.
    pub(crate) config: Option<&'a Path>,
}

/// Which connections to an engine may carry secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Every one; one that others can read is warned about.
    Any,
    /// Only one that nobody on the way can read.
    Private,
}

/// Reads the manifest.
///
/// # Errors
///
/// When it is broken, or the named one is not there.
pub(crate) fn manifest(given: Option<&Path>) -> Result<Option<FoundManifest>, RunError> {
    Ok(pcli::find_manifest(given, &[Path::new("")])?)
}

/// Where prun keeps the state of projects.
#[must_use]
pub(crate) fn folder_of_states() -> Option<PathBuf> {
    pvault::state_folder(&|name| std::env::var_os(name), "prun")
}

/// Connects to hand over secrets: says when everybody on the way could read them, or refuses to.
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

/// The project that is meant, by flag or manifest.
///
/// # Errors
///
/// When neither names one, or the manifest is broken.
pub(crate) fn name_of(choice: Choice<'_>) -> Result<String, RunError> {
    if let Some(name) = choice.name {
        return Ok(plan::project(Some(name), None, "")?.0);
    }
    let found = manifest(choice.config)?;
    let named = found.as_ref().and_then(|found| found.manifest.name.as_deref());
    let image = found.as_ref().and_then(|found| found.manifest.image.as_deref());
    match (named, image) {
        (None, None) => Err(RunError::NoProject),
        (named, image) => Ok(plan::project(None, named, image.unwrap_or_default())?.0),
    }
}

/// What is known of a project that was started once.
///
/// # Errors
///
/// [`RunError::UnknownProject`] when it never was; when its state cannot be read.
pub(crate) fn known(name: &str) -> Result<(Ledger, Option<Generation>), RunError> {
    let state = State::of(folder_of_states(), name)?;
    match state.ledger()? {
        Some(ledger) => Ok((ledger, state.generation()?)),
        None => Err(RunError::UnknownProject { project: name.to_owned() }),
    }
}

/// A project that was started once, with its engine.
pub(crate) struct Known {
    /// The project's name.
    pub(crate) name: String,
    /// The engine that docker would use.
    pub(crate) host: Engine,
    /// The sealed state.
    pub(crate) state: State,
}

impl Known {
    /// Finds the project's state and connects to its engine.
    ///
    /// # Errors
    ///
    /// When nothing names a project, or no engine answers.
    pub(crate) async fn find(choice: Choice<'_>, edge: &Edge) -> Result<Self, RunError> {
        let name = name_of(choice)?;
        let state = State::of(folder_of_states(), &name)?;
        let host = edge.cancellation.unless_cancelled(connect()).await??;
        Ok(Self { name, host, state })
    }

    /// Reads its services and what its instances run with.
    ///
    /// # Errors
    ///
    /// [`RunError::NotStarted`] when it was never started.
    pub(crate) fn open(&self, locked: &Locked<'_>) -> Result<(Ledger, Generation), RunError> {
        match (locked.ledger()?, self.state.generation()?) {
            (Some(ledger), Some(generation)) => Ok((ledger, generation)),
            (None, _) | (_, None) => Err(RunError::NotStarted { project: self.name.clone() }),
        }
    }
}
