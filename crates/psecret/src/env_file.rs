//! Env files, in two named dialects.

mod docker;
mod dotenv;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::{SecretName, UserSecret};

/// The rules by which an env file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// `docker run --env-file`: no quotes, no escapes, no comments after values; a bare name is taken from the process
    /// environment.
    #[default]
    Docker,
    /// Compose's rules: quotes, values of several lines in quotes, comments after blanks. Nothing is interpolated.
    Dotenv,
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "docker" => Ok(Self::Docker),
            "dotenv" => Ok(Self::Dotenv),
            _ => Err(UnknownDialect),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Docker => "docker",
            Self::Dotenv => "dotenv",
        })
    }
}

/// A dialect that is not known.
#[derive(Debug, thiserror::Error)]
#[error("env file dialects are `docker` and `dotenv`")]
pub struct UnknownDialect;

/// The value that a line gives to its name.
#[derive(Debug)]
pub enum EnvValue {
    /// The value that is written on the line; it may be empty.
    Literal(UserSecret),
    /// The line has no value: the process environment may have one, otherwise the line has no effect (dialect
    /// `docker`).
    FromEnvironment,
}

/// One name of an env file.
#[derive(Debug)]
pub struct EnvEntry {
    /// The name.
    pub name: SecretName,
    /// The entry's value.
    pub value: EnvValue,
    /// The value that the other dialect reads from the same text, if it differs from `value`. The file's author may
    /// have meant either of the two, so both are secret.
    pub other: Option<UserSecret>,
    /// The number of the entry's line, from 1.
    pub line: usize,
}

/// The value that a reader of a dialect finds for one name, before it is put into a [`UserSecret`].
struct Reading {
    name: SecretName,
    value: Option<Zeroizing<Vec<u8>>>,
    line: usize,
    /// The range of the entry in the text, from its name or `export` to the end of its last line.
    at: Range<usize>,
}

impl Reading {
    /// Reads the value with the other dialect. Returns `None` if the other dialect finds the same value, or finds
    /// another name.
    ///
    /// The dialect `docker` has no values of several lines: it reads each of the lines as an entry of its own.
    fn other(&self, text: &str, dialect: Dialect) -> Option<Zeroizing<Vec<u8>>> {
        let value = self.value.as_ref()?;
        let other = match dialect {
            Dialect::Docker => dotenv::first(&text[self.at.start..])?,
            Dialect::Dotenv => docker::first(text.get(self.at.clone()).filter(|text| !text.contains('\n'))?)?,
        };
        let other_value = other.value.filter(|other| other != value && !other.is_empty())?;
        (other.name == self.name).then_some(other_value)
    }

    fn close(mut self, text: &str, dialect: Dialect) -> EnvEntry {
        let closed = |mut value: Zeroizing<Vec<u8>>| UserSecret::new(std::mem::take(&mut *value));
        let other = self.other(text, dialect).map(closed);
        let value = self.value.take().map_or(EnvValue::FromEnvironment, |value| EnvValue::Literal(closed(value)));
        EnvEntry { name: self.name, value, other, line: self.line }
    }
}

/// A line or property of an env file that is accepted but seldom intended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvFileWarning {
    /// A name that has two lines; the last one counts (D7).
    Duplicate {
        /// The name.
        name: SecretName,
        /// The line whose value counts.
        line: usize,
        /// The line whose value does not.
        dropped: usize,
    },
    /// A value in quotes; the dialect `docker` keeps the quotes as part of the value (D1).
    QuotesKept {
        /// The name.
        name: SecretName,
        /// The line.
        line: usize,
    },
    /// A value that begins with a quote and does not end with it. The dialect `docker` has no values of several
    /// lines, and reads each further line as a name (D1, D4).
    QuoteOpens {
        /// The name.
        name: SecretName,
        /// The line.
        line: usize,
    },
    /// A name that no shell can read as a variable (D15).
    NotAVariable {
        /// The name.
        name: SecretName,
        /// The line.
        line: usize,
    },
    /// A name that changes how programs run, such as `PATH` (D16).
    SteersPrograms {
        /// The name.
        name: SecretName,
        /// The line.
        line: usize,
    },
    /// A file whose mode lets its group or all users read it (D17).
    ReadableByOthers,
}

