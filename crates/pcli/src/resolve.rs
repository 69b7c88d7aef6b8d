//! Where a user secret's value comes from: flags, env files, the manifest's `from`, the sealed store, the process
//! environment; the first hit wins.
//!
//! Values are read once, here, and never leave [`psecret::Secret`]. A secret that the work does not need is taken when
//! it is at hand, because the search knows more with it, and is never required.

mod command;
mod compose;
mod error;
mod store;

use std::collections::BTreeSet;
use std::path::PathBuf;

use papp::{Manifest, Origin};
use psecret::{
    Delivery, Dialect, EnvFile, EnvFileWarning, EnvValue, Inputs, Place, Scope, Secret, SecretFlag, SecretName, Source,
    UserSecret,
};

pub use command::CommandError;
pub use error::{Missing, ResolveError};
use store::LazyStore;

use crate::{Cancellation, FoundManifest, trust};

/// Which secrets are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Those that a build offers to its steps.
    Build,
    /// Those that the running app gets.
    Run,
    /// None: a search takes what is at hand.
    Search,
}

/// Whether the manifest's `from` may act: run commands, read files and variables that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The user said so, with `--trust-config`.
    Granted,
    /// The user did not; what was trusted once with `pbuild trust` acts all the same.
    Withheld,
}

/// What the command line says about secrets.
#[derive(Clone, Debug)]
pub struct SecretSources {
    /// `--secret`, as written.
    pub flags: Vec<String>,
    /// `--env-file`; a name in a later file replaces that of an earlier one.
    pub env_files: Vec<PathBuf>,
    /// How env files are read.
    pub dialect: Dialect,
    /// `--trust-config`.
    pub trust: Trust,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Resolution {
    /// The secrets, those of the manifest first, in its order. Each has the scope that the manifest says.
    pub secrets: Vec<Secret>,
    /// Names whose `value` needs variables that exist at run time alone: no build gets them, and the start makes them.
    pub deferred: Vec<String>,
    /// What people should know, without any value.
    pub warnings: Vec<String>,
}

/// Finds and reads every secret.
///
/// `inputs` lends the environment and standard input. Commands of the manifest stop when `cancellation` says so.
///
/// # Errors
///
/// The first thing that is wrong; secrets that are found nowhere are told together ([`ResolveError::Missing`]).
pub fn resolve(
    sources: &SecretSources,
    manifest: Option<&FoundManifest>,
    purpose: Purpose,
    inputs: &mut Inputs<'_>,
    cancellation: &Cancellation,
) -> Result<Resolution, ResolveError> {
    let nothing = Manifest::default();
    let declared = manifest.map_or(&nothing, |found| &found.manifest);
    let mut search = Search { declared, purpose, found: Vec::new(), warnings: Vec::new() };
    search.flags(&sources.flags, inputs)?;
    search.env_files(sources, inputs)?;
    let mut missing = Vec::new();
    let mut untrusted = Vec::new();
    let trusted =
        sources.trust == Trust::Granted || manifest.is_some_and(|found| trust::is_trusted(found, inputs.environment()));
    let mut store = LazyStore::new(manifest);
    for secret in &declared.secrets {
        let name = SecretName::parse(&secret.name)?;
        if search.has(&name) || secret.value.is_some() {
            continue;
        }
        match &secret.from {
            Some(_) if !trusted && search.needs(secret) => untrusted.push((secret.name.clone(), secret.line)),
            Some(_) if !trusted => {}
            Some(origin) => search.origin(secret, name, origin, manifest, inputs, cancellation)?,
            None if let Some(value) = store.take(&name, search.needs(secret), inputs)? => {
                search.take(name, value, Source::Store)?;
            }
            None => match inputs.variable(&secret.name) {
                Some(value) if value.is_empty() && !search.needs(secret) => {}
                Some(value) => search.take(name, value, Source::Environment)?,
                None if search.needs(secret) => missing.push(Missing { name: secret.name.clone(), line: secret.line }),
                None => {}
            },
        }
    }
    let path = || manifest.map(|found| found.path.clone()).unwrap_or_default();
    if !untrusted.is_empty() {
        return Err(ResolveError::Untrusted { path: path(), secrets: untrusted });
    }
    if !missing.is_empty() {
        return Err(ResolveError::Missing { path: path(), secrets: missing, purpose, store: store.exists() });
    }
    search.warnings.extend(store.into_warning());
    let deferred = search.compose()?;
    let place = |secret: &Secret| declared.secrets.iter().position(|known| known.name == secret.name().as_str());
    search.found.sort_by_key(|secret| place(secret).unwrap_or(usize::MAX));
    Ok(Resolution { secrets: search.found, deferred, warnings: search.warnings })
}

/// A search under way.
struct Search<'a> {
    declared: &'a Manifest,
    purpose: Purpose,
    found: Vec<Secret>,
    warnings: Vec<String>,
}

