//! The sealed state of a project: the ledger of its services, and the generation that its instances run with.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pcredential::Ledger;
use pvault::{Identity, LockedFile, SealedFile, VaultError};

use crate::edge::Edge;
use crate::error::RunError;
use crate::values::generation::Generation;

const LEDGER: &str = "services.age";
const GENERATION: &str = "generation.age";
const IDENTITY: &str = "identity.txt";

/// How long a command waits for the lock.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits before it says so.
const SILENCE: Duration = Duration::from_millis(500);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// The files of a project's state, and the key that opens them.
///
/// Reading creates nothing. The folder and the key are created when something is sealed for the first time.
pub(crate) struct State {
    key: PathBuf,
    ledger: SealedFile,
    generation: SealedFile,
}

impl State {
    /// Finds the state of a project in the folder of all states (`$XDG_STATE_HOME/prun`).
    ///
    /// # Errors
    ///
    /// [`RunError::NoStateFolder`] if the environment names no folder; those of [`pvault`] for files of other users.
    pub(crate) fn of(folder: Option<PathBuf>, project: &str) -> Result<Self, RunError> {
        let Some(root) = folder else {
            return Err(RunError::NoStateFolder);
        };
        let folder = root.join(project);
        Ok(Self {
            ledger: SealedFile::open(&folder.join(LEDGER))?,
            generation: SealedFile::open(&folder.join(GENERATION))?,
            key: root.join(IDENTITY),
        })
    }

    /// Reads the ledger, without a lock.
    ///
    /// # Errors
    ///
    /// If it exists and cannot be read.
    pub(crate) fn ledger(&self) -> Result<Option<Ledger>, RunError> {
        if !self.ledger.path().exists() && !self.ledger.backup().exists() {
            return Ok(None);
        }
        let sealed = self.ledger.read(&Identity::load(&self.key)?)?;
        sealed.map(|sealed| Ledger::open(&sealed)).transpose().map_err(RunError::from)
    }

    /// Reads the generation that instances run with, without a lock.
    ///
    /// # Errors
    ///
    /// If it exists and cannot be read.
    pub(crate) fn generation(&self) -> Result<Option<Generation>, RunError> {
        if !self.generation.path().exists() && !self.generation.backup().exists() {
            return Ok(None);
        }
        let sealed = self.generation.read(&Identity::load(&self.key)?)?;
        sealed.map(|sealed| Generation::open(&sealed)).transpose()
    }

    /// Takes the project's lock, because only one command at a time may change a project. The holder of the lock is
    /// named during a wait, and the wait can be cancelled.
    ///
    /// # Errors
    ///
    /// [`pvault::VaultError::Locked`] with the holder's process after ten seconds; [`RunError::Stopped`].
    pub(crate) async fn lock(&self, edge: &Edge) -> Result<LockedState<'_>, RunError> {
        let began = Instant::now();
        let mut announced = false;
        loop {
            let (path, holder) = match self.try_lock() {
                Err(RunError::Vault(VaultError::Locked { path, holder, .. })) => (path, holder),
                other => return other,
            };
            if began.elapsed() >= PATIENCE {
                return Err(VaultError::Locked { path, holder, seconds: PATIENCE.as_secs() }.into());
            }
            if !announced && began.elapsed() >= SILENCE {
                let who = holder.map_or("another prun".to_owned(), |process| format!("prun, process {process},"));
                edge.stderr.fact("waiting", &format!("{who} is at work on this project"));
                announced = true;
            }
            edge.cancellation.unless_cancelled(tokio::time::sleep(PAUSE)).await?;
        }
    }

    /// Takes the project's lock if it is free.
    ///
    /// # Errors
    ///
    /// [`pvault::VaultError::Locked`] with the holder's process.
    pub(crate) fn try_lock(&self) -> Result<LockedState<'_>, RunError> {
        let lock = self.ledger.try_lock()?;
        // A lost key is not replaced while there is a file that only this key opens.
        let sealed = [&self.ledger, &self.generation].iter().any(|file| file.path().exists() || file.backup().exists());
        let identity = if sealed { Identity::load(&self.key)? } else { Identity::load_or_create(&self.key)? };
        Ok(LockedState { identity, lock, state: self })
    }
}

