//! The dialect of `docker run --env-file` (docker/cli, `opts/file.go`).

use zeroize::Zeroizing;

use super::{EnvFileError, EnvFileFault, Reading};
use crate::SecretName;

/// Go's `bufio.Scanner` refuses a token of this many bytes, line end included.
const LONGEST_LINE: usize = 64 * 1024;

/// A value that begins with a quote which its line does not close.
struct Open {
    quote: char,
    line: usize,
    column: usize,
}

/// Returns the first entry of the text. Returns `None` if the text has no entry, or if any of its lines is not valid.
pub(super) fn first(text: &str) -> Option<Reading> {
    readings(text).ok()?.into_iter().next()
}

pub(super) fn readings(text: &str) -> Result<Vec<Reading>, EnvFileError> {
    let mut readings = Vec::new();
    let mut open: Option<Open> = None;
    let mut start = 0;
    for (index, raw) in text.split('\n').enumerate() {
        let (line, begins) = (index + 1, start);
        start += raw.len() + 1;
        if raw.len() >= LONGEST_LINE {
            return Err(EnvFileError { line, column: 1, fault: EnvFileFault::LongLine });
        }
        let whole = raw.strip_suffix('\r').unwrap_or(raw);
        let content = whole.trim_start();
        let column = whole.len() - content.len() + 1;
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let (name, value) = match content.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (content, None),
        };
        let name = parse(name).map_err(|(at, fault)| match &open {
            // A further line of a value in quotes is not a name, so the fault is reported where the quote opens.
            Some(open) => EnvFileError { line: open.line, column: open.column, fault: EnvFileFault::SeveralLines },
            None => EnvFileError { line, column: column + at, fault },
        })?;
        let at = begins + column - 1..begins + whole.len();
        open = match (open, value) {
            (Some(open), _) if !whole.contains(open.quote) => Some(open),
            (_, Some(value)) => opened(value).map(|quote| {
                let column = column + content.len() - value.len();
                Open { quote, line, column }
            }),
            (_, None) => None,
        };
        let value = value.map(|value| Zeroizing::new(value.as_bytes().to_vec()));
        readings.push(Reading { name, value, line, at });
    }
    Ok(readings)
}

/// Parses a name. The error holds the position of the fault within the name.
fn parse(name: &str) -> Result<SecretName, (usize, EnvFileFault)> {
    if name.is_empty() {
        return Err((0, EnvFileFault::NoName));
    }
    SecretName::parse(name).map_err(|_| {
        let exported = name.strip_prefix("export").is_some_and(|rest| rest.starts_with([' ', '\t']));
        let rest = if exported { name["export".len()..].trim_start_matches([' ', '\t']) } else { name };
        match SecretName::parse(rest) {
            Ok(_) if exported => (0, EnvFileFault::Export),
            _ => (name.find(|c: char| c.is_whitespace() || c.is_control()).unwrap_or(0), EnvFileFault::BadName),
        }
    })
}

/// Returns the quote that a value begins with and does not close.
fn opened(value: &str) -> Option<char> {
    let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    (!value[1..].contains(quote)).then_some(quote)
}
