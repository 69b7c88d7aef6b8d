//! The sources of a user secret's value: flags, env files, the manifest's `from`, the env files that the manifest
//! names, the sealed store, and the process environment. The first source that has a value wins.
//!
//! This module reads every value once, into a [`psecret::Secret`]. Secrets that the command does not need are read
//! too if their values are at hand, because the search then covers them; they are never required.

mod command;
mod command_error;
mod compose;
mod error;
mod index;
mod project;
mod readings;
mod store;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use papp::{Manifest, Origin};
use psecret::{
    Delivery, Dialect, EnvFile, EnvFileWarning, EnvValue, Inputs, PartChoice, Place, Rebuild, Scope, Searchability,
    Secret, SecretError, SecretFlag, SecretName, Source, UserSecret,
};

pub use command_error::CommandError;
pub use compose::longest;
pub use error::{Missing, ResolveError, Untrusted};
use index::SecretIndex;
use project::{Answer, ProjectFiles};
use store::LazyStore;

use crate::FoundManifest;
use crate::trust::{Act, Danger, Trusted, acts_on_host};
use pscreen::Cancellation;

/// The purpose of a command, which decides which secrets it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The secrets that a build offers to its steps.
    Build,
    /// The secrets that the running app gets.
    Run,
    /// A search needs no secret. It reads all values at hand and runs the trusted commands, because it covers only
    /// the values that it knows.
    Search,
    /// A list needs no secret. It shows the values at hand, and runs no command.
    List,
}

impl Purpose {
    /// Returns the name of the tool whose commands have this purpose.
    #[must_use]
    pub(crate) fn tool(self) -> &'static str {
        match self {
            Self::Run => "prun",
            Self::Build | Self::Search | Self::List => "pbuild",
        }
    }
}

impl Purpose {
    /// Returns the tool's default dialect for env files.
    #[must_use]
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Run => Dialect::Docker,
            Self::Build | Self::Search | Self::List => Dialect::Dotenv,
        }
    }
}

/// Whether the manifest may act on this machine: run commands, read files and variables, and mount paths of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// The manifest may act, because the user said so with `--trust-config`.
    Granted,
    /// The user did not give `--trust-config`. Acts that the user allowed earlier with `pbuild trust` are still
    /// allowed.
    #[default]
    Withheld,
}

/// The treatment of warnings about secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// Warnings are printed. This is the default.
    #[default]
    Lenient,
    /// Warnings end the command (`--strict`).
    Strict,
}

/// The sources of secrets on the command line.
#[derive(Clone, Debug, Default)]
pub struct SecretSources {
    /// The values of `--secret`, as written.
    pub flags: Vec<String>,
    /// The files of `--env-file`. A name in a later file replaces the same name of an earlier file.
    pub env_files: Vec<PathBuf>,
    /// The dialect in which env files are read.
    pub dialect: Dialect,
    /// The names of `--allow-name`, which are read from env files although they change how programs run.
    pub allowed_names: Vec<String>,
    /// `--strict`.
    pub strictness: Strictness,
    /// `--trust-config`.
    pub trust: Trust,
    /// The secrets whose values the caller has kept. Such a secret is not missing, even if no source has its value.
    pub kept: BTreeSet<String>,
}

/// The secrets with a value, and the names of those without one.
#[derive(Debug, Default)]
pub struct Resolution {
    /// The secrets that have a value: first those of the manifest, in its order, then all others. Each has the scope
    /// that the manifest gives it.
    pub secrets: Vec<Secret>,
    /// The names of composed secrets whose `value` needs variables that exist only at run time. A build does not get
    /// these secrets; the start composes them.
    pub deferred: Vec<String>,
    /// The names whose value is empty. An empty value needs no protection; a container gets the variable empty, as
    /// with docker.
    pub empty: Vec<String>,
    /// The secrets that the command does not need and that would have a value if the user trusted the manifest.
    pub untrusted: Vec<Untrusted>,
    /// The reason why the trust that the user gave earlier does not count.
    pub danger: Option<Danger>,
    /// Warnings for people, without any value.
    pub warnings: Vec<String>,
}