/// A project's state under the project's lock.
pub(crate) struct LockedState<'a> {
    state: &'a State,
    identity: Identity,
    lock: LockedFile<'a>,
}

impl LockedState<'_> {
    /// Reads the ledger.
    ///
    /// # Errors
    ///
    /// If it exists and cannot be read.
    pub(crate) fn ledger(&self) -> Result<Option<Ledger>, RunError> {
        let sealed = self.lock.read(&self.identity)?;
        sealed.map(|sealed| Ledger::open(&sealed)).transpose().map_err(RunError::from)
    }

    /// Seals the ledger; it is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// Those of [`LockedFile::write`].
    pub(crate) fn seal_ledger(&self, ledger: &Ledger) -> Result<(), RunError> {
        Ok(self.lock.write(&ledger.seal(), &self.identity, &[self.identity.recipient()])?)
    }

    /// Seals the generation that instances run with from now on.
    ///
    /// # Errors
    ///
    /// Those of [`LockedFile::write`].
    pub(crate) fn seal_generation(&self, generation: &Generation) -> Result<(), RunError> {
        self.state.generation.update(&self.identity, |_| Ok::<_, RunError>(generation.seal()))?;
        Ok(())
    }

    /// Removes the state: the services, their credentials, and the values.
    ///
    /// # Errors
    ///
    /// If a file cannot be removed.
    pub(crate) fn forget(&self) -> Result<(), RunError> {
        for file in [&self.state.ledger, &self.state.generation] {
            // The backup goes first. A missing file with a backup would count as an accident, and not as a fresh start.
            for path in [file.backup(), file.path()] {
                remove(path)?;
            }
        }
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), RunError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(RunError::Vault(pvault::VaultError::Io { doing: "remove", path: path.to_owned(), source: error }))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use pcredential::{NewService, ServiceKind};

    use super::*;

    fn state(folder: &Path) -> State {
        State::of(Some(folder.join("prun")), "shop").unwrap()
    }

    #[test]
    fn looking_creates_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(folder.path());
        assert!(state.ledger().unwrap().is_none() && state.generation().unwrap().is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_was_sealed_is_read_again_and_shows_no_value_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(folder.path());
        let mut ledger = Ledger::new("shop");
        let (name, kind) = ("db", ServiceKind::Postgres);
        ledger.add(NewService { name, kind, image: "i", volume: "shop-db", database: None, created: 0 });
        state.try_lock().unwrap().seal_ledger(&ledger).unwrap();
        assert_eq!(*state.ledger().unwrap().unwrap().seal(), *ledger.seal());
        let sealed = std::fs::read(state.ledger.path()).unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"shop-db"));
    }

    #[test]
    fn a_state_without_its_key_is_an_error_and_not_a_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(folder.path());
        state.try_lock().unwrap().seal_ledger(&Ledger::new("shop")).unwrap();
        std::fs::remove_file(folder.path().join("prun").join(IDENTITY)).unwrap();
        assert!(matches!(state.ledger(), Err(RunError::Vault(_))));
        assert!(matches!(state.try_lock(), Err(RunError::Vault(_))));
        assert!(!state.key.exists());
    }

    #[test]
    fn forgetting_leaves_no_state() {
        let folder = tempfile::tempdir().unwrap();
        let state = state(folder.path());
        let locked = state.try_lock().unwrap();
        locked.seal_ledger(&Ledger::new("shop")).unwrap();
        locked.seal_ledger(&Ledger::new("shop")).unwrap();
        locked.forget().unwrap();
        assert!(state.ledger().unwrap().is_none());
    }
}
