//! Why a secret has no value, for people.

use std::path::PathBuf;

use psecret::SecretError;

use super::{CommandError, Purpose};
use crate::{Diagnostic, Ending, Exit, SealedError};

/// A declared secret that was found nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Its name.
    pub name: String,
    /// The manifest's line that declares it.
    pub line: usize,
}

/// Why the secrets could not be had. No message holds a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A `--secret` flag is not what docker takes. Its text is not repeated.
    #[error("invalid --secret ({} on the command line)", ordinal(*number))]
    Flag {
        /// Which of them, from 1.
        number: usize,
        /// What is wrong with it.
        source: SecretError,
    },
    /// A secret cannot be read or delivered.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A command of the manifest gave no value.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Declared, needed and found nowhere.
    #[error("{}", missing(secrets))]
    Missing {
        /// The manifest.
        path: PathBuf,
        /// All of them.
        secrets: Vec<Missing>,
        /// What needs them.
        purpose: Purpose,
        /// Whether there is a sealed store, which has none of them.
        store: bool,
    },
    /// The manifest says where to fetch values, and the user did not say that it may.
    #[error("{} may not fetch secrets before you trust it", path.display())]
    Untrusted {
        /// The manifest.
        path: PathBuf,
        /// The entries: name and line.
        secrets: Vec<(String, usize)>,
    },
    /// Composed values that need each other.
    #[error("the values of {} are made of each other", names.join(" → "))]
    Cycle {
        /// The names in order; the last one is the first.
        names: Vec<String>,
    },
    /// The sealed store cannot be opened.
    #[error(transparent)]
    Store(#[from] SealedError),
    /// Somebody asked the work to stop.
    #[error("stopped")]
    Ended(Ending),
}

fn ordinal(number: usize) -> String {
    format!("number {number}")
}

fn missing(secrets: &[Missing]) -> String {
    match secrets {
        [one] => format!("secret `{}` has no value", one.name),
        several => {
            let names: Vec<String> = several.iter().map(|missing| format!("`{}`", missing.name)).collect();
            format!("{} secrets have no value: {}", several.len(), names.join(", "))
        }
    }
}

impl ResolveError {
    /// For people: where the secret is declared, which places were tried, what to do.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let diagnostic = Diagnostic::from_error(self, self.exit());
        match self {
            Self::Store(error) => error.diagnostic(),
            Self::Missing { path, secrets, purpose, store } => {
                let (work, other) = match purpose {
                    Purpose::Build => ("this build", "run"),
                    Purpose::Run => ("this start", "build"),
                    Purpose::Search => ("this search", "build"),
                };
                let declared = secrets.iter().fold(diagnostic, |diagnostic, secret| {
                    let name = if secrets.len() > 1 { format!("`{}` ", secret.name) } else { String::new() };
                    diagnostic.note(format!("{name}declared in {}:{}, needed by {work}", path.display(), secret.line))
                });
                let example = secrets.first().map_or("NAME", |secret| secret.name.as_str());
                let rest = work.trim_start_matches("this ");
                let (places, way) = if *store {
                    ("--secret, --env-file, secrets.age, environment", format!("pbuild secrets set {example}"))
                } else {
                    ("--secret, --env-file, environment", format!("--secret id={example},src=FILE"))
                };
                declared
                    .note(format!("looked in: {places}"))
                    .help(format!("{way}, or scope = \"{other}\" if the {rest} does not need it"))
            }
            Self::Untrusted { path, secrets } => secrets
                .iter()
                .fold(diagnostic, |diagnostic, (name, line)| {
                    diagnostic.note(format!("`{name}` has `from` in {}:{line}", path.display()))
                })
                .help("look at these lines; `pbuild trust` or --trust-config lets them act, --secret and --env-file give values without them"),
            // `id=NAME` alone means the variable, and the file of that name when there is no variable.
            Self::Secret(SecretError::Read { name, path, .. }) if path.as_os_str() == name.as_str() => diagnostic.help(
                format!("set {name} in the environment of this command, or name the file: --secret id={name},src=FILE"),
            ),
            Self::Secret(SecretError::Unset { variable, .. }) => {
                diagnostic.help(format!("set {variable} in the environment of this command"))
            }
            Self::Command(error) => error.complete(diagnostic),
            Self::Flag { .. } => diagnostic.help("write --secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE"),
            Self::Secret(_) | Self::Cycle { .. } | Self::Ended(_) => diagnostic,
        }
    }

    /// The code that the tool ends with.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Flag { .. } | Self::Untrusted { .. } | Self::Cycle { .. } => Exit::Usage,
            Self::Secret(SecretError::EnvFile { .. } | SecretError::Name | SecretError::TooManyForms { .. }) => {
                Exit::Usage
            }
            Self::Secret(_) | Self::Command(_) | Self::Missing { .. } => Exit::SecretMissing,
            Self::Store(_) => Exit::Store,
            Self::Ended(ending) => Exit::Ended(*ending),
        }
    }
}
