//! The `secrets` commands, with which people use the sealed store. pbuild has all of them, prun only `list`.
//!
//! A value comes in through a prompt without echo, standard input, an env file, or the editor's file in memory; it is
//! never an argument. It leaves only through `export`, into a file of mode 0600.

mod change;
mod command;
mod compare;
mod edit;
mod error;
mod list;
mod recipients;

use std::path::Path;

pub use command::{
    AddRecipientArguments, DiffArguments, ExportArguments, IdentityArguments, IdentityCommand, ImportArguments,
    InitArguments, ListArguments, LookArguments, LookCommand, ProjectFlag, RecipientArguments, RecipientsArguments,
    RecipientsCommand, SecretsCommand, SetArguments, TrustArguments, UnsetArguments,
};
pub use error::SecretsError;
pub use list::{ListedSecret, State};

use psecret::{Dialect, Secret, UserSecret};

use crate::resolve::SecretSources;
use crate::{FoundManifest, ProjectStore, find_manifest, foreign_manifest, trust};
use pscreen::{Cancellation, Diagnostic, Exit, Printer};

/// The inputs and outputs of a command.
#[derive(Clone, Debug)]
pub struct Desk {
    /// The printer for results, on standard output.
    pub stdout: Printer,
    /// The printer for messages, on standard error.
    pub stderr: Printer,
    /// The signal that asks the work to stop.
    pub cancellation: Cancellation,
}

