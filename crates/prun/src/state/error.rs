//! Why the state of a project cannot be opened or changed.

/// Why the state of a project on its engine cannot be used. No message holds a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// The state is sealed for others.
    #[error("the state of project `{project}` is sealed for its operators, and this user is not one of them")]
    NotAnOperator {
        /// The project.
        project: String,
        /// The names of the operators, as they stand beside the state.
        operators: Vec<String>,
        /// The public half of this user's key, if there is one.
        recipient: Option<String>,
    },
    /// The project is somebody's, and this user has not said to operate it from here.
    #[error("project `{project}` runs on this engine already, and was not started from {here}")]
    NotAdopted {
        /// The project.
        project: String,
        /// The folder, or this machine.
        here: String,
    },
    /// The variable of the project's id names another project.
    #[error("PRUN_PROJECT_ID is not the id of project `{project}` on this engine")]
    OtherProject {
        /// The project.
        project: String,
    },
    /// The state is older than one that this user has seen.
    #[error("the state of project `{project}` is version {found}, and version {seen} was seen here before")]
    Older {
        /// The project.
        project: String,
        /// The version on the engine.
        found: u64,
        /// The version that was seen.
        seen: u64,
    },
    /// The state was written by somebody who did not know the one before.
    #[error("the state of project `{project}` does not follow from the one that was seen here before")]
    OtherOrigin {
        /// The project.
        project: String,
    },
    /// Another command works on the project.
    #[error("{who} works on project `{project}` since {since} ({command})")]
    Busy {
        /// The project.
        project: String,
        /// The operator, as the lock names it.
        who: String,
        /// The operator's command.
        command: String,
        /// How long it has been at work.
        since: String,
        /// How long was waited, in seconds.
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
    /// The variable holds no key.
    #[error("PRUN_IDENTITY holds no age X25519 identity (AGE-SECRET-KEY-1…)")]
    Identity,
    /// A backup is of another project.
    #[error("{path} is a backup of another project or another engine")]
    OtherBackup {
        /// The file.
        path: String,
    },
    /// The text is no public key.
    #[error("`{text}` is not an operator's key (age1…)")]
    NotAKey {
        /// The text.
        text: String,
    },
    /// The text is no name for an operator.
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
        /// The names that there are.
        known: Vec<String>,
    },
    /// Without operators nobody could open the state.
    #[error("`{name}` is the last operator of project `{project}`")]
    LastOperator {
        /// The project.
        project: String,
        /// The operator's name.
        name: String,
    },
    /// A folder's state from before was made on another engine.
    #[error("the state in {folder} does not belong to this engine: service `{service}` refuses its password")]
    EarlierOfAnotherEngine {
        /// The folder.
        folder: String,
        /// The service.
        service: String,
    },
}
