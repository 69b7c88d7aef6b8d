//! Finding and reading `app.toml`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use papp::{Manifest, ManifestError};
use pcli::{Diagnostic, Excerpt, Exit, Mark};

use crate::edge::Failure;

/// The manifest's usual name.
pub const NAME: &str = "app.toml";

/// The largest manifest that is read, in bytes: a thousand times what anybody wrote by hand.
const LIMIT: u64 = 1 << 20;

/// A manifest and where it was found.
#[derive(Debug)]
pub struct Found {
    /// Its path, as people are shown it.
    pub path: PathBuf,
    /// What it says.
    pub manifest: Manifest,
}

/// Reads the manifest: the given file, else `app.toml` in the first of these directories that has one.
///
/// # Errors
/// When the given file does not exist, or one that exists cannot be read or breaks a rule.
pub fn find(given: Option<&Path>, directories: &[&Path]) -> Result<Option<Found>, Failure> {
    if let Some(path) = given {
        return match read(path)? {
            Some(found) => Ok(Some(found)),
            None => Err(Diagnostic::error(format!("--config {}: no such file", path.display()), Exit::Usage).into()),
        };
    }
    for directory in directories {
        if let Some(found) = read(&directory.join(NAME))? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<Option<Found>, Failure> {
    let unreadable = |error: std::io::Error| {
        Diagnostic::from_error(&error, Exit::Usage).note(format!("while reading {}", path.display()))
    };
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error).into()),
        Ok(metadata) if metadata.len() > LIMIT => {
            let message = format!("{} is larger than {} KiB", path.display(), LIMIT >> 10);
            return Err(Diagnostic::error(message, Exit::Usage).into());
        }
        Ok(_) => {}
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    let manifest = Manifest::parse(path, &bytes).map_err(|error| broken(&error))?;
    Ok(Some(Found { path: path.to_owned(), manifest }))
}

/// A manifest that breaks a rule: place, masked line, nearest key.
fn broken(error: &ManifestError) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(error.to_string(), Exit::Usage);
    if !error.excerpt.is_empty() {
        diagnostic = diagnostic.excerpt(Excerpt {
            file: error.path.display().to_string(),
            first: error.line,
            lines: vec![error.excerpt.clone()],
            mark: Mark { line: 0, start: error.column.saturating_sub(1), length: error.width },
            label: error.fault.to_string(),
        });
    }
    match error.fault.help() {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}