/// Returns the value of a variable of the process environment.
fn environment(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// Runs a command of `pbuild secrets`.
///
/// # Errors
///
/// Returns the error as a diagnostic for people, with the exit code.
pub fn run(command: &SecretsCommand, desk: &Desk) -> Result<Exit, Diagnostic> {
    let told = |result: Result<Exit, SecretsError>| result.map_err(|error| error.diagnostic());
    match command {
        SecretsCommand::List(arguments) => list::run(arguments, Dialect::Dotenv, desk),
        SecretsCommand::Init(arguments) => told(change::init(&Project::find(&arguments.project)?, arguments, desk)),
        SecretsCommand::Set(arguments) => told(change::set(&Project::find(&arguments.project)?, arguments, desk)),
        SecretsCommand::Unset(arguments) => told(change::unset(&Project::find(&arguments.project)?, arguments, desk)),
        SecretsCommand::Import(arguments) => told(change::import(&Project::find(&arguments.project)?, arguments, desk)),
        SecretsCommand::Export(arguments) => told(change::export(&Project::find(&arguments.project)?, arguments, desk)),
        SecretsCommand::Edit(project) => told(edit::run(&Project::find(project)?, desk)),
        SecretsCommand::Diff(arguments) => told(compare::diff(&Project::find(&arguments.project)?, arguments, desk)),
        SecretsCommand::RotateKey(project) => told(recipients::rotate(&Project::find(project)?, desk)),
        SecretsCommand::Recipients(arguments) => match &arguments.command {
            RecipientsCommand::Mine => told(recipients::mine(desk)),
            RecipientsCommand::List(project) => told(recipients::list(&Project::find(project)?, desk)),
            RecipientsCommand::Add(arguments) => {
                told(recipients::add(&Project::find(&arguments.project)?, arguments, desk))
            }
            RecipientsCommand::Remove(arguments) => {
                told(recipients::remove(&Project::find(&arguments.project)?, arguments, desk))
            }
        },
        SecretsCommand::Identity(arguments) => match arguments.command {
            IdentityCommand::Passphrase { remove } => told(recipients::passphrase(remove, desk)),
        },
        SecretsCommand::CacheKey => told(cache_key(desk)),
        SecretsCommand::Textconv { file } => told(compare::textconv(file, desk)),
        SecretsCommand::Merge { base, ours, theirs } => told(compare::merge(base, ours, theirs, desk)),
    }
}

/// Prints a new random key. The key is not stored.
fn cache_key(desk: &Desk) -> Result<Exit, SecretsError> {
    desk.stdout.line(&crate::sealed::cache_key_text()?);
    Ok(Exit::Done)
}

/// Closes the identity and the store's backup to other users (`--fix-permissions`).
///
/// # Errors
///
/// Returns an error if a file belongs to another user.
pub fn fix_permissions(desk: &Desk) -> Result<(), Diagnostic> {
    let project = Project::find(&ProjectFlag::default())?;
    let fixed = crate::fix_permissions(&project.store, &environment).map_err(|error| error.diagnostic())?;
    fixed.iter().for_each(|path| desk.stderr.fact("closed", &format!("{} to other users", path.display())));
    Ok(())
}

/// Runs a command of `prun secrets`.
///
/// # Errors
///
/// Returns the same errors as [`run`].
pub fn look(arguments: &LookArguments, desk: &Desk) -> Result<Exit, Diagnostic> {
    match &arguments.command {
        LookCommand::List(arguments) => list::run(arguments, Dialect::Docker, desk),
    }
}

/// Lists the secrets of a project as `prun secrets list` does, without flags.
///
/// # Errors
///
/// As [`run`].
pub fn listed(config: Option<&Path>, desk: &Desk) -> Result<Vec<ListedSecret>, Diagnostic> {
    list::all(config, &of_a_start(), desk)
}

/// Finds one secret that has a value at hand, for somebody who asked for this one.
///
/// # Errors
///
/// When it has none; as [`run`].
pub fn value(config: Option<&Path>, name: &str, desk: &Desk) -> Result<Secret, Diagnostic> {
    list::one(config, &of_a_start(), name, desk)
}

/// Sets a secret in the sealed store as `pbuild secrets set` does, with a value that is at hand already.
///
/// # Errors
///
/// As [`run`].
pub fn put(config: Option<&Path>, name: &str, value: UserSecret, desk: &Desk) -> Result<(), Diagnostic> {
    let project = Project::find(&ProjectFlag { config: config.map(Path::to_owned) })?;
    change::put(&project, name, value, desk).map_err(|error| error.diagnostic())
}

/// The sources of a start without flags.
fn of_a_start() -> SecretSources {
    SecretSources { dialect: Dialect::Docker, ..SecretSources::default() }
}

/// Shows the acts of the manifest, and records that the user trusts or no longer trusts them. With `--dry-run`,
/// nothing is recorded.
///
/// # Errors
///
/// Returns an error if there is no manifest, or no state folder to record the trust in.
pub fn trust(arguments: &TrustArguments, desk: &Desk) -> Result<Exit, Diagnostic> {
    let Some(found) = manifest(&arguments.project)? else {
        return Err(Diagnostic::error("there is no app.toml here", Exit::Usage).help("name it with --config FILE"));
    };
    let acts = trust::acts(&found.manifest);
    if arguments.forget {
        trust::forget(&found, &environment).map_err(|error| error.diagnostic())?;
        desk.stderr.fact("trust", &format!("{} is not trusted any more", found.path.display()));
    } else if acts.is_empty() {
        desk.stderr.fact("trust", &format!("{} asks for nothing that needs trust", found.path.display()));
    } else {
        acts.iter().for_each(|act| desk.stderr.fact("trust", &act.told));
        if arguments.dry_run {
            let path = found.path.display();
            desk.stderr.fact("trust", &format!("{path} would be allowed this; nothing is remembered"));
            return Ok(Exit::Done);
        }
        trust::remember(&found, &environment).map_err(|error| error.diagnostic())?;
        desk.stderr.fact(
            "trust",
            &format!("{} may do this; you will be asked again if an entry changes", found.path.display()),
        );
    }
    Ok(Exit::Done)
}

fn manifest(project: &ProjectFlag) -> Result<Option<FoundManifest>, Diagnostic> {
    find_manifest(project.config.as_deref(), &[Path::new("")]).map_err(|error| error.diagnostic())
}

/// The manifest and the store of a project.
struct Project {
    manifest: Option<FoundManifest>,
    store: ProjectStore,
}

impl Project {
    fn find(flag: &ProjectFlag) -> Result<Self, Diagnostic> {
        let manifest = manifest(flag)?;
        let directory = manifest.as_ref().map(FoundManifest::directory).unwrap_or(Path::new(""));
        let store = ProjectStore::beside(directory, &environment).map_err(|error| error.diagnostic())?;
        Ok(Self { manifest, store })
    }

    /// Warns that a name in the store has no effect yet, because no manifest declares it.
    fn hint_undeclared(&self, name: &str, desk: &Desk) {
        if self.manifest.is_none() {
            foreign_manifest(None, &[Path::new("")]).iter().for_each(|said| desk.stderr.warning(said));
        }
        if self.manifest.as_ref().is_none_or(|found| found.manifest.secret(name).is_none()) {
            desk.stderr
                .warning(&format!("no app.toml declares `{name}`; add `{name} = {{}}` below [secrets] to use it"));
        }
    }
}
