//! The state of an older version of prun, which kept it in a folder of this user. It is taken over only on the engine
//! that it describes.

use std::path::{Path, PathBuf};

use pcredential::{Ledger, Phase};
use pengine::Engine;
use pvault::{Identity, SealedFile};

use crate::engine::containers;
use crate::error::RunError;
use crate::names::Project;
use crate::service;
use crate::state::error::StateError;
use crate::values::generation::Generation;

const LEDGER: &str = "services.age";
const GENERATION: &str = "generation.age";

/// The folder in which an older prun kept the state of one project.
pub(crate) struct Earlier {
    folder: PathBuf,
    ledger: SealedFile,
    generation: SealedFile,
}

impl Earlier {
    /// Finds the folder of a project. Returns `None` if there is no such folder.
    ///
    /// # Errors
    ///
    /// Returns an error if the files in it belong to another user.
    pub(crate) fn find(states: Option<&Path>, project: &str) -> Result<Option<Self>, RunError> {
        let Some(folder) = states.map(|states| states.join(project)).filter(|folder| folder.join(LEDGER).exists())
        else {
            return Ok(None);
        };
        let (ledger, generation) =
            (SealedFile::open(&folder.join(LEDGER))?, SealedFile::open(&folder.join(GENERATION))?);
        Ok(Some(Self { folder, ledger, generation }))
    }

    /// Reads the state. Returns `None` if nothing on this engine carries the project's mark, since the state then
    /// describes another engine.
    ///
    /// # Errors
    ///
    /// Returns an error if the state cannot be opened, and [`StateError::EarlierOfAnotherEngine`] if a service that
    /// runs on this engine refuses its sealed credential.
    pub(crate) async fn read(
        &self,
        host: &Engine,
        identity: &Identity,
    ) -> Result<Option<(Ledger, Option<Generation>)>, RunError> {
        let Some(ledger) = self.ledger.read(identity)? else { return Ok(None) };
        let ledger = Ledger::open(&ledger)?;
        let project = Project::new(ledger.project(), ledger.owner());
        let running = containers::list(host, &project).await?;
        if running.is_empty() && containers::volumes(host, &project).await?.is_empty() {
            return Ok(None);
        }
        for known in ledger.services().iter().filter(|service| service.phase() == Phase::Proven) {
            let container = project.service(known.name());
            let runs = containers::inspect(host, &project, &container).await?;
            if runs.is_some_and(|container| containers::is_running(&container))
                && service::refuses(host, &project, known).await?
            {
                let folder = self.folder.display().to_string();
                return Err(StateError::EarlierOfAnotherEngine { folder, service: known.name().to_owned() }.into());
            }
        }
        let generation = self.generation.read(identity)?.map(|sealed| Generation::open(&sealed)).transpose()?;
        Ok(Some((ledger, generation)))
    }
}
