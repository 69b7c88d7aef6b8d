//! The env files that the manifest names, as a source of values.

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

/// The answer of the project's env files for one name.
pub(super) enum Answer {
    /// No file has an entry for the name.
    Nothing,
    /// A file may have the name, but the manifest may not read it for this secret yet.
    Refused(Act),
    /// A file gives the name an empty value.
    Empty,
    /// The value, the value that the other dialect would read (if it differs), and the source.
    Value(UserSecret, Option<UserSecret>, Source),
}

/// The project's own env files. A file is read when the first secret is looked up in it.
pub(super) struct ProjectFiles<'a> {
    directory: PathBuf,
    /// The files in reverse order of the manifest, because the last file wins.
    files: Vec<(&'a papp::EnvFile, State)>,
    warnings: Vec<String>,
    /// The values that the dialects read differently: the file, the name, and the line.
    split: Vec<(PathBuf, SecretName, usize)>,
}

enum State {
    Unread,
    /// The file does not exist. This counts as an empty file.
    Absent,
    /// The file's entries by name. If a name has several lines, the last one counts.
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

    /// Removes and returns a secret's value. A file is only read after the user allowed the manifest to read it for
    /// this secret.
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
            // A bare name stands for the variable of the process environment, which is the last source.
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

/// Returns the real path of a file, or `None` if the file does not exist. A symbolic link may lead anywhere, so a
/// file outside of the folder is an error.
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

/// Returns the warnings about a file that other programs read, too. Only warnings about a possible change of a
/// secret's value are kept.
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
