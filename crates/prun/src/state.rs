//! The sealed state of a project: the ledger of its services, the generations that its instances run with, and the
//! operators who may open it.
//!
//! The state lies on the engine that it describes ([`place`]), sealed for its operators ([`document`]). Any operator
//! can read it from any machine. Only the holder of the [`lock`] may write it: each write makes a whole new version
//! with the next number. A [`caller`] remembers ([`known`]) the newest version that was seen, so that an older state
//! is noticed, and the folders from which the project is operated, because a manifest in another folder may have
//! copied the project's name. A state of an older prun, which lay in a folder of the user, is read from there and
//! written to the engine ([`earlier`]).

pub(crate) mod caller;
pub(crate) mod document;
mod earlier;
pub(crate) mod error;
mod known;
mod lock;
mod place;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use bollard::query_parameters::InspectNetworkOptions;
use pcredential::Ledger;
use pengine::Engine;
use pvault::{Recipient, Unopened};

use crate::edge::{Edge, Failure};
use crate::engine::containers;
use crate::error::{RunError, engine, is_missing};
use crate::names::{self, Project, Role};
use crate::state::caller::Caller;
use crate::state::document::Document;
use crate::state::earlier::Earlier;
use crate::state::error::StateError;
use crate::state::lock::Lock;
use crate::state::place::{Place, Stored};
use crate::values::generation::Generation;

/// How long a command waits for the lock, unless `--wait` says otherwise.
const PATIENCE: Duration = Duration::from_secs(120);

/// The state of one project on one engine, together with the caller who reads or changes it.
pub(crate) struct State {
    host: Engine,
    project: String,
    caller: Caller,
    patience: Duration,
}

/// What a command under the lock does if it cannot use the state, because the state is sealed for others, is older
/// than one that this user has seen, or has another origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The command fails.
    Refuse,
    /// The command continues without the state.
    GoOn,
    /// A new state, which this user alone can open, takes its place.
    BeginAnew,
    /// A new state takes its place if nobody else loses anything by it: the only operator has the name of this user
    /// and machine, so it is this user who lost the key. Otherwise the command fails.
    BeginAnewIfAlone,
}

impl State {
    /// Refers to the state of a project on this engine, without reading it.
    #[must_use]
    pub(crate) fn of(host: &Engine, project: &str, caller: Caller) -> Self {
        Self { host: host.clone(), project: project.to_owned(), caller, patience: PATIENCE }
    }

    /// Sets how many seconds a command waits for the lock; without a number, it waits for [`PATIENCE`].
    #[must_use]
    pub(crate) fn with_patience(self, patience: Option<u64>) -> Self {
        Self { patience: patience.map_or(PATIENCE, Duration::from_secs), ..self }
    }

