//! Who gives a command: the key, the memory and the place from which it is given.

use std::path::{Path, PathBuf};

use pcli::OPERATOR_VARIABLE;
use pvault::{Identity, VaultError};
use zeroize::Zeroizing;

use crate::error::RunError;
use crate::plan::record::whole;
use crate::state::error::StateError;
use crate::state::known::Memory;
use crate::state::lock::Holder;

/// The variable that says, from outside of the repository, which project is meant.
pub(crate) const PROJECT_VARIABLE: &str = "PRUN_PROJECT_ID";
/// The file of an operator's key, in the folder of states.
const IDENTITY: &str = "identity.txt";

/// Who gives a command.
#[derive(Clone)]
pub(crate) struct Caller {
    /// The folder of this user's states (`$XDG_STATE_HOME/prun`).
    pub(crate) states: Option<PathBuf>,
    /// What this user remembers of projects.
    pub(crate) memory: Memory,
    /// The folder of the manifest that names or describes the project, if one does.
    pub(crate) folder: Option<PathBuf>,
    /// The project's id that the environment names.
    pub(crate) project_id: Option<String>,
    /// The name for those who wait, and for the list of operators.
    pub(crate) holder: Holder,
    /// The key from the environment.
    given: Option<Zeroizing<String>>,
}

impl Caller {
    /// Describes this process, for a manifest in this folder.
    #[must_use]
    pub(crate) fn of_process(folder: Option<&Path>) -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let states = pvault::state_folder(&|name| std::env::var_os(name), "prun");
        let user =
            set("USER").or_else(|| set("LOGNAME")).unwrap_or_else(|| match rustix::process::geteuid().as_raw() {
                0 => "root".to_owned(),
                id => format!("user {id}"),
            });
        // Linux says it here; elsewhere the user's name must do.
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        // The other words may hold anything; these are words of ours.
        let word = std::env::args().nth(1).filter(|word| word.chars().all(|letter| letter.is_ascii_lowercase()));
        Self {
            memory: Memory::in_folder(states.as_deref()),
            states,
            folder: folder.map(whole),
            project_id: set(PROJECT_VARIABLE),
            holder: Holder {
                name: if machine.trim().is_empty() { user } else { format!("{user}@{}", machine.trim()) },
                command: word.map_or_else(|| "prun".to_owned(), |word| format!("prun {word}")),
            },
            given: set(OPERATOR_VARIABLE).map(Zeroizing::new),
        }
    }

    /// Whether the caller operates the project of this id from here. An id that the environment names counts.
    ///
    /// # Errors
    ///
    /// [`StateError::OtherProject`] if the environment names another one.
    pub(crate) fn operates(&self, project: &str, owner: &str) -> Result<bool, StateError> {
        match &self.project_id {
            Some(id) if id == owner => Ok(true),
            Some(_) => Err(StateError::OtherProject { project: project.to_owned() }),
            None => Ok(self.memory.knows(owner, self.folder.as_deref())),
        }
    }

    /// Reads the caller's key; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is none.
    pub(crate) fn identity(&self) -> Result<Option<Identity>, RunError> {
        if let Some(text) = &self.given {
            return Ok(Some(Identity::parse(text, OPERATOR_VARIABLE).map_err(|_| StateError::Identity)?));
        }
        match Identity::load(&self.key_file()?) {
            Ok(identity) => Ok(Some(identity)),
            Err(VaultError::NoIdentity { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the caller's key, and makes one if there is none.
    ///
    /// # Errors
    ///
    /// As [`Caller::identity`], and if it cannot be written.
    pub(crate) fn identity_or_new(&self) -> Result<Identity, RunError> {
        match self.identity()? {
            Some(identity) => Ok(identity),
            None => Ok(Identity::load_or_create(&self.key_file()?)?),
        }
    }

    /// Lists the projects of which this user has a state of an older prun.
    #[must_use]
    pub(crate) fn earlier_projects(&self) -> Vec<String> {
        let entries = self.states.as_ref().and_then(|states| std::fs::read_dir(states).ok()).into_iter().flatten();
        let folders = entries.flatten().filter(|entry| entry.path().is_dir());
        folders.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn key_file(&self) -> Result<PathBuf, RunError> {
        Ok(self.states.as_ref().ok_or(RunError::NoStateFolder)?.join(IDENTITY))
    }
}
