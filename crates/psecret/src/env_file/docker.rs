//! The dialect of `docker run --env-file` (docker/cli, `opts/file.go`).

use super::{EnvEntry, EnvFileError, EnvFileFault, EnvValue};
use crate::{SecretName, UserSecret};

/// Go's `bufio.Scanner` refuses a token of this many bytes, line end included.
const LONGEST_LINE: usize = 64 * 1024;

pub(super) fn entries(text: &str) -> Result<Vec<EnvEntry>, EnvFileError> {
    let mut entries = Vec::new();
    for (index, raw) in text.split('\n').enumerate() {
        let line = index + 1;
        let fault = |column, fault| Err(EnvFileError { line, column, fault });
        if raw.len() >= LONGEST_LINE {
            return fault(1, EnvFileFault::LongLine);
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
        if name.is_empty() {
            return fault(column, EnvFileFault::NoName);
        }
        let Ok(name) = SecretName::parse(name) else {
            let at = name.find(|c: char| c.is_whitespace() || c.is_control()).unwrap_or(0);
            return fault(column + at, EnvFileFault::BadName);
        };
        let value = match value {
            Some(value) => EnvValue::Literal(UserSecret::new(value.as_bytes().to_vec())),
            None => EnvValue::FromEnvironment,
        };
        entries.push(EnvEntry { name, value, line });
    }
    Ok(entries)
}
