//! The errors of a sealed file or its identity.

use std::io;
use std::path::PathBuf;

/// The reason why a sealed file or an identity cannot be used. No error ever causes a file to be reset.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The operating system returned an error.
    #[error("failed to {doing} {}", path.display())]
    Io {
        /// The action that failed, as a verb.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Other users may read the file, or write to it or its folder.
    #[error("{} is open to other users (mode {mode:04o})", path.display())]
    OpenToOthers {
        /// The file or folder.
        path: PathBuf,
        /// The file's mode.
        mode: u32,
        /// The mode that the file should have, for the advice to run `chmod`.
        wanted: u32,
    },
    /// The file or its folder belongs to another user.
    #[error("{} belongs to user {owner}, not to user {user} who runs this", path.display())]
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// The user who owns the file or folder.
        owner: u32,
        /// The user who runs the tool.
        user: u32,
    },
    /// The path is a symbolic link of another user, a folder, a pipe or a device.
    #[error("{} is {kind}, not a file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// The kind of the file at the path.
        kind: &'static str,
    },
    /// The file system ignores modes, so others could read the file.
    #[error("{} cannot be kept private: its file system ignores modes", path.display())]
    NoModes {
        /// The file.
        path: PathBuf,
    },
    /// There is no identity at this path.
    #[error("no identity at {}", path.display())]
    NoIdentity {
        /// The path.
        path: PathBuf,
    },
    /// The text is not an age identity.
    #[error("{place} holds no age X25519 identity (AGE-SECRET-KEY-1…)")]
    NotAnIdentity {
        /// The file or variable that holds the text. The text is not repeated.
        place: String,
    },
    /// The identity is wrapped, and no passphrase was given.
    #[error("{} is wrapped with a passphrase", path.display())]
    NeedsPassphrase {
        /// The identity file.
        path: PathBuf,
    },
    /// The passphrase does not unwrap the identity.
    #[error("wrong passphrase for {}", path.display())]
    WrongPassphrase {
        /// The identity file.
        path: PathBuf,
    },
    /// The text is not an age recipient.
    #[error("not an age X25519 recipient (age1…)")]
    NotARecipient,
    /// The file is sealed for other identities.
    #[error("{} is not sealed for this identity", path.display())]
    NotForThisIdentity {
        /// The file.
        path: PathBuf,
    },
    /// The content of the file is not what was written: it was cut or changed, or is not a sealed file at all.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The last good content, which is sealed too, if there is a backup.
        backup: Option<PathBuf>,
    },
    /// The file was sealed in a format that this version does not know.
    #[error("{} is sealed in a newer format", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The file is missing, but its backup exists, so the file was probably removed by mistake.
    #[error("{} is gone, but its backup {} is there", path.display(), backup.display())]
    Gone {
        /// The file.
        path: PathBuf,
        /// The backup, which holds the last good content.
        backup: PathBuf,
    },
    /// The file is larger than any file that is written.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// Another process holds the lock of the file.
    #[error("{} is locked by {}", path.display(), holder.map_or("another process".to_owned(), |pid| format!("process {pid}")))]
    Locked {
        /// The file.
        path: PathBuf,
        /// The process that holds the lock, if its number is in the lock.
        holder: Option<u32>,
        /// The time that we waited, in seconds.
        seconds: u64,
    },
}

impl VaultError {
    /// Returns advice about the error, if it fits into one line.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::OpenToOthers { path, wanted, .. } => Some(format!("chmod {wanted:03o} {}", path.display())),
            Self::Foreign { path, .. } => Some(format!(
                "run this as the owner of {}, without sudo, or point HOME and the XDG folders to your own",
                path.display()
            )),
            Self::Damaged { backup: Some(backup), path } | Self::Gone { backup, path } => {
                Some(format!("the last good state: cp {} {}", backup.display(), path.display()))
            }
            Self::WrongPassphrase { .. } => Some(
                "try again; without the passphrase nothing opens this file, and a reader of the store must add a new identity of yours"
                    .to_owned(),
            ),
            Self::Io { .. }
            | Self::NotAFile { .. }
            | Self::NoModes { .. }
            | Self::NoIdentity { .. }
            | Self::NotAnIdentity { .. }
            | Self::NeedsPassphrase { .. }
            | Self::NotARecipient
            | Self::NotForThisIdentity { .. }
            | Self::Damaged { backup: None, .. }
            | Self::Newer { .. }
            | Self::TooLarge { .. }
            | Self::Locked { .. } => None,
        }
    }
}

/// Makes a function that wraps an I/O error.
pub(crate) fn io_error<'a>(
    doing: &'static str,
    path: &'a std::path::Path,
) -> impl FnOnce(io::Error) -> VaultError + 'a {
    move |source| VaultError::Io { doing, path: path.to_owned(), source }
}
