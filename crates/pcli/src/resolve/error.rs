//! The reasons why a secret has no value, and their diagnostics for people.

use std::path::{Path, PathBuf};

use papp::CompositionError;
use psecret::{Searchability, SecretError, SecretName};

use super::{CommandError, Purpose};
use crate::SealedError;
use crate::trust::{Act, Danger};
use pscreen::{Diagnostic, Ending, Exit};

/// A declared secret that no source has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The secret's name.
    pub name: String,
    /// The line of the manifest that declares the secret.
    pub line: usize,
    /// A name that has a value and differs from the secret's name in case alone.
    pub similar: Option<String>,
}

/// A declared secret whose value the manifest may not read without trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untrusted {
    /// The secret's name.
    pub name: String,
    /// The act that the user would have to allow.
    pub act: Act,
    /// True if the command needs the secret.
    pub needed: bool,
}

/// The reason why the secrets cannot be resolved. No message holds a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// A `--secret` flag has a form that docker does not accept either. Its text is not repeated, because it may hold
    /// a value.
    #[error("invalid --secret ({} on the command line)", ordinal(*number))]
    Flag {
        /// The number of the flag, from 1.
        number: usize,
        /// The problem of the flag.
        source: SecretError,
    },
    /// A secret cannot be read or delivered.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A `--secret` flag whose name changes how programs run.
    #[error("secret `{name}` would change how every program of a step runs")]
    Steers {
        /// The name.
        name: SecretName,
    },
    /// Other users can read an env file, and `--strict` was given.
    #[error("other users of this machine can read the env file {}", path.display())]
    EnvFileOpenToOthers {
        /// The file.
        path: PathBuf,
    },
    /// The search cannot cover some values in full, and `--strict` was given.
    #[error("--strict: {}", unprotected(secrets))]
    NotSearchable {
        /// The secrets, each with the reason.
        secrets: Vec<(SecretName, Searchability)>,
    },
    /// A command of the manifest gave no value.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// Secrets that are declared and needed have no value in any source.
    #[error("{}", missing(secrets))]
    Missing {
        /// The manifest.
        path: PathBuf,
        /// All secrets that are missing.
        secrets: Vec<Missing>,
        /// The purpose that needs the secrets.
        purpose: Purpose,
        /// The manifest's own env files, which were searched for the secrets.
        files: Vec<PathBuf>,
        /// True if a sealed store was searched for the secrets, too.
        store: bool,
    },
    /// The manifest would have to act for a value, and the user has not allowed the act.
    #[error("{}", untrusted(path, entries))]
    Untrusted {
        /// The manifest.
        path: PathBuf,
        /// All entries that are not trusted.
        entries: Vec<Untrusted>,
        /// The purpose that needs the secrets.
        purpose: Purpose,
        /// The reason why the trust that the user gave earlier does not count.
        danger: Option<Danger>,
    },
    /// The manifest would mount paths of the host, and the user has not allowed it.
    #[error("{} may not reach into this machine before you trust it", path.display())]
    UntrustedHost {
        /// The manifest.
        path: PathBuf,
        /// The acts of the manifest that need trust.
        acts: Vec<Act>,
        /// The purpose of these acts.
        purpose: Purpose,
        /// The reason why the trust that the user gave earlier does not count.
        danger: Option<Danger>,
    },
    /// An env file of the manifest is a symbolic link that leads out of the manifest's folder.
    #[error("{} leads out of the manifest's folder", path.display())]
    Outside {
        /// The file.
        path: PathBuf,
    },
    /// The values cannot be composed as the manifest says.
    #[error("{fault}")]
    Composition {
        /// The manifest.
        path: PathBuf,
        /// The fault of the composition.
        fault: CompositionError,
    },
    /// A composed secret that only builds need uses a value that no build has.
    #[error("secret `{name}` needs `{needs}`, which no build has")]
    NeverComposed {
        /// The manifest.
        path: PathBuf,
        /// The line that declares the secret.
        line: usize,
        /// The secret.
        name: String,
        /// The name of the missing value.
        needs: String,
    },
    /// The sealed store cannot be opened.
    #[error(transparent)]
    Store(#[from] SealedError),
    /// The user or the system ended the work.
    #[error("stopped")]
    Ended(Ending),
}

