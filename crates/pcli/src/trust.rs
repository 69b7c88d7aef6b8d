//! What the user allowed a manifest to do.
//!
//! A manifest is code from whoever wrote the repository. Its entries that act (`from`: run a command, read a file or a
//! variable) do so only after the user said `pbuild trust` for exactly these entries of this file. What is kept is one
//! digest for each manifest, in a private file of the user's state; another entry, or one that reads otherwise, asks again.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use papp::{Manifest, Origin};
use pvault::{Environment, state_folder};
use sha2::{Digest as _, Sha256};

use crate::{Diagnostic, Exit, FoundManifest};

/// The file in the state folder: one digest a line.
const FILE: &str = "trusted";

/// Why trust cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// There is no state folder.
    #[error("no place to remember trust: neither HOME nor XDG_STATE_HOME is an absolute path")]
    NoHome,
    /// The file cannot be written, or the manifest's place not be found.
    #[error("failed to use {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl TrustError {
    /// For people.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        Diagnostic::from_error(self, Exit::Usage)
    }
}

/// SHA-256 over the parts, each with its length, in hex.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One line for each entry that acts: what would happen, for people and for the digest.
#[must_use]
pub fn acts(manifest: &Manifest) -> Vec<String> {
    let told = |secret: &papp::Secret| {
        let what = match secret.from.as_ref()? {
            Origin::Variable(variable) => format!("reads the environment variable {variable:?}"),
            Origin::File(path) => format!("reads the file {path:?}"),
            Origin::Command { words, .. } => format!("runs {words:?}"),
        };
        Some(format!("`{}` {what}", secret.name))
    };
    manifest.acting_secrets().filter_map(told).collect()
}

fn digest_of(found: &FoundManifest) -> io::Result<String> {
    let place = fs::canonicalize(&found.path)?;
    let mut acts = acts(&found.manifest);
    // The order of the entries changes nothing that they do.
    acts.sort();
    let mut parts = vec![b"trust 1".as_slice(), place.as_os_str().as_encoded_bytes()];
    parts.extend(acts.iter().map(String::as_bytes));
    Ok(digest(&parts))
}

/// Whether the user trusts exactly what this manifest would do. What cannot be read is not trusted.
#[must_use]
pub fn is_trusted(found: &FoundManifest, environment: &Environment<'_>) -> bool {
    let Some(path) = file(environment) else { return false };
    let Ok(digest) = digest_of(found) else { return false };
    is_private(&path) && fs::read_to_string(&path).is_ok_and(|text| text.lines().any(|line| line == digest))
}

/// A file that others may write to says nothing about what its owner wants (C11).
fn is_private(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| {
        metadata.is_file() && metadata.mode() & 0o022 == 0 && metadata.uid() == rustix::process::geteuid().as_raw()
    })
}

/// Remembers that the user trusts what this manifest does now.
///
/// # Errors
///
/// When there is no state folder or it cannot be written.
pub fn remember(found: &FoundManifest, environment: &Environment<'_>) -> Result<(), TrustError> {
    change(found, environment, |lines, digest| {
        if !lines.iter().any(|line| line == digest) {
            lines.push(digest.to_owned());
        }
    })
}

/// Forgets it.
///
/// # Errors
///
/// As [`remember`].
pub fn forget(found: &FoundManifest, environment: &Environment<'_>) -> Result<(), TrustError> {
    change(found, environment, |lines, digest| lines.retain(|line| line != digest))
}

fn change(
    found: &FoundManifest,
    environment: &Environment<'_>,
    work: impl FnOnce(&mut Vec<String>, &str),
) -> Result<(), TrustError> {
    let path = file(environment).ok_or(TrustError::NoHome)?;
    let failed = |source| TrustError::Io { path: path.clone(), source };
    let digest = digest_of(found).map_err(|source| TrustError::Io { path: found.path.clone(), source })?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let known = if is_private(&path) { fs::read_to_string(&path).map_err(failed)? } else { String::new() };
    let mut lines: Vec<String> = known.lines().map(str::to_owned).collect();
    work(&mut lines, &digest);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    lines.iter().try_for_each(|line| writeln!(file, "{line}")).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn file(environment: &Environment<'_>) -> Option<PathBuf> {
    state_folder(environment, "pbuild").map(|folder| folder.join(FILE))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn manifest(folder: &Path, text: &str) -> FoundManifest {
        let path = folder.join("app.toml");
        fs::write(&path, text).unwrap();
        FoundManifest { manifest: Manifest::parse(&path, text.as_bytes()).unwrap(), path }
    }

    const TWO: &str = "[secrets]\nA = { from = { env = \"AA\" } }\nB = { from = { command = [\"op\", \"read\"] } }\n";

    #[test]
    fn exactly_what_was_trusted_acts_and_nothing_else() {
        let (home, one, other) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let environment = |name: &str| (name == "HOME").then(|| OsString::from(home.path()));
        let found = manifest(one.path(), TWO);
        assert!(!is_trusted(&found, &environment));
        remember(&found, &environment).unwrap();
        assert!(is_trusted(&found, &environment));
        // What does not act may change; the order of the entries too.
        assert!(is_trusted(&manifest(one.path(), &format!("name = \"shop\"\n{TWO}C = {{}}\n")), &environment));
        for changed in [
            TWO.replace("AA", "AWS_SECRET_ACCESS_KEY"),
            TWO.replace("\"read\"", "\"read\", \"more\""),
            TWO.replace("\"op\", \"read\"", "\"op read\""),
            format!("{TWO}C = {{ from = {{ file = \"/etc/passwd\" }} }}\n"),
            TWO.replace("A =", "AB ="),
        ] {
            assert!(!is_trusted(&manifest(one.path(), &changed), &environment), "{changed}");
        }
        // The same text in another checkout is another manifest.
        assert!(!is_trusted(&manifest(other.path(), TWO), &environment));
        let found = manifest(one.path(), TWO);
        forget(&found, &environment).unwrap();
        assert!(!is_trusted(&found, &environment));
    }

    #[test]
    fn a_list_that_others_may_write_is_not_believed_c11() {
        use std::os::unix::fs::PermissionsExt as _;
        let (home, one) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let environment = |name: &str| (name == "HOME").then(|| OsString::from(home.path()));
        let found = manifest(one.path(), TWO);
        remember(&found, &environment).unwrap();
        let path = file(&environment).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(!is_trusted(&found, &environment));
    }

    #[test]
    fn without_a_home_nothing_is_trusted_k10() {
        let one = tempfile::tempdir().unwrap();
        let found = manifest(one.path(), TWO);
        assert!(matches!(remember(&found, &|_| None), Err(TrustError::NoHome)));
        assert!(!is_trusted(&found, &|_| None));
    }
}
