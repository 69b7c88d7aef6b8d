//! The faults of a manifest, and their places.

use std::fmt;
use std::path::PathBuf;

use crate::excerpt;

/// The error of a manifest that cannot be used. Neither the message nor the excerpt shows anything to the right of a
/// `=`.
#[derive(Debug, thiserror::Error)]
#[error("{}:{line}:{column}: {fault}", path.display())]
pub struct ManifestError {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The fault at this place.
    pub fault: Box<ManifestFault>,
    /// The line with every value masked, for display under the message.
    pub excerpt: String,
    /// The first marked character of the excerpt, from 1. If the place itself is masked, this is the mask.
    pub marker: usize,
    /// The number of marked characters, at least 1.
    pub width: usize,
}

/// A fault of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestFault {
    /// The text is not UTF-8, which TOML requires.
    NotUtf8 {
        /// The offset of the first byte that is not UTF-8.
        offset: usize,
    },
    /// The text is not TOML.
    Syntax {
        /// The parser's message, which never repeats the text.
        message: String,
    },
    /// The key has no meaning in its table.
    UnknownKey {
        /// The key.
        key: String,
        /// The table that contains the key; empty for the top level.
        table: String,
        /// The known key that is most similar to the unknown one.
        nearest: Option<&'static str>,
        /// All known keys.
        known: &'static [&'static str],
    },
    /// A required key is missing.
    MissingKey {
        /// The key.
        key: &'static str,
        /// The table.
        table: String,
    },
    /// The value has the wrong type.
    WrongType {
        /// The key, with its table.
        key: String,
        /// The expected kind of value.
        expected: &'static str,
        /// The kind of value in the manifest.
        found: &'static str,
    },
    /// The value is not one of the choices.
    NoSuchChoice {
        /// The key, with its table.
        key: String,
        /// The choices.
        choices: &'static [&'static str],
        /// The choice that is most similar to the value.
        nearest: Option<&'static str>,
    },
    /// A value or a name violates a rule.
    Rule {
        /// The key or name, with its table.
        key: String,
        /// The rule, as the end of "`key` must …".
        rule: &'static str,
    },
    /// Two entries exclude each other.
    Conflict {
        /// The first entry, with its table.
        one: String,
        /// The second entry, with its table.
        other: String,
        /// The reason why they exclude each other.
        why: &'static str,
    },
}

impl ManifestFault {
    /// Returns advice about the fault, if there is any.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::UnknownKey { nearest: Some(key), .. } => Some(format!("did you mean `{key}`?")),
            Self::UnknownKey { known, .. } if !known.is_empty() => Some(format!("known here: {}", known.join(", "))),
            Self::NoSuchChoice { nearest, .. } => nearest.map(|choice| format!("did you mean `{choice}`?")),
            Self::WrongType { key, expected: "a table", found: "a string" } => match key.strip_prefix("secrets.") {
                Some(name) => Some(format!(
                    "no value stands in app.toml: write {name} = {{}} here, and `pbuild secrets set {name}` sets the value; a public one stands in [env]"
                )),
                None => Some(format!("write {} = {{ … }}", last(key))),
            },
            Self::WrongType { key, expected: "a list of strings", .. } => {
                Some(format!("write {} = [\"…\"]", last(key)))
            }
            Self::WrongType { key, expected: "a string in quotes", .. } => Some(format!("write {} = \"…\"", last(key))),
            Self::Syntax { .. } => Some(
                "a text stands in quotes (\"…\"), a list in [ ], a table in { }; true, false and numbers stand alone"
                    .to_owned(),
            ),
            Self::NotUtf8 { .. }
            | Self::UnknownKey { .. }
            | Self::MissingKey { .. }
            | Self::WrongType { .. }
            | Self::Rule { .. }
            | Self::Conflict { .. } => None,
        }
    }
}

impl fmt::Display for ManifestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { offset } => write!(f, "not UTF-8 at byte {offset}"),
            Self::Syntax { message } => write!(f, "not TOML: {message}"),
            Self::UnknownKey { key, table, .. } if table.is_empty() => write!(f, "unknown key `{key}`"),
            Self::UnknownKey { key, table, .. } => write!(f, "unknown key `{key}` in {table}"),
            Self::MissingKey { key, table } => write!(f, "{table} has no `{key}`"),
            Self::WrongType { key, expected, found } => write!(f, "`{key}` must be {expected}, not {found}"),
            Self::NoSuchChoice { key, choices, .. } => write!(f, "`{key}` must be one of {}", choices.join(", ")),
            Self::Rule { key, rule } => write!(f, "`{key}` must {rule}"),
            Self::Conflict { one, other, why } => write!(f, "`{one}` and `{other}` {why}"),
        }
    }
}

/// Returns the last word of a key with its table.
fn last(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// A fault at a range of bytes of the text. The file's name and the line are added later.
#[derive(Debug)]
pub(crate) struct Located {
    pub(crate) span: std::ops::Range<usize>,
    pub(crate) fault: ManifestFault,
}

impl Located {
    pub(crate) fn in_file(self, path: PathBuf, text: &str) -> ManifestError {
        let start = (0..=self.span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let excerpt = excerpt::masked_line(text, line_start);
        let column = text[line_start..start].chars().count() + 1;
        let shown = excerpt.chars().count().max(1);
        let marker = column.min(shown);
        let meant = text.get(start..self.span.end.max(start)).map_or(1, |meant| meant.chars().count());
        ManifestError {
            path,
            line: Lines::of(text).line(start),
            column,
            fault: Box::new(self.fault),
            marker,
            width: meant.clamp(1, shown + 1 - marker),
            excerpt,
        }
    }
}

/// The offsets of the line ends of a text.
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    pub(crate) fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// Returns the line of a byte, from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}

/// Returns the known word that is most similar to the given one, if any is similar enough.
#[must_use]
pub fn nearest(word: &str, known: &'static [&'static str]) -> Option<&'static str> {
    let word = word.to_lowercase();
    known
        .iter()
        .map(|candidate| (distance(&word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(word.len()) / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Counts the letters that must be inserted, removed, changed or swapped with their neighbour (optimal string
/// alignment).
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=other.len()).collect();
    for i in 1..=one.len() {
        for j in 1..=other.len() {
            let changed = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut best = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_the_one_mistyped_c8() {
        const KNOWN: &[&str] = &["scope", "steps", "from", "parts", "rebuild", "optional", "as", "value", "override"];
        for (typed, meant) in [("scpoe", "scope"), ("step", "steps"), ("Scope", "scope"), ("overide", "override")] {
            assert_eq!(nearest(typed, KNOWN), Some(meant), "{typed}");
        }
        assert_eq!(nearest("colour", KNOWN), None);
    }
}