fn ordinal(number: usize) -> String {
    format!("number {number}")
}

fn unprotected(secrets: &[(SecretName, Searchability)]) -> String {
    let each: Vec<String> = secrets.iter().map(|(name, why)| format!("`{name}` is {why}")).collect();
    each.join(", ")
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

fn untrusted(path: &Path, entries: &[Untrusted]) -> String {
    let names: Vec<String> = entries.iter().map(|entry| format!("`{}`", entry.name)).collect();
    let values = pscreen::words::noun(names.len(), "value");
    format!("{} may not get the {values} of {} before you trust it", path.display(), names.join(", "))
}

/// Adds a line for each act that needs trust.
fn acts_of<'a>(diagnostic: Diagnostic, path: &Path, acts: impl Iterator<Item = &'a Act>) -> Diagnostic {
    acts.fold(diagnostic, |diagnostic, act| diagnostic.note(format!("{}:{}: {}", path.display(), act.line, act.told)))
}

/// Finds an env file beside the manifest that neither the manifest nor the command line names.
fn unread_env_file(manifest: &Path, files: &[PathBuf]) -> Option<&'static str> {
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let is_read = |name: &str| files.iter().any(|file| file == Path::new(name));
    [".env", ".env.local"].into_iter().find(|name| !is_read(name) && folder.join(name).is_file())
}