impl fmt::Display for EnvFileWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { name, line, dropped } => {
                write!(f, "`{name}` stands on line {dropped} and on line {line}; the last one counts")
            }
            Self::QuotesKept { name, line } => {
                write!(f, "line {line}: the quotes around `{name}` become part of its value in the docker dialect")
            }
            Self::QuoteOpens { name, line } => write!(
                f,
                "line {line}: the value of `{name}` begins with a quote, which the docker dialect takes as it is; values \
                 of several lines need --env-file-dialect dotenv"
            ),
            // Such a name may be the last line of a base64 key, whose padding was read as the `=` of an entry, so it
            // is not shown.
            Self::NotAVariable { name, line } if name.as_str().contains(['+', '/']) => {
                write!(f, "line {line}: no shell can read a variable of such a name")
            }
            Self::NotAVariable { name, line } => write!(f, "line {line}: no shell can read a variable named `{name}`"),
            Self::SteersPrograms { name, line } => write!(f, "line {line}: `{name}` changes how programs run"),
            Self::ReadableByOthers => f.write_str("other users of this machine can read the file"),
        }
    }
}

/// A fault of an env file and its place. The error never holds text from the right of a `=`, which may be a value
/// (D19).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {fault}")]
pub struct EnvFileError {
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
    /// The fault at that place.
    pub fault: EnvFileFault,
}

impl EnvFileError {
    /// Returns advice on how to resolve the fault, if there is any.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self.fault {
            EnvFileFault::Export | EnvFileFault::SeveralLines => Some(
                "--env-file-dialect dotenv reads the file as Compose does; one that app.toml names has its own `dialect`",
            ),
            EnvFileFault::NoValue | EnvFileFault::NoName | EnvFileFault::BadName => Some(
                "a line is NAME=VALUE, a comment begins with #; --env-file-dialect docker or dotenv reads the file the other way",
            ),
            EnvFileFault::NotUtf8
            | EnvFileFault::Nul
            | EnvFileFault::OpenQuote
            | EnvFileFault::AfterQuote
            | EnvFileFault::LongLine => None,
        }
    }
}

/// A fault of an env file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvFileFault {
    /// Bytes that are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A NUL byte, which no environment variable can hold.
    #[error("a NUL byte, which no environment variable can carry")]
    Nul,
    /// A `=` without a name.
    #[error("no name before `=`")]
    NoName,
    /// `export` before a name, in the dialect `docker`.
    #[error("`export` before a name, which the docker dialect does not take")]
    Export,
    /// A value in quotes that continues on further lines, in the dialect `docker`. The place of the error is the
    /// opening quote.
    #[error(
        "the quote that opens here is not closed on its line, and the docker dialect knows no values of several lines"
    )]
    SeveralLines,
    /// A name with a blank or another character that names cannot have.
    #[error("a name with a blank or a character that names cannot have")]
    BadName,
    /// A name without `=`, where the dialect requires a value.
    #[error("no `=` after the name")]
    NoValue,
    /// A quote that never closes. The place of the error is the opening quote.
    #[error("the quote that opens here is never closed")]
    OpenQuote,
    /// Text after a closing quote.
    #[error("text behind the closing quote")]
    AfterQuote,
    /// A line that docker's reader refuses.
    #[error("the line is longer than 64 KiB")]
    LongLine,
}

/// A parsed env file. Each name has one entry with its last value; a line without a value stays as an entry of its
/// own.
#[derive(Debug)]
pub struct EnvFile {
    entries: Vec<EnvEntry>,
    warnings: Vec<EnvFileWarning>,
}

impl EnvFile {
    /// Parses the file's bytes. A byte order mark and the CR of CRLF line ends are dropped.
    ///
    /// # Errors
    ///
    /// Returns the first [`EnvFileError`]. A file that has an error gives no entries at all.
    pub fn parse(bytes: &[u8], dialect: Dialect) -> Result<Self, EnvFileError> {
        let text = check_text(bytes)?;
        let readings = match dialect {
            Dialect::Docker => docker::readings(text)?,
            Dialect::Dotenv => dotenv::readings(text)?,
        };
        let mut file = Self { entries: Vec::new(), warnings: Vec::new() };
        let mut taken = Taken::default();
        for reading in readings {
            file.take(reading.close(text, dialect), dialect, &mut taken);
        }
        file.entries = taken.entries.into_iter().flatten().collect();
        Ok(file)
    }

