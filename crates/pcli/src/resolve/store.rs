//! The sealed store as a source of values.

use psecret::{Inputs, SecretName, Store, UserSecret};

use super::ResolveError;
use crate::{FoundManifest, ProjectStore, SealedError, sealed};

/// The project's sealed store. It is opened when the first secret is looked up, so a command that needs nothing from
/// the store needs no identity.
pub(super) struct LazyStore<'a> {
    manifest: Option<&'a FoundManifest>,
    state: State,
}

enum State {
    /// No secret was looked up yet.
    Unopened,
    /// The project has no store, or its error was returned already.
    Absent,
    /// The content of the store, without the secrets that were already taken.
    Open(Store),
    /// The store is not sealed for the user who runs this command.
    Closed(SealedError),
}

impl<'a> LazyStore<'a> {
    pub(super) fn new(manifest: Option<&'a FoundManifest>) -> Self {
        Self { manifest, state: State::Unopened }
    }

    /// Removes and returns a secret. If the store is closed to this user and the secret is needed, this is an error,
    /// because the store may have a value that wins over the process environment. A damaged store is always an error.
    pub(super) fn take(
        &mut self,
        name: &SecretName,
        needed: bool,
        inputs: &Inputs<'_>,
    ) -> Result<Option<UserSecret>, ResolveError> {
        if matches!(self.state, State::Unopened) {
            self.state = open(self.manifest, inputs)?;
        }
        match &mut self.state {
            State::Open(store) => Ok(store.take(name)),
            State::Closed(_) if needed => match std::mem::replace(&mut self.state, State::Absent) {
                State::Closed(error) => Err(error.into()),
                _ => Ok(None),
            },
            State::Unopened | State::Absent | State::Closed(_) => Ok(None),
        }
    }

    /// Returns true if the project has a store.
    pub(super) fn exists(&self) -> bool {
        matches!(self.state, State::Open(_) | State::Closed(_))
    }

    /// Returns a warning if the store stayed closed to this user.
    pub(super) fn into_warning(self) -> Option<String> {
        match self.state {
            State::Closed(error) => Some(format!("the sealed store is not used: {error}")),
            State::Unopened | State::Absent | State::Open(_) => None,
        }
    }
}

fn open(manifest: Option<&FoundManifest>, inputs: &Inputs<'_>) -> Result<State, SealedError> {
    let Some(manifest) = manifest else { return Ok(State::Absent) };
    let environment = inputs.environment();
    let store = ProjectStore::beside(manifest.directory(), environment)?;
    if !store.exists() {
        return Ok(State::Absent);
    }
    match sealed::identity(environment).and_then(|identity| store.read(&identity)) {
        Ok(store) => Ok(State::Open(store)),
        Err(error) if error.is_closed() => Ok(State::Closed(error)),
        Err(error) => Err(error),
    }
}