impl ResolveError {
    /// Turns the error into a diagnostic for people. For a missing secret, it also shows the declaration and the
    /// sources that were searched. For missing trust, it lists the lines of the manifest. Most diagnostics end with
    /// advice.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let diagnostic = Diagnostic::from_error(self, self.exit());
        match self {
            Self::Store(error) => error.diagnostic(),
            Self::Missing { path, secrets, purpose, files, store } => {
                let (work, other) = match purpose {
                    Purpose::Build => ("this build", "run"),
                    Purpose::Run => ("this start", "build"),
                    Purpose::Search | Purpose::List => ("this search", "build"),
                };
                let declared = secrets.iter().fold(diagnostic, |diagnostic, secret| {
                    let name = if secrets.len() > 1 { format!("`{}` ", secret.name) } else { String::new() };
                    diagnostic.note(format!("{name}declared in {}:{}, needed by {work}", path.display(), secret.line))
                });
                let example = secrets.first().map_or("NAME", |secret| secret.name.as_str());
                let rest = work.trim_start_matches("this ");
                let way = match (files.first(), *store) {
                    (_, true) => format!("pbuild secrets set {example}"),
                    (Some(file), false) => format!("write it into {}", file.display()),
                    (None, false) => format!("`pbuild secrets init`, then `pbuild secrets set {example}`; or --secret id={example},src=FILE"),
                };
                let unread = unread_env_file(path, files);
                let files = files.iter().map(|file| file.display().to_string());
                let places: Vec<String> = ["--secret", "--env-file"]
                    .map(str::to_owned)
                    .into_iter()
                    .chain(files)
                    .chain(store.then(|| "secrets.age".to_owned()))
                    .chain(["environment".to_owned()])
                    .collect();
                let places = places.join(", ");
                let declared = secrets.iter().fold(declared, |diagnostic, secret| match &secret.similar {
                    Some(similar) => diagnostic.help(format!(
                        "did you mean `{similar}`? It has a value, and differs from `{}` in case alone",
                        secret.name
                    )),
                    None => diagnostic,
                });
                let declared = declared.note(format!("looked in: {places}"));
                let declared = match unread {
                    Some(file) => declared.help(format!(
                        "{file} was not read: --env-file {file}, or env_files = [{{ path = \"{file}\" }}] in app.toml and `{} trust`",
                        purpose.tool()
                    )),
                    None => declared,
                };
                declared
                    .help(format!("{way}, or scope = \"{other}\" if the {rest} does not need it"))
            }
            Self::Untrusted { path, entries, purpose, danger } => {
                let told = acts_of(diagnostic, path, entries.iter().map(|entry| &entry.act));
                if let Some(danger) = danger {
                    return told.note(format!("{}: {danger}", path.display())).help(danger.help(path));
                }
                let tool = purpose.tool();
                let flag = entries.first().and_then(|entry| entry.act.flag.as_deref()).unwrap_or("id=NAME");
                told.help(format!(
                    "look at these lines, then `{tool} trust`; --secret {flag} for one command; --trust-config in CI"
                ))
            }
            Self::UntrustedHost { path, acts, purpose, danger } => {
                let told = acts_of(diagnostic, path, acts.iter());
                match danger {
                    Some(danger) => told.note(format!("{}: {danger}", path.display())).help(danger.help(path)),
                    None => {
                        told.help(format!("look at these lines, then `{} trust`; --trust-config in CI", purpose.tool()))
                    }
                }
            }
            // `id=NAME` alone stands for the variable of that name, or for the file of that name if there is no such
            // variable.
            Self::Secret(SecretError::Read { name, path, .. }) if path.as_os_str() == name.as_str() => diagnostic.help(
                format!("set {name} in the environment of this command, or name the file: --secret id={name},src=FILE"),
            ),
            Self::Secret(SecretError::Read { name, source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                diagnostic.help(format!(
                    "name a file that is there, from the folder where you stand; --secret id={name},env=VARIABLE takes a variable"
                ))
            }
            Self::Secret(SecretError::ReadEnvFile { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                diagnostic.help("name a file that is there, from the folder where you stand: ls -a shows them")
            }
            Self::Secret(SecretError::Unset { variable, .. }) => {
                diagnostic.help(format!("set {variable} in the environment of this command"))
            }
            Self::Secret(SecretError::Empty { name }) => diagnostic.help(format!(
                "give {name} a value; where it may have none: --secret id={name}?,…, or optional = true in app.toml"
            )),
            Self::Steers { name } => diagnostic.help(format!("--allow-name {name} takes it all the same")),
            Self::Secret(SecretError::LongVariable { name, .. } | SecretError::Nul { name }) => diagnostic
                .help(format!("{name} = {{ as = \"file\" }} below [secrets] of app.toml; {name} then is a path")),
            Self::Command(error) => error.complete(diagnostic),
            Self::EnvFileOpenToOthers { path } => {
                diagnostic.help(format!("chmod 600 {}, or leave --strict out", path.display()))
            }
            Self::NotSearchable { .. } => diagnostic.help(
                "use values of 8 characters or more, declare public ones in [env] of app.toml, or leave --strict out",
            ),
            Self::Secret(SecretError::EnvFile { error, .. }) => {
                error.help().into_iter().fold(diagnostic, Diagnostic::help)
            }
            Self::Flag { .. } => diagnostic.help("write --secret id=NAME,src=FILE or --secret id=NAME,env=VARIABLE"),
            Self::Outside { .. } => diagnostic.help("put the file itself there, or give it with --env-file"),
            Self::Composition { path, fault } => {
                diagnostic.note(format!("declared in {}:{}", path.display(), fault.line())).help(fault.help())
            }
            Self::NeverComposed { path, line, needs, .. } => diagnostic
                .note(format!("declared in {}:{line}, with scope = \"build\"", path.display()))
                .help(format!("declare `{needs}` in [secrets] or [env], or scope = \"run\" if a service sets it")),
            Self::Secret(SecretError::TooManyForms { .. }) => diagnostic
                .help("some 8,000 tokens fit; leave out what is public, or search for one env file after the other"),
            Self::Secret(_) | Self::Ended(_) => diagnostic,
        }
    }

    /// Returns the exit code of the tool.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Flag { .. } | Self::Steers { .. } | Self::Outside { .. } => Exit::Usage,
            Self::Untrusted { .. } | Self::UntrustedHost { .. } => Exit::Usage,
            Self::Composition { .. } | Self::NeverComposed { .. } => Exit::Usage,
            Self::Secret(SecretError::EnvFile { .. } | SecretError::Name | SecretError::TooManyForms { .. }) => {
                Exit::Usage
            }
            Self::Secret(_) | Self::EnvFileOpenToOthers { .. } | Self::Command(_) | Self::Missing { .. } => {
                Exit::SecretMissing
            }
            Self::NotSearchable { .. } => Exit::Incomplete,
            Self::Store(_) => Exit::Store,
            Self::Ended(ending) => Exit::Ended(*ending),
        }
    }
}
