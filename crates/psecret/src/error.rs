//! The errors of reading a secret.

use std::io;
use std::path::PathBuf;

use crate::value::{LONGEST_SECRET, LONGEST_VARIABLE};
use crate::{EnvFileError, SecretName};

/// The reason why a secret could not be read. No message contains a value, or any text that could be a value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The text is not a name. The error does not contain the text, because it may be a value that was put in the
    /// name's place.
    #[error("not a secret's name: one to 255 characters without `=`, blanks or control characters")]
    Name,
    /// A `--secret` flag that is not `key=value` pairs.
    #[error("field {field} of the secret specification is not a key=value pair")]
    FlagField {
        /// Which comma separated field, from 1.
        field: usize,
    },
    /// A `--secret` flag with an unknown key.
    #[error(
        "field {field} of the secret specification has an unknown key; id, src, source, env, type, parts and rebuild are known"
    )]
    FlagKey {
        /// Which comma separated field, from 1.
        field: usize,
    },
    /// A `--secret` flag of a type other than `file` and `env`.
    #[error("secret types are `file` and `env`")]
    FlagType,
    /// A `--secret` flag whose `parts` is neither `false`, `true` nor a list of names.
    #[error("parts are `false`, `true`, or names with `+` between them")]
    FlagParts,
    /// A `--secret` flag whose `rebuild` is neither `true` nor `false`.
    #[error("rebuild is `true` or `false`")]
    FlagRebuild,
    /// A `--secret` flag whose quotes do not close.
    #[error("a quote of the secret specification is not closed")]
    FlagQuote,
    /// A `--secret` flag without an id.
    #[error("the secret specification has no id=NAME")]
    FlagId,
    /// A `--secret` flag that names a file and a variable.
    #[error("secret `{name}` is given a file and a variable; choose one")]
    FlagBoth {
        /// The secret.
        name: SecretName,
    },
    /// The variable that holds the value is not set.
    #[error("secret `{name}`: environment variable `{variable}` is not set")]
    Unset {
        /// The secret.
        name: SecretName,
        /// The variable that was read.
        variable: String,
    },
    /// A file could not be read.
    #[error("failed to read secret `{name}` from {}", path.display())]
    Read {
        /// The secret.
        name: SecretName,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The source is a directory, a socket or a block device.
    #[error("secret `{name}`: {} is {kind}, not a file or a pipe", path.display())]
    NotReadable {
        /// The secret.
        name: SecretName,
        /// The path.
        path: PathBuf,
        /// The kind of the path.
        kind: &'static str,
    },
    /// No program wrote to a pipe in time.
    #[error("secret `{name}`: nothing was written to the pipe {} within {seconds} seconds", path.display())]
    SilentPipe {
        /// The secret.
        name: SecretName,
        /// The pipe.
        path: PathBuf,
        /// The time that the reader waited, in seconds.
        seconds: u64,
    },
    /// Standard input could not be read.
    #[error("failed to read secret `{name}` from standard input")]
    Stdin {
        /// The secret.
        name: SecretName,
        /// The cause.
        source: io::Error,
    },
    /// The value has no bytes.
    #[error("secret `{name}` is empty")]
    Empty {
        /// The secret.
        name: SecretName,
    },
    /// The value holds a NUL byte, and its delivery is a variable.
    #[error("secret `{name}` holds a NUL byte, which an environment variable cannot carry")]
    Nul {
        /// The secret.
        name: SecretName,
    },
    /// The value is too long for a variable.
    #[error("secret `{name}` has {length} bytes, and an environment variable holds {LONGEST_VARIABLE} with its name")]
    LongVariable {
        /// The secret.
        name: SecretName,
        /// The value's length in bytes.
        length: usize,
    },
    /// The value is longer than BuildKit's limit for a secret.
    #[error("secret `{name}` is longer than BuildKit's limit of {LONGEST_SECRET} bytes")]
    TooLong {
        /// The secret.
        name: SecretName,
    },
    /// An env file could not be read.
    #[error("failed to read the env file {}", path.display())]
    ReadEnvFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// An env file breaks the rules of its dialect.
    #[error("{}: {error}", path.display())]
    EnvFile {
        /// The file.
        path: PathBuf,
        /// The fault of the file, and its place.
        error: EnvFileError,
    },
    /// The secrets have more forms than one search can hold.
    #[error("{forms} forms with {bytes} bytes are more than one search can hold")]
    TooManyForms {
        /// The number of byte strings that were to be searched for.
        forms: usize,
        /// The total length of these byte strings.
        bytes: usize,
    },
}

impl SecretError {
    /// Whether the secret is absent: its variable is not set, its file does not exist, or the source is empty.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Unset { .. } | Self::Empty { .. } => true,
            Self::Read { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// Whether the value was read in full but cannot be an environment variable.
    #[must_use]
    pub fn is_no_variable(&self) -> bool {
        matches!(self, Self::Nul { .. } | Self::LongVariable { .. })
    }
}
