//! The errors of a program that should print a value.

use std::io;
use std::process::ExitStatus;

use pscreen::Diagnostic;
use psecret::SecretName;

/// The reason why a program gave no value. Messages name the program and never its arguments.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The program could not be started.
    #[error("secret `{name}`: failed to start {program}")]
    Start {
        /// The secret.
        name: SecretName,
        /// The program.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// The program ended with a failure.
    #[error("secret `{name}`: {program} ended with {status}")]
    Failed {
        /// The secret.
        name: SecretName,
        /// The program.
        program: String,
        /// The program's exit status.
        status: ExitStatus,
        /// The beginning of the program's standard error, redacted.
        complaint: String,
    },
    /// The program ran too long and was ended.
    #[error("secret `{name}`: {program} did not end within {seconds} seconds")]
    Late {
        /// The secret.
        name: SecretName,
        /// The program.
        program: String,
        /// The time that the program had.
        seconds: u64,
    },
}

impl CommandError {
    /// Adds the program's own complaint, or advice, to the diagnostic.
    pub(super) fn complete(&self, diagnostic: Diagnostic) -> Diagnostic {
        match self {
            Self::Failed { program, complaint, .. } if !complaint.is_empty() => {
                diagnostic.tail(format!("{program} said"), complaint.lines().map(str::to_owned).collect())
            }
            Self::Late { .. } => diagnostic.help("`timeout` beside `command` gives it more time"),
            Self::Start { .. } | Self::Failed { .. } => diagnostic,
        }
    }
}
