//! The caller of a command: the key, the memory of projects, and the folder from which the command is given.

use std::path::{Path, PathBuf};

use pcli::OPERATOR_VARIABLE;
use pvault::{Identity, VaultError};
use zeroize::Zeroizing;

use crate::error::RunError;
use crate::plan::record::whole;
use crate::state::error::StateError;
use crate::state::known::Memory;
use crate::state::lock::Holder;

/// The variable with the id of the project that the user means. It comes from outside of the repository, so a copied
/// manifest cannot set it.
pub(crate) const PROJECT_VARIABLE: &str = "PRUN_PROJECT_ID";
/// The name of the file with an operator's key, in the folder of states.
const IDENTITY: &str = "identity.txt";

/// The user, or the CI runner, who gives a command.
#[derive(Clone)]
pub(crate) struct Caller {
    /// The folder of this user's states (`$XDG_STATE_HOME/prun`).
    pub(crate) states: Option<PathBuf>,
    /// What this user remembers of projects.
    pub(crate) memory: Memory,
    /// The folder of the manifest that names or describes the project, if one does.
    pub(crate) folder: Option<PathBuf>,
    /// The id of the project, if [`PROJECT_VARIABLE`] names one.
    pub(crate) project_id: Option<String>,
    /// The name that the list of operators and those who wait for the lock see.
    pub(crate) holder: Holder,
    /// The key, if [`OPERATOR_VARIABLE`] holds one.
    given: Option<Zeroizing<String>>,
}

impl Caller {
    /// Describes the caller of this process, for a manifest in this folder.
    #[must_use]
    pub(crate) fn of_process(folder: Option<&Path>) -> Self {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let states = pvault::state_folder(&|name| std::env::var_os(name), "prun");
        let user =
            set("USER").or_else(|| set("LOGNAME")).unwrap_or_else(|| match rustix::process::geteuid().as_raw() {
                0 => "root".to_owned(),
                id => format!("user {id}"),
            });
        // Linux has the machine's name in this file. On other systems the user's name alone must do.
        let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        // Only the subcommand is shown to others, because all further arguments may hold secrets.
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

    /// Returns whether the caller operates the project of this id from here. An id in [`PROJECT_VARIABLE`] decides
    /// alone.
    ///
    /// # Errors
    ///
    /// Returns [`StateError::OtherProject`] if the variable names another project.
    pub(crate) fn operates(&self, project: &str, owner: &str) -> Result<bool, StateError> {
        match &self.project_id {
            Some(id) if id == owner => Ok(true),
            Some(_) => Err(StateError::OtherProject { project: project.to_owned() }),
            None => Ok(self.memory.knows(owner, self.folder.as_deref())),
        }
    }

    /// Reads the caller's key. Returns `None` if the caller has no key.
    ///
    /// # Errors
    ///
    /// Returns an error if the key cannot be read or is not valid.
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

    /// Reads the caller's key, and makes a new key if the caller has none.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`Caller::identity`], and an error if the new key cannot be written.
    pub(crate) fn identity_or_new(&self) -> Result<Identity, RunError> {
        match self.identity()? {
            Some(identity) => Ok(identity),
            None => Ok(Identity::load_or_create(&self.key_file()?)?),
        }
    }

    /// Lists the projects whose state an older prun left in this user's folder of states.
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