/// Finds and reads every secret.
///
/// `inputs` provides the environment and standard input. When `cancellation` ends the work, commands of the manifest
/// are ended.
///
/// # Errors
///
/// Returns the first error. Only secrets that no source has are collected and reported together, as
/// [`ResolveError::Missing`].
pub fn resolve(
    sources: &SecretSources,
    manifest: Option<&FoundManifest>,
    purpose: Purpose,
    inputs: &mut Inputs<'_>,
    cancellation: &Cancellation,
) -> Result<Resolution, ResolveError> {
    let nothing = Manifest::default();
    let declared = manifest.map_or(&nothing, |found| &found.manifest);
    let trusted = match (sources.trust, manifest) {
        (Trust::Withheld, Some(found)) => Trusted::remembered(found, inputs.environment()),
        _ => Trusted::everything(),
    };
    if purpose == Purpose::Run {
        may_reach_the_host(manifest, &trusted)?;
    }
    let (found, absent, empty, warnings) = Default::default();
    let mut search = Search { declared, purpose, by_name: by_name(declared), found, absent, empty, warnings };
    search.flags(sources, inputs)?;
    search.env_files(sources, inputs)?;
    let mut missing = Vec::new();
    let mut untrusted = Vec::new();
    let mut files = ProjectFiles::new(manifest);
    let mut store = LazyStore::new(manifest);
    for secret in &declared.secrets {
        let name = SecretName::parse(&secret.name)?;
        // If a flag for this name had no value, no other source is asked.
        if search.has(&name) || search.absent.contains(&name) || search.empty.contains(&name) {
            continue;
        }
        let Some(act) = Act::of(secret) else { continue };
        let needed = search.needs(secret);
        let mut set_to_nothing = false;
        let mut refused = |act: Act| untrusted.push(Untrusted { name: secret.name.clone(), act, needed });
        if secret.from.is_none() {
            match files.take(secret, &trusted, inputs)? {
                Answer::Nothing => {}
                Answer::Refused(act) => {
                    refused(act);
                    continue;
                }
                Answer::Empty => set_to_nothing = true,
                Answer::Value(value, other, source) => {
                    search.take_read(name, value, other, source)?;
                    continue;
                }
            }
        }
        match &secret.from {
            Some(_) if !trusted.covers(&act) => refused(act),
            Some(origin) => match search.origin(secret, name.clone(), origin, manifest, inputs, cancellation) {
                Err(ResolveError::Secret(error)) if secret.optional && error.is_absent() => search.go_without(&name),
                outcome => outcome?,
            },
            None if let Some(value) = store.take(&name, needed, inputs)? => {
                search.take(name, value, Source::Store)?;
            }
            None => match inputs.variable(&secret.name) {
                Some(value) if value.is_empty() && !needed => {}
                Some(value) if value.is_empty() && secret.optional => search.go_without(&name),
                Some(value) if value.is_empty() && purpose == Purpose::Run => search.take_empty(name),
                Some(_) if !trusted.covers(&act) => refused(act),
                Some(value) => search.take(name, value, Source::Environment)?,
                None if set_to_nothing => search.take_empty(name),
                None if needed && sources.kept.contains(&secret.name) => {}
                None if needed && secret.optional => search.go_without(&name),
                None if needed => {
                    let similar = search.similar(&secret.name, inputs);
                    missing.push(Missing { name: secret.name.clone(), line: secret.line, similar });
                }
                None => {}
            },
        }
    }
    let path = || manifest.map(|found| found.path.clone()).unwrap_or_default();
    let (refused, passed): (Vec<_>, Vec<_>) = untrusted.into_iter().partition(|entry| entry.needed);
    if !refused.is_empty() {
        let danger = trusted.danger();
        return Err(ResolveError::Untrusted { path: path(), entries: refused, purpose, danger });
    }
    if !missing.is_empty() {
        let files = declared.env_files.iter().map(|file| file.path.clone()).collect();
        return Err(ResolveError::Missing { path: path(), secrets: missing, purpose, files, store: store.exists() });
    }
    search.warnings.extend(files.into_warnings());
    search.warnings.extend(store.into_warning());
    let deferred = search.compose(&path())?;
    if sources.strictness == Strictness::Strict && matches!(purpose, Purpose::Build | Purpose::Run) {
        search.check_searchable()?;
    }
    let places: HashMap<&str, usize> =
        declared.secrets.iter().enumerate().map(|(place, secret)| (secret.name.as_str(), place)).collect();
    let mut secrets = search.found.into_vec();
    secrets.sort_by_key(|secret| places.get(secret.name().as_str()).copied().unwrap_or(usize::MAX));
    let (danger, warnings) = (trusted.danger(), search.warnings);
    let empty = search.empty.into_iter().map(|name| name.as_str().to_owned()).collect();
    Ok(Resolution { secrets, deferred, empty, untrusted: passed, danger, warnings })
}

