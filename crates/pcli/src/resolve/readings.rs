//! Warnings about env files, such as values that the two dialects read differently.

use std::path::Path;

use psecret::{Dialect, EnvFileWarning, SecretName};

/// The most names in one warning, because a file may have a hundred thousand.
const NAMED: usize = 20;

/// Returns the text of a warning about a file, with the command that mends it if there is one.
pub(super) fn warned(path: &Path, warning: &EnvFileWarning) -> String {
    let path = path.display();
    match warning {
        EnvFileWarning::ReadableByOthers => format!("{path}: {warning}; chmod 600 {path}"),
        _ => format!("{path}: {warning}"),
    }
}

/// Returns one warning about all values of a file that the other dialect reads differently, or `None` if there are no
/// such values.
pub(super) fn both(path: &Path, dialect: Dialect, split: &[(SecretName, usize)]) -> Option<String> {
    if split.is_empty() {
        return None;
    }
    let mut names: Vec<String> =
        split.iter().take(NAMED).map(|(name, line)| format!("`{name}` (line {line})")).collect();
    if split.len() > NAMED {
        names.push(format!("{} more", split.len() - NAMED));
    }
    let (names, path) = (names.join(", "), path.display());
    let (kept, other) = match dialect {
        Dialect::Docker => ("quotes, escapes and comments are part of the value, as in docker run", "without them"),
        Dialect::Dotenv => ("docker run would keep quotes, escapes and comments", "with them"),
    };
    Some(format!("{path}: {names}: {kept}; the reading {other} is searched for and masked too"))
}