    /// Returns the caller who gives the command.
    #[must_use]
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    fn place(&self) -> Place<'_> {
        Place { host: &self.host, project: &self.project }
    }

    /// Finds the project by the labels of its volume or its network, without opening the state. Returns `None` if the
    /// engine has neither.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not answer, or [`RunError::Foreign`] if the volume's name is taken by
    /// something else.
    pub(crate) async fn project(&self) -> Result<Option<Project>, RunError> {
        let owner = match self.place().owner().await? {
            Some(owner) => Some(owner),
            None => self.owner_of_network().await?,
        };
        Ok(owner.map(|owner| Project::new(&self.project, &owner)))
    }

    /// Reads the newest version, without taking the lock. Returns `None` if there is no state yet.
    ///
    /// # Errors
    ///
    /// Returns a [`StateError`] if the state is sealed for others, is older than one that this user has seen, or does
    /// not follow from that one.
    pub(crate) async fn read(&self) -> Result<Option<Document>, RunError> {
        let stored = self.place().read().await?.unwrap_or_default();
        self.open(&stored).await
    }

    /// Returns the newest version as it is stored, sealed. Returns `None` before the first version is written.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`State::read`], because a state that cannot be opened is useless as a backup.
    pub(crate) async fn read_sealed(&self) -> Result<Option<Vec<u8>>, RunError> {
        let stored = self.place().read().await?.unwrap_or_default();
        let document = self.open(&stored).await?;
        Ok(document.filter(|document| document.number > 0).map(|_| stored.sealed))
    }

    /// Opens the sealed bytes of a version, for example those of a backup.
    ///
    /// # Errors
    ///
    /// Returns an error if the caller's key does not open the version, or if the version is damaged.
    pub(crate) fn open_backup(&self, sealed: &[u8]) -> Result<Document, RunError> {
        let closed =
            |recipient| StateError::NotAnOperator { project: self.project.clone(), operators: Vec::new(), recipient };
        let identity = self.caller.identity()?.ok_or_else(|| closed(None))?;
        match pvault::open(sealed, &identity) {
            Ok(opened) => Document::decode(&opened),
            Err(Unopened::NotForThisIdentity) => Err(closed(Some(identity.recipient().to_string())).into()),
            Err(Unopened::Damaged | Unopened::Newer) => Err(RunError::DamagedState),
        }
    }

    /// Makes the volume for a state that comes from another engine, if this engine has nothing of the project yet.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine refuses a request.
    pub(crate) async fn make_place_for(&self, document: &Document) -> Result<(), RunError> {
        if self.project().await?.is_none() {
            self.place().ensure(&document.owner).await?;
        }
        Ok(())
    }

    /// Reads the newest version for a command that hands out values. The caller must operate the project from this
    /// folder.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`State::read`], and [`StateError::NotAdopted`] if the caller does not operate the
    /// project from this folder.
    pub(crate) async fn read_own(&self) -> Result<Option<Document>, RunError> {
        let document = self.read().await?;
        document.as_ref().map_or(Ok(()), |document| self.check_own(document))?;
        Ok(document)
    }

    /// Takes the project's lock, because only one command at a time may change a project.
    ///
    /// # Errors
    ///
    /// Returns [`StateError::Busy`] if another command holds the lock for too long, [`StateError::NotAdopted`] if the
    /// caller does not operate the project from this folder, [`RunError::Stopped`] if the user ends the command, and
    /// the errors of [`State::read`].
    pub(crate) async fn lock(&self, edge: &Edge, closed: Closed) -> Result<LockedState<'_>, RunError> {
        let owner = self.make_place().await?;
        let lock = Lock::take(self.place(), &owner, &self.caller.holder, self.patience, edge).await?;
        let locked = LockedState {
            state: self,
            lock: RefCell::new(Some(lock)),
            document: RefCell::new(None),
            owner,
            stored: Cell::new(0),
            fresh: Cell::new(false),
            floor: Cell::new(0),
        };
        match locked.fill(closed, edge).await {
            Ok(()) => Ok(locked),
            Err(error) => {
                locked.release().await;
                Err(error)
            }
        }
    }

    /// Runs `work` under the project's lock, and releases the lock at the end.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`State::lock`] and of `work`.
    pub(crate) async fn locked<T>(
        &self,
        edge: &Edge,
        closed: Closed,
        work: impl AsyncFnOnce(&LockedState<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let locked = self.lock(edge, closed).await?;
        let outcome = async {
            let done = work(&locked).await?;
            locked.take_over().await?;
            Ok(done)
        };
        let outcome = outcome.await;
        if outcome.is_err() {
            locked.forget_what_binds_nothing().await;
        }
        locked.release().await;
        outcome
    }

    /// Makes sure that there is a volume for the state, and returns the mark of its owner. A project that exists
    /// already keeps its mark.
    async fn make_place(&self) -> Result<String, RunError> {
        if let Some(owner) = self.place().owner().await? {
            return Ok(owner);
        }
        let owner = match self.read_earlier().await? {
            Some(document) => document.owner,
            None => self.owner_of_network().await?.unwrap_or_else(Ledger::fresh_owner),
        };
        self.place().ensure(&owner).await
    }

    async fn owner_of_network(&self) -> Result<Option<String>, RunError> {
        match self.host.docker().inspect_network(&self.project, None::<InspectNetworkOptions>).await {
            Ok(network) => {
                let labels = network.labels.as_ref();
                let ours = names::label(labels, names::PROJECT) == Some(&self.project);
                Ok(names::label(labels, names::OWNER).filter(|_| ours).map(str::to_owned))
            }
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(engine(|| format!("look at network {}", self.project))(error)),
        }
    }

    async fn open(&self, stored: &Stored) -> Result<Option<Document>, RunError> {
        if stored.number == 0 {
            return self.read_earlier().await;
        }
        let document = match self.open_backup(&stored.sealed) {
            Err(RunError::State(StateError::NotAnOperator { project, recipient, .. })) => {
                let operators = stored.operators.clone();
                return Err(StateError::NotAnOperator { project, operators, recipient }.into());
            }
            other => other?,
        };
        if document.number != stored.number || document.project != self.project {
            return Err(RunError::DamagedState);
        }
        self.caller.memory.check(&document)?;
        Ok(Some(document))
    }

    /// Reads the state that an older prun left, as a document that has not been written yet.
    async fn read_earlier(&self) -> Result<Option<Document>, RunError> {
        let Some(earlier) = Earlier::find(self.caller.states.as_deref(), &self.project)? else { return Ok(None) };
        let Some(identity) = self.caller.identity()? else { return Ok(None) };
        let Some((ledger, generation)) = earlier.read(&self.host, &identity).await? else { return Ok(None) };
        let mut document = Document::new(&ledger, &self.caller.holder.name, &identity.recipient().to_string());
        if let Some(generation) = &generation {
            document.set_generation(generation)?;
        }
        Ok(Some(document))
    }

    /// Checks that the caller operates this project from here: from the manifest's folder, or as this user on this
    /// machine.
    fn check_own(&self, document: &Document) -> Result<(), RunError> {
        if self.caller.operates(&self.project, &document.owner)? {
            return Ok(());
        }
        // The state of an older prun is this user's own. It may be used in the folder that its last start names.
        if document.number == 0
            && let Some(generation) = document.generation()?
            && self.caller.folder.as_deref().is_none_or(|folder| generation.record.is_of(folder))
        {
            return Ok(());
        }
        let folder = self.caller.folder.as_ref().map(|folder| folder.display().to_string());
        let here = folder.unwrap_or_else(|| "this machine by this user".to_owned());
        Err(StateError::NotAdopted { project: self.project.clone(), here }.into())
    }
}