/// Refuses a start that would mount paths of the host without trust. This check precedes all reading and running for
/// the start.
fn may_reach_the_host(manifest: Option<&FoundManifest>, trusted: &Trusted) -> Result<(), ResolveError> {
    let Some(found) = manifest else { return Ok(()) };
    let acts: Vec<Act> = acts_on_host(&found.manifest).into_iter().filter(|act| !trusted.covers(act)).collect();
    if acts.is_empty() {
        return Ok(());
    }
    let (path, danger) = (found.path.clone(), trusted.danger());
    Err(ResolveError::UntrustedHost { path, acts, purpose: Purpose::Run, danger })
}

fn by_name(manifest: &Manifest) -> HashMap<&str, &papp::Secret> {
    manifest.secrets.iter().map(|secret| (secret.name.as_str(), secret)).collect()
}

/// Converts the manifest's choice of a value's parts.
#[must_use]
pub fn part_choice(parts: &papp::Parts) -> PartChoice {
    match parts {
        papp::Parts::All => PartChoice::All,
        papp::Parts::None => PartChoice::None,
        papp::Parts::Named(names) => PartChoice::Named(names.clone()),
    }
}

/// Reads a value. During the read, a signal ends the process at once, because the value may come from a pipe that
/// nobody writes to.
fn read_value(place: &Place, name: &SecretName, inputs: &mut Inputs<'_>) -> Result<UserSecret, SecretError> {
    let _waiting = pscreen::waiting();
    place.read(name, inputs)
}

/// Reads an env file. During the read, a signal ends the process at once.
fn read_env_file(path: &Path, dialect: Dialect, inputs: &mut Inputs<'_>) -> Result<EnvFile, SecretError> {
    let _waiting = pscreen::waiting();
    EnvFile::read(path, dialect, inputs)
}

/// The state of a search for all secrets.
struct Search<'a> {
    declared: &'a Manifest,
    /// The declared secrets by their names.
    by_name: HashMap<&'a str, &'a papp::Secret>,
    purpose: Purpose,
    found: SecretIndex,
    /// The names of optional secrets whose flags had no value.
    absent: BTreeSet<SecretName>,
    /// The names whose value is empty.
    empty: BTreeSet<SecretName>,
    warnings: Vec<String>,
}

