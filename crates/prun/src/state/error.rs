//! Why the state of a project cannot be opened or changed.

/// Why the state of a project on its engine cannot be used. No message holds a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// The state is sealed for others.
    #[error("the state of project `{project}` is sealed for its operators, and this user is not one of them")]
    NotAnOperator {
        /// The project.
        project: String,
        /// The names of the operators, which are stored unsealed beside the state.
        operators: Vec<String>,
        /// The public half of this user's key, if there is one.
        recipient: Option<String>,
    },
    /// The project exists, and this user has neither started nor adopted it from this folder.
    #[error("project `{project}` runs on this engine already, and was not started from {here}")]
    NotAdopted {
        /// The project.
        project: String,
        /// The folder of the manifest, or this machine and user.
        here: String,
    },
    /// `PRUN_PROJECT_ID` holds the id of another project.
    #[error("PRUN_PROJECT_ID is not the id of project `{project}` on this engine")]
    OtherProject {
        /// The project.
        project: String,
    },
    /// The state is older than a version that this user has seen.
    #[error("the state of project `{project}` is version {found}, and version {seen} was seen here before")]
    Older {
        /// The project.
        project: String,
        /// The version on the engine.
        found: u64,
        /// The version that was seen.
        seen: u64,
    },
    /// The author of the state did not know the key of the version that this user has seen.
    #[error("the state of project `{project}` does not follow from the one that was seen here before")]
    OtherOrigin {
        /// The project.
        project: String,
    },
    /// Another command holds the project's lock.
    #[error("{who} works on project `{project}` since {since} ({command})")]
    Busy {
        /// The project.
        project: String,
        /// The operator, as the lock names it.
        who: String,
        /// The operator's command.
        command: String,
        /// How long that command has held the lock.
        since: String,
        /// How long this command waited, in seconds.
        seconds: u64,
    },
    /// The connection that held the lock ended.
    #[error("the lock of project `{project}` is lost: the connection to the engine was interrupted")]
    LockLost {
        /// The project.
        project: String,
    },
    /// Another command wrote a version at the same time.
    #[error("another command changed project `{project}` at the same time")]
    Changed {
        /// The project.
        project: String,
    },
    /// The engine could not write the state.
    #[error("the engine could not write the state of project `{project}`")]
    NotWritten {
        /// The project.
        project: String,
    },
    /// `PRUN_IDENTITY` does not hold a key.
    #[error("PRUN_IDENTITY holds no age X25519 identity (AGE-SECRET-KEY-1…)")]
    Identity,
    /// A backup belongs to another project.
    #[error("{path} is a backup of another project or another engine")]
    OtherBackup {
        /// The file.
        path: String,
    },
    /// The text is not a public key.
    #[error("`{text}` is not an operator's key (age1…)")]
    NotAKey {
        /// The text.
        text: String,
    },
    /// The text is not a valid name of an operator.
    #[error("an operator's name has letters, digits and `@._-+`, at most 64 bytes")]
    OperatorName,
    /// An operator has this name or key already.
    #[error("project `{project}` has operator `{name}` already")]
    OperatorExists {
        /// The project.
        project: String,
        /// The operator's name.
        name: String,
    },
    /// No operator has this name.
    #[error("project `{project}` has no operator `{name}`")]
    NoOperator {
        /// The project.
        project: String,
        /// The name.
        name: String,
        /// The names of the operators.
        known: Vec<String>,
    },
    /// The last operator cannot be removed, because nobody could open the state any more.
    #[error("`{name}` is the last operator of project `{project}`")]
    LastOperator {
        /// The project.
        project: String,
        /// The operator's name.
        name: String,
    },
    /// The state that an older prun left in a folder was made on another engine.
    #[error("the state in {folder} does not belong to this engine: service `{service}` refuses its password")]
    EarlierOfAnotherEngine {
        /// The folder.
        folder: String,
        /// The service.
        service: String,
    },
}