/// Lists the projects that have a state on an engine.
///
/// # Errors
///
/// Returns an error if the engine does not list its volumes.
pub(crate) async fn projects(host: &Engine) -> Result<Vec<Project>, RunError> {
    let volumes = containers::volumes_in_role(host, Role::State).await?;
    let project = |labels: &HashMap<String, String>| {
        let label = |name| names::label(Some(labels), name);
        Some(Project::new(label(names::PROJECT)?, label(names::OWNER)?))
    };
    let mut all: Vec<Project> = volumes.iter().filter_map(|(_, labels)| project(labels)).collect();
    all.sort_by(|one, other| one.name().cmp(other.name()));
    Ok(all)
}

/// A project's state under the project's lock. The code that holds it must call [`LockedState::release`].
pub(crate) struct LockedState<'a> {
    state: &'a State,
    lock: RefCell<Option<Lock>>,
    document: RefCell<Option<Document>>,
    owner: String,
    /// The number of the newest version on the engine.
    stored: Cell<u64>,
    /// Whether there was no state when the lock was taken, not even one of an older prun.
    fresh: Cell<bool>,
    floor: Cell<u64>,
}

impl LockedState<'_> {
    /// Returns who holds the lock, as `USER@MACHINE`.
    pub(crate) fn by(&self) -> String {
        self.state.caller.holder.name.clone()
    }

    /// Reads the newest version. Nobody else can write one, because this command holds the lock.
    async fn fill(&self, closed: Closed, edge: &Edge) -> Result<(), RunError> {
        let state = self.state;
        let stored = state.place().read().await?.unwrap_or_default();
        self.stored.set(stored.number);
        for leftover in &stored.leftovers {
            self.with_lock(async |lock| {
                lock.forget(leftover).await;
                Ok(())
            })
            .await?;
        }
        match state.open(&stored).await {
            Ok(document) => {
                document.as_ref().map_or(Ok(()), |document| state.check_own(document))?;
                self.fresh.set(document.is_none());
                *self.document.borrow_mut() = document;
                Ok(())
            }
            Err(RunError::State(error)) if self.may_go_on(&error, closed) => {
                if closed != Closed::GoOn {
                    edge.stderr.warning(
                        "the state of the project cannot be used; a new one of this user alone takes its place",
                    );
                    self.begin_anew().await?;
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Returns whether a command goes on though the state could not be opened.
    fn may_go_on(&self, error: &StateError, closed: Closed) -> bool {
        match (closed, error) {
            (Closed::BeginAnewIfAlone, StateError::NotAnOperator { operators, .. }) => {
                matches!(operators.as_slice(), [only] if *only == self.state.caller.holder.name)
            }
            (
                Closed::GoOn | Closed::BeginAnew,
                StateError::NotAnOperator { .. } | StateError::OtherOrigin { .. } | StateError::Older { .. },
            ) => true,
            _ => false,
        }
    }

    /// Continues as if no state had ever been written; what runs keeps running. The next version that is sealed
    /// replaces the old state.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not list the project's containers.
    pub(crate) async fn begin_anew(&self) -> Result<(), RunError> {
        *self.document.borrow_mut() = None;
        self.floor.set(self.newest_started().await?);
        Ok(())
    }

    /// Finds the number of the newest generation that has a container on the engine.
    async fn newest_started(&self) -> Result<u64, RunError> {
        let project = Project::new(&self.state.project, &self.owner);
        let all = containers::list(&self.state.host, &project).await?;
        Ok(all.iter().filter_map(names::number).max().unwrap_or(0))
    }

    /// Returns the mark of everything that belongs to the project.
    #[must_use]
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// Returns a copy of the document, or `None` before the first one is written.
    #[must_use]
    pub(crate) fn document(&self) -> Option<Document> {
        self.document.borrow().clone()
    }

    /// Reads the ledger. Returns `None` before the first one is written.
    ///
    /// # Errors
    ///
    /// Returns an error if the ledger cannot be read.
    pub(crate) fn ledger(&self) -> Result<Option<Ledger>, RunError> {
        self.document.borrow().as_ref().map(Document::ledger).transpose()
    }

    /// Reads the ledger, or makes one for this project.
    ///
    /// # Errors
    ///
    /// Returns an error if the ledger cannot be read.
    pub(crate) fn ledger_or_new(&self) -> Result<Ledger, RunError> {
        Ok(self.ledger()?.unwrap_or_else(|| Ledger::owned_by(&self.state.project, &self.owner)))
    }

    /// Reads the generation that instances run with.
    ///
    /// # Errors
    ///
    /// Returns an error if the generation cannot be read.
    pub(crate) fn generation(&self) -> Result<Option<Generation>, RunError> {
        self.document.borrow().as_ref().map_or(Ok(None), Document::generation)
    }

    /// Returns the number of the newest generation that was started, as far as the state knows.
    ///
    /// # Errors
    ///
    /// Returns an error if the state cannot be read.
    pub(crate) fn newest_number(&self) -> Result<u64, RunError> {
        let floor = self.document.borrow().as_ref().map_or(self.floor.get(), |document| document.floor);
        Ok(self.generation()?.map_or(0, |generation| generation.number).max(floor))
    }

    /// Seals the ledger. When this returns, the engine has written the ledger to its disk.
    ///
    /// # Errors
    ///
    /// Returns an error if the lock is lost, or if the engine cannot write the state.
    pub(crate) async fn seal_ledger(&self, ledger: &Ledger) -> Result<(), RunError> {
        let next = match self.document() {
            Some(mut document) => {
                document.set_ledger(ledger);
                document
            }
            None => {
                let recipient = self.state.caller.identity_or_new()?.recipient().to_string();
                let mut document = Document::new(ledger, &self.state.caller.holder.name, &recipient);
                document.floor = self.floor.get();
                document
            }
        };
        self.write(next).await
    }

    /// Seals the generation that instances run with from now on. The ledger must have been sealed before.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`LockedState::seal_ledger`].
    pub(crate) async fn seal_generation(&self, generation: &Generation) -> Result<(), RunError> {
        let mut next = self.document().ok_or(RunError::DamagedState)?;
        next.set_generation(generation)?;
        self.write(next).await
    }

    /// Writes a document as the next version.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`LockedState::seal_ledger`].
    pub(crate) async fn write(&self, mut document: Document) -> Result<(), RunError> {
        let number = self.stored.get().max(document.number) + 1;
        document.number = number;
        let recipients: Vec<Recipient> = document
            .operators
            .iter()
            .map(|operator| operator.recipient.parse())
            .collect::<Result<_, _>>()
            .map_err(|_| RunError::DamagedState)?;
        let names: String = document.operators.iter().map(|operator| format!("{}\n", operator.name)).collect();
        let project = || StateError::NotWritten { project: document.project.clone() };
        let sealed = pvault::seal(&document.encode(), &recipients).map_err(|_| project())?;
        self.with_lock(async |lock| lock.commit(self.state.place(), number, &sealed, &names).await).await?;
        self.stored.set(number);
        self.state.caller.memory.remember(&document, self.state.caller.folder.as_deref())?;
        *self.document.borrow_mut() = Some(document);
        Ok(())
    }

    /// Writes the state of an older prun as the first version, unless a version exists already.
    async fn take_over(&self) -> Result<(), RunError> {
        match self.document() {
            Some(document) if self.stored.get() == 0 && self.lock.borrow().is_some() => self.write(document).await,
            _ => Ok(()),
        }
    }

    async fn with_lock<T>(&self, work: impl AsyncFnOnce(&Lock) -> Result<T, RunError>) -> Result<T, RunError> {
        let lock = self.lock.borrow_mut().take();
        let Some(lock) = lock else {
            return Err(StateError::LockLost { project: self.state.project.clone() }.into());
        };
        let outcome = work(&lock).await;
        *self.lock.borrow_mut() = Some(lock);
        outcome
    }

    /// Removes the state and releases the lock. Everything that the state describes must have been removed before.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine refuses a request.
    pub(crate) async fn forget(&self) -> Result<(), RunError> {
        self.unlock().await;
        self.state.place().remove().await?;
        self.state.caller.memory.forget(&self.owner)
    }

    /// Removes the state that a failed first command has written, if the command left nothing that needs the state. A
    /// project that was never started must not keep its name from other users.
    async fn forget_what_binds_nothing(&self) {
        if !self.fresh.get() || self.stored.get() == 0 {
            return;
        }
        let (host, project) = (&self.state.host, Project::new(&self.state.project, &self.owner));
        let work = async {
            let nothing = [Role::State, Role::Home, Role::Failed].map(Role::as_str);
            let is_left = |label: Option<&str>| label.is_none_or(|label| !nothing.contains(&label));
            let all = containers::list(host, &project).await?;
            let volumes = containers::volumes(host, &project).await?;
            let left = all.iter().any(|container| is_left(names::role(container)))
                || volumes.iter().any(|(_, labels)| is_left(names::label(Some(labels), names::ROLE)));
            if !left {
                containers::discard(host, &project.failed()).await?;
                containers::remove_network(host, &project).await?;
                containers::remove_volume(host, &project.home()).await?;
                self.forget().await?;
            }
            Ok::<_, RunError>(())
        };
        // The error of the command itself is reported. A state that cannot be removed remains the caller's own, as
        // after a kill.
        let _ = work.await;
    }

    /// Releases the lock. If no state was ever written, the empty volume is removed.
    pub(crate) async fn release(&self) {
        let held = self.lock.borrow().is_some();
        self.unlock().await;
        if held && self.stored.get() == 0 {
            // A command that waits for the lock makes the volume again. If the removal fails, only an empty volume
            // remains.
            let name = self.state.place().name();
            let _ = self
                .state
                .host
                .docker()
                .remove_volume(&name, None::<bollard::query_parameters::RemoveVolumeOptions>)
                .await;
        }
    }

    async fn unlock(&self) {
        let lock = self.lock.borrow_mut().take();
        if let Some(lock) = lock {
            lock.release(self.state.place()).await;
        }
    }
}