impl<'a> Search<'a> {
    fn declared_as(&self, name: &SecretName) -> Option<&'a papp::Secret> {
        self.by_name.get(name.as_str()).copied()
    }

    fn has(&self, name: &SecretName) -> bool {
        self.found.has(name)
    }

    fn needs(&self, secret: &papp::Secret) -> bool {
        match self.purpose {
            Purpose::Build => secret.in_build(),
            Purpose::Run => secret.in_run(),
            Purpose::Search | Purpose::List => false,
        }
    }

    /// Returns true if this command runs the secret's own command.
    fn fetches(&self, secret: &papp::Secret) -> bool {
        self.needs(secret) || self.purpose == Purpose::Search
    }

    /// Returns true if a failure of the secret's own command is only a warning. A search fails, like a build, if a
    /// secret of builds has no value. For secrets of the app alone, it continues with a warning, because the user who
    /// searches an image may not have access to them.
    fn goes_without(&self, secret: &papp::Secret) -> bool {
        self.purpose == Purpose::Search && !secret.in_build()
    }

    /// Records a name whose value is empty. A build does not give it to its steps.
    fn take_empty(&mut self, name: SecretName) {
        if self.purpose == Purpose::Build && self.declared_as(&name).is_some_and(papp::Secret::in_build) {
            self.warnings.push(format!("`{name}` is set to nothing, so it is no secret; no step gets it"));
        }
        self.empty.insert(name);
    }

    /// Warns that an optional secret has no value.
    fn go_without(&mut self, name: &SecretName) {
        self.warnings.push(format!("`{name}` is optional and has no value; nothing gets it"));
    }

    /// Refuses values that cannot be searched for in every form (`--strict`).
    fn check_searchable(&self) -> Result<(), ResolveError> {
        let judged = self.found.iter().map(|secret| (secret.name().clone(), Searchability::of(secret.value())));
        let secrets: Vec<_> = judged.filter(|(_, searchability)| *searchability != Searchability::Full).collect();
        if secrets.is_empty() { Ok(()) } else { Err(ResolveError::NotSearchable { secrets }) }
    }

    /// Finds a name that has a value and differs from `name` in case alone.
    fn similar(&self, name: &str, inputs: &Inputs<'_>) -> Option<String> {
        let given =
            self.found.iter().map(|secret| secret.name().as_str()).find(|known| known.eq_ignore_ascii_case(name));
        let in_environment = || {
            let spellings = [name.to_ascii_uppercase(), name.to_ascii_lowercase()];
            spellings.into_iter().find(|other| other != name && (inputs.environment())(other).is_some())
        };
        given.map(str::to_owned).or_else(in_environment)
    }

    /// Adds a value of an env file, with the value that the other dialect would read.
    fn take_read(
        &mut self,
        name: SecretName,
        value: UserSecret,
        other: Option<UserSecret>,
        source: Source,
    ) -> Result<(), ResolveError> {
        self.take(name.clone(), value, source)?;
        if let Some(secret) = self.found.remove(&name) {
            self.found.put(secret.with_reading(other));
        }
        Ok(())
    }

    /// Adds a value, with the scope and delivery that the manifest gives it.
    fn take(&mut self, name: SecretName, value: UserSecret, source: Source) -> Result<(), ResolveError> {
        let choice = self.declared_as(&name).map(|secret| part_choice(&secret.parts)).unwrap_or_default();
        self.take_with(name, value, source, choice)
    }

    /// Adds a value, with the scope and delivery that the manifest gives it, and with this choice of parts.
    fn take_with(
        &mut self,
        name: SecretName,
        value: UserSecret,
        source: Source,
        choice: PartChoice,
    ) -> Result<(), ResolveError> {
        let declared = self.declared_as(&name);
        let scope = declared.map_or(Scope::Both, |secret| match secret.scope {
            papp::Scope::Build => Scope::Build,
            papp::Scope::Run => Scope::Run,
            papp::Scope::Both => Scope::Both,
        });
        let delivery = match declared {
            Some(secret) if secret.delivery == papp::Delivery::File => Delivery::File,
            // Docker's ids such as `npm-token` are not valid names of variables; steps find such secrets as files.
            None if !name.is_variable() => Delivery::File,
            Some(_) | None => Delivery::Variable,
        };
        if let Source::Flag(Place::File(path)) | Source::Manifest(Place::File(path)) = &source
            && delivery == Delivery::Variable
            && value.is_one_line_with_its_end()
        {
            let path = path.display();
            self.warnings.push(format!(
                "{path}: the value of `{name}` ends in a line end, and so will the variable; `printf %s` writes a file without"
            ));
        }
        let rebuild = match declared.and_then(|secret| secret.rebuild) {
            None | Some(true) => Rebuild::WithValue,
            Some(false) => Rebuild::Never,
        };
        let secret = match Secret::fits(&name, &value, delivery) {
            // Docker accepts any file as a secret. A keystore or a bundle of certificates is not valid as a variable,
            // so steps read it as a file.
            Err(error) if error.is_no_variable() && declared.is_none() && self.purpose != Purpose::Run => {
                self.warnings.push(format!("{error}; so `{name}` is the path of a file with the value"));
                Secret::new(name, value, scope, Delivery::File, source)?
            }
            _ => Secret::new(name, value, scope, delivery, source)?,
        };
        self.found.put(secret.with_parts(choice).with_rebuild(rebuild));
        Ok(())
    }

    fn flags(&mut self, sources: &SecretSources, inputs: &mut Inputs<'_>) -> Result<(), ResolveError> {
        let flags =
            sources.flags.iter().enumerate().map(|(at, text)| {
                SecretFlag::parse(text).map_err(|source| ResolveError::Flag { number: at + 1, source })
            });
        let flags = flags.collect::<Result<Vec<_>, _>>()?;
        for (at, flag) in flags.iter().enumerate() {
            let name = flag.name();
            if flags[at + 1..].iter().any(|later| later.name() == name) {
                self.warnings.push(format!("--secret names `{name}` twice; the last one counts"));
                continue;
            }
            if self.declared_as(name).is_some_and(|secret| secret.from.is_some() || secret.value.is_some()) {
                self.warnings
                    .push(format!("--secret gives `{name}`, so what the manifest says about its value is not used"));
            }
            let is_allowed = sources.allowed_names.iter().any(|allowed| allowed == name.as_str());
            if name.steers_programs() && !is_allowed && self.declared_as(name).is_none() {
                return Err(ResolveError::Steers { name: name.clone() });
            }
            let place = flag.place(inputs);
            let is_optional = flag.is_optional() || self.declared_as(name).is_some_and(|secret| secret.optional);
            let value = match read_value(&place, name, inputs) {
                Err(error) if is_optional && error.is_absent() => {
                    self.absent.insert(name.clone());
                    self.go_without(name);
                    continue;
                }
                value => value?,
            };
            match flag.parts() {
                Some(choice) => self.take_with(name.clone(), value, Source::Flag(place), choice.clone())?,
                None => self.take(name.clone(), value, Source::Flag(place))?,
            }
            if let Some(rebuild) = flag.rebuild() {
                let taken = self.found.remove(name).map(|secret| secret.with_rebuild(rebuild));
                taken.into_iter().for_each(|secret| self.found.put(secret));
            }
        }
        Ok(())
    }

    fn env_files(&mut self, sources: &SecretSources, inputs: &mut Inputs<'_>) -> Result<(), ResolveError> {
        let given: BTreeSet<SecretName> = self.found.iter().map(|secret| secret.name().clone()).collect();
        let allowed = |name: &SecretName| sources.allowed_names.iter().any(|allowed| allowed == name.as_str());
        for path in &sources.env_files {
            let file = read_env_file(path, sources.dialect, inputs)?;
            let mut split = Vec::new();
            for warning in file.warnings() {
                match warning {
                    // `readings::both` warns about these quotes after the loop, together with all other values that
                    // the dialects read differently.
                    EnvFileWarning::QuotesKept { .. } => {}
                    EnvFileWarning::ReadableByOthers if sources.strictness == Strictness::Strict => {
                        return Err(ResolveError::EnvFileOpenToOthers { path: path.clone() });
                    }
                    EnvFileWarning::SteersPrograms { name, .. } if allowed(name) => {}
                    EnvFileWarning::SteersPrograms { name, .. } => self.warnings.push(format!(
                        "{}: {warning}; it is left out unless --allow-name {name} says otherwise",
                        path.display()
                    )),
                    _ => self.warnings.push(readings::warned(path, warning)),
                }
            }
            for entry in file.into_entries() {
                if given.contains(&entry.name) || (entry.name.steers_programs() && !allowed(&entry.name)) {
                    continue;
                }
                let line = entry.line;
                let other = entry.other;
                let value = match entry.value {
                    EnvValue::Literal(value) => Some(value),
                    EnvValue::FromEnvironment => inputs.variable(entry.name.as_str()),
                };
                let Some(value) = value else {
                    // The warning does not show the name, because a line without `=` may be a piece of a value.
                    self.warnings.push(format!(
                        "{}: line {line}: a name without `=` that the environment does not have; it is left out",
                        path.display()
                    ));
                    continue;
                };
                // The last line for a name counts, even if its value is empty.
                self.found.remove(&entry.name);
                self.empty.remove(&entry.name);
                if value.is_empty() {
                    if self.purpose != Purpose::Run {
                        self.warnings
                            .push(format!("{}: line {line}: the value is empty, so it is no secret", path.display()));
                    }
                    self.empty.insert(entry.name);
                    continue;
                }
                if other.is_some() {
                    split.push((entry.name.clone(), line));
                }
                self.take_read(entry.name, value, other, Source::EnvFile { path: path.clone(), line })?;
            }
            self.warnings.extend(readings::both(path, sources.dialect, &split));
        }
        Ok(())
    }

    /// Reads the value from a trusted `from`. If the command does not need the secret, it may have no value.
    fn origin(
        &mut self,
        secret: &papp::Secret,
        name: SecretName,
        origin: &Origin,
        manifest: Option<&FoundManifest>,
        inputs: &mut Inputs<'_>,
        cancellation: &Cancellation,
    ) -> Result<(), ResolveError> {
        let needed = self.needs(secret);
        let directory = manifest.map(FoundManifest::directory).unwrap_or(Path::new(""));
        let place = match origin {
            Origin::Variable(variable) => Place::Variable(variable.clone()),
            Origin::File(path) => Place::File(directory.join(path)),
            Origin::Command { .. } if !self.fetches(secret) => return Ok(()),
            Origin::Command { words, timeout, raw } => {
                let command = command::Command { words, directory, timeout: *timeout, raw: *raw };
                let value = command.run(&name, &self.found, cancellation);
                let program = words.first().cloned().unwrap_or_default();
                return match value.and_then(|value| self.take(name, value, Source::Command { program })) {
                    Err(error @ (ResolveError::Command(_) | ResolveError::Secret(_))) if self.goes_without(secret) => {
                        self.warnings.push(error.to_string());
                        Ok(())
                    }
                    outcome => outcome,
                };
            }
        };
        match read_value(&place, &name, inputs) {
            Ok(value) => self.take(name, value, Source::Manifest(place)),
            Err(_) if !needed => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