impl Search<'_> {
    fn has(&self, name: &SecretName) -> bool {
        self.found.iter().any(|secret| secret.name() == name)
    }

    fn needs(&self, secret: &papp::Secret) -> bool {
        match self.purpose {
            Purpose::Build => secret.in_build(),
            Purpose::Run => secret.in_run(),
            Purpose::Search => false,
        }
    }

    /// Takes a value under the scope and in the shape that the manifest says.
    fn take(&mut self, name: SecretName, value: UserSecret, source: Source) -> Result<(), ResolveError> {
        let declared = self.declared.secret(name.as_str());
        let scope = declared.map_or(Scope::Both, |secret| match secret.scope {
            papp::Scope::Build => Scope::Build,
            papp::Scope::Run => Scope::Run,
            papp::Scope::Both => Scope::Both,
        });
        let delivery = match declared {
            Some(secret) if secret.delivery == papp::Delivery::File => Delivery::File,
            // Docker's ids such as `npm-token` are no variables; their steps find them as files.
            None if !name.is_variable() => Delivery::File,
            Some(_) | None => Delivery::Variable,
        };
        self.found.push(Secret::new(name, value, scope, delivery, source)?);
        Ok(())
    }

    fn flags(&mut self, flags: &[String], inputs: &mut Inputs<'_>) -> Result<(), ResolveError> {
        let flags = flags
            .iter()
            .enumerate()
            .map(|(at, text)| SecretFlag::parse(text).map_err(|source| ResolveError::Flag { number: at + 1, source }));
        let flags = flags.collect::<Result<Vec<_>, _>>()?;
        for (at, flag) in flags.iter().enumerate() {
            let name = flag.name();
            if flags[at + 1..].iter().any(|later| later.name() == name) {
                self.warnings.push(format!("--secret names `{name}` twice; the last one counts"));
                continue;
            }
            if self.declared.secret(name.as_str()).is_some_and(|secret| secret.from.is_some() || secret.value.is_some())
            {
                self.warnings
                    .push(format!("--secret gives `{name}`, so what the manifest says about its value is not used"));
            }
            let place = flag.place(inputs);
            let value = place.read(name, inputs)?;
            self.take(name.clone(), value, Source::Flag(place))?;
        }
        Ok(())
    }

    fn env_files(&mut self, sources: &SecretSources, inputs: &mut Inputs<'_>) -> Result<(), ResolveError> {
        let given: BTreeSet<SecretName> = self.found.iter().map(|secret| secret.name().clone()).collect();
        for path in &sources.env_files {
            let file = EnvFile::read(path, sources.dialect, inputs)?;
            for warning in file.warnings() {
                let end =
                    if matches!(warning, EnvFileWarning::SteersPrograms { .. }) { "; it is left out" } else { "" };
                self.warnings.push(format!("{}: {warning}{end}", path.display()));
            }
            for entry in file.into_entries().into_iter().filter(|entry| !entry.name.steers_programs()) {
                if given.contains(&entry.name) {
                    continue;
                }
                let line = entry.line;
                let value = match entry.value {
                    EnvValue::Literal(value) => Some(value),
                    EnvValue::FromEnvironment => inputs.variable(entry.name.as_str()),
                };
                let Some(value) = value else { continue };
                if value.is_empty() {
                    self.warnings.push(format!(
                        "{}: line {line}: `{}` is empty, so it is no secret",
                        path.display(),
                        entry.name
                    ));
                    continue;
                }
                self.found.retain(|earlier| *earlier.name() != entry.name);
                self.take(entry.name, value, Source::EnvFile { path: path.clone(), line })?;
            }
        }
        Ok(())
    }

    /// Follows a trusted `from`. What the work does not need is not fetched by command, and may be absent.
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
        let directory = manifest.map(FoundManifest::directory).unwrap_or(std::path::Path::new(""));
        let place = match origin {
            Origin::Variable(variable) => Place::Variable(variable.clone()),
            Origin::File(path) => Place::File(directory.join(path)),
            Origin::Command { .. } if !needed => return Ok(()),
            Origin::Command { words, timeout, raw } => {
                let command = command::Command { words, directory, timeout: *timeout, raw: *raw };
                let value = command.run(&name, &self.found, cancellation)?;
                let program = words.first().cloned().unwrap_or_default();
                return self.take(name, value, Source::Command { program });
            }
        };
        match place.read(&name, inputs) {
            Ok(value) => self.take(name, value, Source::Manifest(place)),
            Err(_) if !needed => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
