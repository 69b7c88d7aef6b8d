//! The errors of the `secrets` commands.

use std::io;
use std::path::PathBuf;

use psecret::{SecretError, SecretName, StoreError};
use pvault::VaultError;

use crate::SealedError;
use pscreen::{Diagnostic, Ending, Exit};

/// The reason why a `secrets` command failed. No message holds a value.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The store or the identity cannot be used.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// The store does not accept a name or a value, or a file cannot be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The names are not in the store.
    #[error("the store has no {}", quoted(names))]
    NotThere {
        /// The names.
        names: Vec<SecretName>,
    },
    /// The value could not be read from the terminal or standard input.
    #[error("failed to read the value of `{name}`")]
    Value {
        /// The name.
        name: SecretName,
        /// The cause.
        source: io::Error,
    },
    /// An env file cannot hold these values.
    #[error("{} cannot be exported: an env file holds text only", quoted(names))]
    Binary {
        /// The names.
        names: Vec<SecretName>,
    },
    /// A file could not be written, or a program could not be started.
    #[error("failed to {doing}")]
    Io {
        /// The action that failed.
        doing: String,
        /// The cause.
        source: io::Error,
    },
    /// No folder for the editor's file is in memory.
    #[error("there is no folder in memory for the editor's file: neither XDG_RUNTIME_DIR nor /dev/shm is a tmpfs")]
    NoMemory,
    /// No variable names an editor.
    #[error("neither VISUAL nor EDITOR names an editor")]
    NoEditor,
    /// The editor failed; nothing was changed.
    #[error("the editor ended with {status}; nothing was changed")]
    Editor {
        /// The editor's exit status.
        status: std::process::ExitStatus,
    },
    /// The user or the system ended the work.
    #[error("ended; nothing was changed")]
    Ended(Ending),
    /// The edited text cannot be read as a store; nothing was changed.
    #[error("what was edited cannot be read; nothing was changed")]
    Edited(#[source] StoreError),
    /// The user changed the recipients in the head lines.
    #[error("the lines that begin with #@ recipient were changed; nothing else was")]
    EditedRecipients,
    /// No recipient of the store matches the text.
    #[error("this recipient is not on the list")]
    NoSuchRecipient,
    /// The last commit has no store to compare with.
    #[error("there is no commit of git that has {}", path.display())]
    NotCommitted {
        /// The store.
        path: PathBuf,
    },
    /// Both sides changed the same names.
    #[error("both sides changed {}", quoted(names))]
    Conflict {
        /// The names.
        names: Vec<SecretName>,
    },
    /// The identity comes from a variable, so pbuild cannot change it.
    #[error("your identity comes from {}, so it cannot be renewed here", crate::IDENTITY_VARIABLE)]
    Elsewhere,
}

fn quoted(names: &[SecretName]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl From<VaultError> for SecretsError {
    fn from(error: VaultError) -> Self {
        Self::Sealed(error.into())
    }
}

impl SecretsError {
    /// Explains the error to people, with advice.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let plain = |exit| Diagnostic::from_error(self, exit);
        match self {
            Self::Sealed(SealedError::Vault(VaultError::NotARecipient)) => {
                plain(Exit::Usage).help("`pbuild secrets recipients mine` prints the reader's own")
            }
            Self::Sealed(error) => error.diagnostic(),
            Self::Secret(SecretError::Name) => {
                plain(Exit::Usage).help("the value is never an argument: give the name alone, and the value when asked")
            }
            Self::Secret(SecretError::EnvFile { error, .. }) => {
                error.help().into_iter().fold(plain(Exit::Usage), Diagnostic::help)
            }
            // The user pressed Ctrl-C at the prompt.
            Self::Value { source, .. } if source.kind() == io::ErrorKind::Interrupted => {
                plain(Ending::Interrupt.into())
            }
            Self::Ended(ending) => plain((*ending).into()),
            Self::Secret(_) | Self::Value { .. } => plain(Exit::SecretMissing),
            Self::NotThere { .. } => plain(Exit::SecretMissing).help("pbuild secrets list"),
            Self::Binary { .. } => plain(Exit::Usage).help("age -d -i identity.txt secrets.age shows them as base64"),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                plain(Exit::Failed).help("an export replaces nothing: name a new file, or remove the old one first")
            }
            Self::Io { .. } => plain(Exit::Failed),
            Self::NoMemory => plain(Exit::Failed).help("pbuild secrets set NAME needs none"),
            Self::NoEditor => plain(Exit::Usage).help("EDITOR=vi pbuild secrets edit"),
            Self::Editor { .. } => plain(Exit::Failed).help("EDITOR or VISUAL names another editor"),
            Self::Edited(_) => plain(Exit::Failed)
                .help("a line is NAME='value'; run `pbuild secrets edit` again, or `pbuild secrets set NAME`"),
            Self::EditedRecipients => plain(Exit::Usage).help("pbuild secrets recipients add, or remove"),
            Self::NoSuchRecipient => plain(Exit::Usage).help("pbuild secrets recipients list"),
            Self::NotCommitted { .. } => {
                plain(Exit::Usage).help("commit the store, or name an older one: pbuild secrets diff FILE")
            }
            Self::Conflict { .. } => {
                plain(Exit::Failed).help("take one side (git checkout --ours or --theirs), then set these names again")
            }
            Self::Elsewhere => plain(Exit::Usage).help("renew it where that variable's value is kept"),
        }
    }
}
