//! The secrets of a step, as one argument of a command line. It has names and places, but never a value.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;

use psecret::{SecretName, UserSecret};

/// A secret of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The secret's name, for the mark that replaces its value.
    pub name: SecretName,
    /// The place where the step has the value.
    pub holder: Holder,
}

/// The place where a step has a secret's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A variable with this name.
    Variable(String),
    /// A file with this path, which is absolute or relative to the step's own folder.
    File(String),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "it should be in the variable {name}"),
            Self::File(path) => write!(f, "it should be in {path}"),
        }
    }
}

/// The reason why a value cannot be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The step's user cannot read the value.
    Unreadable,
    /// The variable or file does not exist.
    NotThere,
}

impl Held {
    /// Reads the value from the variable or file.
    pub(super) fn value(&self) -> Result<UserSecret, Missing> {
        let bytes = match &self.holder {
            Holder::Variable(name) => env::var_os(name).map(OsStringExt::into_vec).ok_or(Missing::NotThere)?,
            Holder::File(path) => fs::read(path).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Missing::NotThere,
                _ => Missing::Unreadable,
            })?,
        };
        Ok(UserSecret::new(bytes))
    }
}

/// Writes the argument for these secrets, each as `NAME:VARIABLE` or `NAME:PATH`. All bytes of names and paths except
/// letters, digits and `_-./` are escaped. A slash marks a path: a slash in the name of a variable is escaped, and a
/// path without a slash begins with `./`.
#[must_use]
pub fn word(held: &[Held]) -> String {
    let parts = held.iter().map(|one| {
        let holder = match &one.holder {
            Holder::Variable(name) => escaped(name).replace('/', "%2F"),
            Holder::File(path) if path.contains('/') => escaped(path),
            Holder::File(path) => format!("./{}", escaped(path)),
        };
        format!("{}:{holder}", escaped(one.name.as_str()))
    });
    parts.collect::<Vec<_>>().join(",")
}

/// Parses the argument. Returns `None` if [`word`] did not write it.
#[must_use]
pub fn parse(word: &str) -> Option<Vec<Held>> {
    word.split(',')
        .map(|part| {
            let (name, holder) = part.split_once(':')?;
            let name = SecretName::parse(&plain(name)?).ok()?;
            let holder = match holder.contains('/') {
                true => Holder::File(plain(holder)?),
                false => Holder::Variable(plain(holder)?),
            };
            Some(Held { name, holder })
        })
        .collect()
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'/' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn plain(text: &str) -> Option<String> {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next()?, bytes.next()?];
        out.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(name: &str, holder: Holder) -> Held {
        Held { name: SecretName::parse(name).unwrap(), holder }
    }

    #[test]
    fn a_word_reads_well_where_names_are_plain() {
        let all = [
            held("NPM_TOKEN", Holder::Variable("NPM_TOKEN".to_owned())),
            held("npm", Holder::File("/root/.npmrc".to_owned())),
            held("a,b%", Holder::File("relative path".to_owned())),
        ];
        assert_eq!(word(&all), "NPM_TOKEN:NPM_TOKEN,npm:/root/.npmrc,a%2Cb%25:./relative%20path");
    }

    #[test]
    fn what_is_no_word_of_ours_is_refused() {
        for word in ["", "A", "A:B,", ":B", "A:%", "A:%g0", "A%20:B", "A:%FF"] {
            assert_eq!(parse(word), None, "{word:?}");
        }
    }

    #[test]
    fn values_are_read_where_the_step_has_them() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("key").to_str().unwrap().to_owned();
        let file = held("key", Holder::File(path.clone()));
        assert_eq!(file.value().err(), Some(Missing::NotThere));
        fs::create_dir(&path).unwrap();
        assert_eq!(file.value().err(), Some(Missing::Unreadable));
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "value").unwrap();
        assert_eq!(file.value().map(|value| value.len()).ok(), Some(5));
        assert_eq!(held("A", Holder::Variable("PBUILD_NOT_SET".to_owned())).value().err(), Some(Missing::NotThere));
    }

    proptest! {
        #[test]
        fn every_secret_survives_its_word(name in "[^=\\s\\p{Cc}]{1,20}", text in ".{1,20}", is_file: bool) {
            let holder = if is_file { Holder::File(format!("a/{text}")) } else { Holder::Variable(text) };
            let all = [held(&name, holder.clone()), held("B", holder)];
            let word = word(&all);
            prop_assert!(!word.contains([' ', '"', '\\', '\n', '\'']));
            prop_assert_eq!(parse(&word), Some(all.to_vec()));
        }
    }
}
