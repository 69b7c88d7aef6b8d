//! Finding and reading `app.toml`, for both tools.

use std::io;
use std::path::{Path, PathBuf};

use papp::{Manifest, ManifestError};

use pscreen::{Diagnostic, Excerpt, Exit, Mark};

/// The manifest's default name.
pub const MANIFEST_NAME: &str = "app.toml";

/// The largest manifest that is read, in bytes. Manifests that people write are a thousand times smaller.
const LARGEST: usize = 1 << 20;

/// A manifest and the path at which it was found.
#[derive(Clone, Debug)]
pub struct FoundManifest {
    /// The path of the file, as messages show it.
    pub path: PathBuf,
    /// The parsed manifest.
    pub manifest: Manifest,
    /// The text of the file. It is read once, so a start keeps the text that was checked even if the file changes
    /// later.
    pub text: String,
}

impl FoundManifest {
    /// Returns the directory that the manifest's paths are relative to.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// The reason why the manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The file that the user named does not exist.
    #[error("--config {}: no such file", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is too large to be a manifest.
    #[error("{} is larger than 1 MiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The content of the file is not a valid manifest.
    #[error(transparent)]
    Broken(#[from] ManifestError),
}

/// Reads the manifest: the given file, or else `app.toml` in the first of these directories that has one. An
/// `app.toml` that belongs to another program ([`papp::foreign_key`]) is read only if it is given.
///
/// # Errors
///
/// Returns an error if the given file does not exist, or if a file that exists cannot be read or is not a valid
/// manifest.
pub fn find_manifest(given: Option<&Path>, directories: &[&Path]) -> Result<Option<FoundManifest>, FindError> {
    if let Some(path) = given {
        let bytes = read(path)?.ok_or_else(|| FindError::Missing { path: path.to_owned() })?;
        return parse(path, &bytes).map(Some);
    }
    for path in directories.iter().map(|directory| place(directory)) {
        match read(&path)? {
            Some(bytes) if papp::foreign_key(&bytes).is_none() => return parse(&path, &bytes).map(Some),
            Some(_) | None => {}
        }
    }
    Ok(None)
}

/// Finds an `app.toml` of another program in these directories, which [`find_manifest`] skips. Returns a warning that
/// names the key by which the file was recognised, and the flag that reads the file nevertheless.
#[must_use]
pub fn foreign_manifest(given: Option<&Path>, directories: &[&Path]) -> Option<String> {
    let places = directories.iter().map(|directory| place(directory)).take_while(|_| given.is_none());
    places.into_iter().find_map(|path| {
        let key = papp::foreign_key(&read(&path).ok()??)?;
        let path = path.display();
        Some(format!("{path} is another program's, by its key `{key}`, so it is not read; --config {path} reads it"))
    })
}

/// Returns the path of a directory's manifest, without a leading `.`: people who wrote `.` know the directory, so
/// messages show `app.toml`.
fn place(directory: &Path) -> PathBuf {
    directory.strip_prefix(".").unwrap_or(directory).join(MANIFEST_NAME)
}

/// Reads the bytes of a file, or returns `None` if the file does not exist.
fn read(path: &Path) -> Result<Option<Vec<u8>>, FindError> {
    let _waiting = pscreen::waiting();
    match psecret::read_bounded(path, LARGEST) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(FindError::TooLarge { path: path.to_owned() }),
        Err(source) => Err(FindError::Read { path: path.to_owned(), source }),
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<FoundManifest, FindError> {
    let manifest = Manifest::parse(path, bytes)?;
    let text = String::from_utf8_lossy(bytes).into_owned();
    Ok(FoundManifest { path: path.to_owned(), manifest, text })
}

impl FindError {
    /// Explains the error to people, with the place, the masked line and the nearest key.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        let Self::Broken(error) = self else { return Diagnostic::from_error(self, Exit::Usage) };
        let mut diagnostic = match error.excerpt.is_empty() {
            true => Diagnostic::error(error.to_string(), Exit::Usage),
            false => Diagnostic::error(error.fault.to_string(), Exit::Usage),
        };
        if !error.excerpt.is_empty() {
            diagnostic = diagnostic.excerpt(Excerpt {
                file: error.path.display().to_string(),
                column: Some(error.column),
                first: error.line,
                lines: vec![error.excerpt.clone()],
                mark: Mark { line: 0, start: error.marker.saturating_sub(1), length: error.width },
                label: "here".to_owned(),
            });
        }
        error.fault.help().into_iter().fold(diagnostic, Diagnostic::help)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(MANIFEST_NAME), text).unwrap();
        folder
    }

    #[test]
    fn the_first_directory_that_has_one_counts() {
        let (none, one, two) = (tempfile::tempdir().unwrap(), folder("name = \"one\""), folder("name = \"two\""));
        let found = find_manifest(None, &[none.path(), one.path(), two.path()]).unwrap().unwrap();
        assert_eq!((found.manifest.name.as_deref(), found.directory()), (Some("one"), one.path()));
        assert!(find_manifest(None, &[none.path()]).unwrap().is_none());
        assert!(matches!(find_manifest(Some(&none.path().join("x")), &[one.path()]), Err(FindError::Missing { .. })));
    }

    #[test]
    fn an_unknown_key_is_shown_with_its_line_and_the_nearest_key_c8() {
        let folder = folder("[secrets]\nKEY = { scpoe = \"c4n4ry-9f3b27e1\" }\n");
        let error = find_manifest(None, &[folder.path()]).unwrap_err();
        let shown = error.diagnostic().to_string().replace(folder.path().to_str().unwrap(), "/shop");
        insta::assert_snapshot!(shown, @"
        error: unknown key `scpoe` in secrets.KEY
           --> /shop/app.toml:2:9
            |
          2 | KEY = …
            |       ^ here
          help: did you mean `scope`?
        exit code 2
        ");
        assert!(!shown.contains("c4n4ry"));
    }

    #[test]
    fn another_program_s_file_is_passed_by_unless_it_is_given() {
        let (theirs, ours) = (folder("app = \"shop\"\n[deploy]\nstrategy = \"rolling\"\n"), folder("name = \"shop\""));
        let directories = [theirs.path(), ours.path()];
        let found = find_manifest(None, &directories).unwrap().unwrap();
        assert_eq!(found.directory(), ours.path());
        let said = foreign_manifest(None, &directories).unwrap();
        let path = theirs.path().join(MANIFEST_NAME);
        assert_eq!(
            said.replace(path.to_str().unwrap(), "app.toml"),
            "app.toml is another program's, by its key `app`, so it is not read; --config app.toml reads it"
        );
        assert!(foreign_manifest(Some(&path), &directories).is_none());
        assert!(matches!(find_manifest(Some(&path), &directories), Err(FindError::Broken(_))));
    }

    #[test]
    fn what_is_no_readable_file_is_an_error() {
        let folder = folder("");
        assert!(matches!(find_manifest(Some(folder.path()), &[]), Err(FindError::Read { .. })));
        let large = folder.path().join("large");
        fs::File::create(&large).unwrap().set_len(LARGEST as u64 + 1).unwrap();
        let endless = folder.path().join("endless");
        std::os::unix::fs::symlink("/dev/zero", &endless).unwrap();
        for path in [large, endless] {
            let error = find_manifest(Some(&path), &[]).unwrap_err();
            assert_eq!(error.to_string(), format!("{} is larger than 1 MiB", path.display()));
        }
    }
}
