//! The env files that the manifest names, as a place where values come from.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use psecret::{
    Dialect, EnvEntry, EnvFile, EnvFileWarning, EnvValue, Inputs, SecretError, SecretName, Source, UserSecret,
};

use super::{ResolveError, readings};
use crate::FoundManifest;
use crate::trust::{Act, Trusted};

/// The answer of the project's files to one name.
pub(super) enum Answer {
    /// No file has the name.
    Nothing,
    /// A file is there, and the manifest may not read it for this secret yet.
    Refused(Act),
    /// A file sets the name to nothing.
    Empty,
    /// The value, the value that the other dialect reads in its place, and the source.
    Value(UserSecret, Option<UserSecret>, Source),
}

/// The project's own env files. Each is read when the first secret is looked for in it.
pub(super) struct ProjectFiles<'a> {
    directory: PathBuf,
    /// The last one of the manifest first: it replaces those before it.
    files: Vec<(&'a papp::EnvFile, State)>,
    warnings: Vec<String>,
    /// The names that the dialects read differently, each with its file.
    split: Vec<(PathBuf, SecretName, usize)>,
}

enum State {
    Unread,
    /// A checkout without the file is as good as one with an empty file.
    Absent,
    /// The entries by name; the last line of a name counts.
    Read(HashMap<String, EnvEntry>),
}

impl<'a> ProjectFiles<'a> {
    pub(super) fn new(found: Option<&'a FoundManifest>) -> Self {
        let directory = found.map(|found| found.directory().to_owned()).unwrap_or_default();
        let declared = found.into_iter().flat_map(|found| found.manifest.env_files.iter().rev());
        Self {
            directory,
            files: declared.map(|file| (file, State::Unread)).collect(),
            warnings: Vec::new(),
            split: Vec::new(),
        }
    }

    /// Takes a secret's value out. Nothing of a file is read before the user trusts the manifest to.
    pub(super) fn take(
        &mut self,
        secret: &papp::Secret,
        trusted: &Trusted,
        inputs: &mut Inputs<'_>,
    ) -> Result<Answer, ResolveError> {
        for (file, state) in &mut self.files {
            let Some(path) = inside(&self.directory, &file.path)? else {
                *state = State::Absent;
                continue;
            };
            let act = Act::of_file(file, secret);
            if !trusted.covers(&act) {
                return Ok(Answer::Refused(act));
            }
            if matches!(state, State::Unread) {
                let read = super::read_env_file(&path, dialect(file.dialect), inputs)?;
                self.warnings.extend(warnings(file, &read));
                let entries = read.into_entries().into_iter();
                *state = State::Read(entries.map(|entry| (entry.name.as_str().to_owned(), entry)).collect());
            }
            let State::Read(entries) = state else { continue };
            let Some(entry) = entries.remove(&secret.name) else { continue };
            // A bare name would be the process environment's, which is asked for last.
            if let EnvValue::Literal(value) = entry.value {
                if value.is_empty() {
                    return Ok(Answer::Empty);
                }
                if entry.other.is_some() {
                    self.split.push((file.path.clone(), entry.name, entry.line));
                }
                return Ok(Answer::Value(
                    value,
                    entry.other,
                    Source::ProjectFile { path: file.path.clone(), line: entry.line },
                ));
            }
        }
        Ok(Answer::Nothing)
    }

    /// Returns the warnings about the files that were read.
    pub(super) fn into_warnings(mut self) -> Vec<String> {
        for (file, _) in self.files.iter().rev() {
            let of_file = self.split.iter().filter(|(path, ..)| *path == file.path);
            let names: Vec<_> = of_file.map(|(_, name, line)| (name.clone(), *line)).collect();
            let dialect = dialect(file.dialect);
            self.warnings.extend(readings::both(&file.path, dialect, &names));
        }
        self.warnings
    }
}

/// Finds the real path of a file; `None` if there is no file. A file outside of the folder is refused: a symbolic link
/// is a path that somebody else wrote.
fn inside(directory: &Path, path: &Path) -> Result<Option<PathBuf>, ResolveError> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let named = directory.join(path);
    let failed = |source| SecretError::ReadEnvFile { path: named.clone(), source };
    match fs::canonicalize(&named) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error).into()),
        Ok(real) if real.starts_with(fs::canonicalize(directory).map_err(failed)?) => Ok(Some(real)),
        Ok(_) => Err(ResolveError::Outside { path: named }),
    }
}

fn dialect(dialect: papp::EnvFileDialect) -> Dialect {
    match dialect {
        papp::EnvFileDialect::Dotenv => Dialect::Dotenv,
        papp::EnvFileDialect::Docker => Dialect::Docker,
    }
}

/// Chooses the warnings about a file that other programs read too: only those matter that may change a secret's value.
fn warnings(file: &papp::EnvFile, read: &EnvFile) -> Vec<String> {
    let counts = |warning: &&EnvFileWarning| {
        !matches!(
            warning,
            EnvFileWarning::NotAVariable { .. }
                | EnvFileWarning::SteersPrograms { .. }
                | EnvFileWarning::QuotesKept { .. }
        )
    };
    read.warnings().iter().filter(counts).map(|warning| readings::warned(&file.path, warning)).collect()
}