    /// Returns the entries in the order of their lines.
    #[must_use]
    pub fn entries(&self) -> &[EnvEntry] {
        &self.entries
    }

    /// Takes the entries out of the file.
    #[must_use]
    pub fn into_entries(self) -> Vec<EnvEntry> {
        self.entries
    }

    /// Returns the warnings about the file.
    #[must_use]
    pub fn warnings(&self) -> &[EnvFileWarning] {
        &self.warnings
    }

    pub(crate) fn warn(&mut self, warning: EnvFileWarning) {
        self.warnings.push(warning);
    }

    fn take(&mut self, entry: EnvEntry, dialect: Dialect, taken: &mut Taken) {
        let (name, line) = (entry.name.clone(), entry.line);
        if name.steers_programs() {
            self.warn(EnvFileWarning::SteersPrograms { name: name.clone(), line });
        }
        // A line without `=` may be a piece of a value, so no other warning may show its text. It does not replace an
        // earlier entry of its name: if the environment lacks the name, the earlier value counts.
        let EnvValue::Literal(value) = &entry.value else {
            return taken.push(entry);
        };
        if !name.is_variable() {
            self.warn(EnvFileWarning::NotAVariable { name: name.clone(), line });
        }
        match quotes(value) {
            _ if dialect == Dialect::Dotenv => {}
            Quotes::Around => self.warn(EnvFileWarning::QuotesKept { name: name.clone(), line }),
            Quotes::Before => self.warn(EnvFileWarning::QuoteOpens { name: name.clone(), line }),
            Quotes::None => {}
        }
        for dropped in taken.remove(&name) {
            self.warn(EnvFileWarning::Duplicate { name: name.clone(), line, dropped });
        }
        taken.push(entry);
    }
}

/// The entries so far. They are indexed by name because a file of a megabyte can hold a hundred thousand of them.
#[derive(Default)]
struct Taken {
    entries: Vec<Option<EnvEntry>>,
    places: BTreeMap<SecretName, Vec<usize>>,
}

impl Taken {
    fn push(&mut self, entry: EnvEntry) {
        self.places.entry(entry.name.clone()).or_default().push(self.entries.len());
        self.entries.push(Some(entry));
    }

    /// Removes all entries of a name, and returns their lines.
    fn remove(&mut self, name: &SecretName) -> Vec<usize> {
        let places = self.places.remove(name).unwrap_or_default();
        places.into_iter().filter_map(|at| self.entries[at].take()).map(|entry| entry.line).collect()
    }
}

/// The quotes around a value.
enum Quotes {
    None,
    /// The value begins with a quote and does not end with the same one.
    Before,
    Around,
}

#[expect(clippy::disallowed_methods, reason = "door 3: the warnings about kept quotes look at a value's two ends")]
fn quotes(value: &UserSecret) -> Quotes {
    match value.expose() {
        [first @ (b'"' | b'\''), .., last] if first == last => Quotes::Around,
        [b'"' | b'\'', ..] => Quotes::Before,
        _ => Quotes::None,
    }
}

/// Checks that the text is UTF-8 without NUL bytes, and removes its byte order mark (D9, D10, D11).
fn check_text(bytes: &[u8]) -> Result<&str, EnvFileError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some(at) = bytes.iter().position(|b| *b == 0) {
        return Err(fault_at(bytes, at, EnvFileFault::Nul));
    }
    std::str::from_utf8(bytes).map_err(|error| fault_at(bytes, error.valid_up_to(), EnvFileFault::NotUtf8))
}

/// Makes the error for a fault at a byte of the text.
fn fault_at(text: &[u8], at: usize, fault: EnvFileFault) -> EnvFileError {
    let before = &text[..at.min(text.len())];
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    EnvFileError { line, column: at - line_start + 1, fault }
}

#[cfg(test)]
mod tests;
