//! Which of the mounted secrets are there, and what may be known of them outside of the container.

use std::io;
use std::path::Path;

use psecret::{DigestKey, LONGEST_VARIABLE, Searchability, SecretName, UserSecret};
use zeroize::Zeroizing;

use crate::wire::{Facts, Key, Probe, ProbeAnswer, Variable};
use crate::{KEY, kept};

/// The purpose of the digests, as in every other program that binds steps to values.
const PURPOSE: &str = "binding";

/// The purpose of the checks.
const CHECK: &str = "check";

/// Why nothing can be said of the secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// A secret's name is none.
    #[error("a secret that was asked for has no name")]
    Name,
    /// A mounted file cannot be read.
    #[error("failed to read a mounted secret")]
    Read(#[from] io::Error),
    /// The kernel gives no random bytes for a key.
    #[error("failed to make a key")]
    Random,
    /// The key of the checks is none.
    #[error("the key of the build's checks is none")]
    CheckKey,
}

/// Looks at every secret that was asked for.
///
/// # Errors
/// [`ProbeError`].
pub fn probe(asked: &Probe, secrets: &Path, kept: &Path) -> Result<ProbeAnswer, ProbeError> {
    let (key, whose) = key(secrets, kept)?;
    let check_key = kept::random_key().ok_or(ProbeError::Random)?;
    let check_key: String = check_key.iter().map(|byte| format!("{byte:02x}")).collect();
    let checks = check(&check_key)?;
    let facts = asked.secrets.iter().enumerate().map(|(number, name)| {
        let name = SecretName::parse(name).map_err(|_| ProbeError::Name)?;
        Ok(value(secrets, number)?.map(|value| Facts {
            bytes: value.len() as u64,
            variable: variable(&name, &value),
            unprotected: match Searchability::of(&value) {
                Searchability::Unprotected(why) => Some(why.to_string()),
                Searchability::Empty | Searchability::Weak | Searchability::Full => None,
            },
            digest: key.digest(PURPOSE, &name, &value),
            check: checks.digest(CHECK, &name, &value),
        }))
    });
    let secrets = facts.collect::<Result<_, ProbeError>>()?;
    Ok(ProbeAnswer { secrets, key: whose, check_key, leaked: kept::leaked(kept) })
}

/// Whether a mounted value is the one of which the check was made under this key.
///
/// # Errors
/// [`ProbeError::CheckKey`].
pub fn is_same(name: &SecretName, value: &UserSecret, check: &str, check_key: &str) -> Result<bool, ProbeError> {
    Ok(self::check(check_key)?.digest(CHECK, name, value) == check)
}

fn check(key: &str) -> Result<DigestKey, ProbeError> {
    DigestKey::from_text(key.as_bytes()).ok_or(ProbeError::CheckKey)
}

/// Reads a mounted value; `None` when the session had none.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn value(secrets: &Path, number: usize) -> io::Result<Option<UserSecret>> {
    Ok(read(&secrets.join(number.to_string()))?.map(|mut bytes| UserSecret::new(std::mem::take(&mut *bytes))))
}

fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(Zeroizing::new(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn key(secrets: &Path, kept: &Path) -> Result<(DigestKey, Key), ProbeError> {
    let passing = || kept::passing_key().ok_or(ProbeError::Random);
    match read(&secrets.join(KEY))? {
        Some(text) => match DigestKey::from_text(&text) {
            Some(key) => Ok((key, Key::Client)),
            None => Ok((passing()?, Key::Unusable)),
        },
        None => match kept::own_key(kept) {
            Some(key) => Ok((key, Key::Builder)),
            None => Ok((passing()?, Key::Passing)),
        },
    }
}

fn variable(name: &SecretName, value: &UserSecret) -> Variable {
    if value.has_nul() {
        Variable::Nul
    } else if name.as_str().len() + value.len() + 2 > LONGEST_VARIABLE {
        Variable::TooLong
    } else {
        Variable::Fits
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::wire;

    const VALUE: &str = "t0ken-of-the-probe";

    /// Makes two folders: one with the mounted values, one for the things that are kept.
    fn folders(values: &[(&str, &[u8])]) -> (TempDir, TempDir) {
        let (secrets, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        for (name, value) in values {
            fs::write(secrets.path().join(name), value).unwrap();
        }
        (secrets, kept)
    }

    fn asked(names: &[&str]) -> Probe {
        Probe { version: wire::VERSION, secrets: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn facts_are_told_and_no_value_is() {
        let long = vec![b'x'; LONGEST_VARIABLE - "LONG=".len()];
        let (secrets, kept) =
            folders(&[("0", VALUE.as_bytes()), ("2", b""), ("3", b"with\0nul"), ("4", long.as_slice())]);
        let probed = probe(&asked(&["A", "GONE", "EMPTY", "NUL", "LONG"]), secrets.path(), kept.path()).unwrap();
        let told: Vec<_> =
            probed.secrets.iter().map(|facts| facts.as_ref().map(|is| (is.bytes, is.variable))).collect();
        let fits = |bytes| Some((bytes, Variable::Fits));
        let expected =
            [fits(18), None, fits(0), Some((8, Variable::Nul)), Some((long.len() as u64, Variable::TooLong))];
        assert_eq!(told, expected);
        assert!(probed.secrets.iter().flatten().all(|facts| facts.unprotected.is_none()));
        fs::write(secrets.path().join("0"), "abc").unwrap();
        let short = probe(&asked(&["A"]), secrets.path(), kept.path()).unwrap();
        assert!(short.secrets[0].as_ref().unwrap().unprotected.is_some());
        assert_eq!(probed.key, Key::Builder);
        let said = serde_json::to_string(&probed).unwrap();
        assert!(!said.contains(VALUE) && !said.contains("with"), "{said}");
    }

    #[test]
    fn digests_follow_the_value_and_the_key() {
        let (secrets, kept) = folders(&[("0", VALUE.as_bytes())]);
        let digest = |key: Option<&[u8]>, value: &str| {
            fs::write(secrets.path().join("0"), value).unwrap();
            match key {
                Some(key) => fs::write(secrets.path().join(KEY), key).unwrap(),
                None => drop(fs::remove_file(secrets.path().join(KEY))),
            }
            let probed = probe(&asked(&["A"]), secrets.path(), kept.path()).unwrap();
            (probed.secrets[0].clone().unwrap().digest, probed.key)
        };
        let builder = digest(None, VALUE);
        assert_eq!(digest(None, VALUE), builder);
        assert_ne!(digest(None, "another value").0, builder.0);
        let shared = "0a".repeat(32);
        let (client, whose) = digest(Some(shared.as_bytes()), VALUE);
        assert_eq!(whose, Key::Client);
        let expected = DigestKey::from_text(shared.as_bytes()).unwrap();
        let (name, value) = (SecretName::parse("A").unwrap(), UserSecret::new(VALUE.as_bytes().to_vec()));
        assert_eq!(client, expected.digest("binding", &name, &value), "pbuild makes the same one");
        assert_eq!(digest(Some(b"guessable"), VALUE).1, Key::Unusable);
    }

    #[test]
    fn a_value_that_became_another_is_noticed_whatever_the_builder_keeps() {
        let (secrets, kept) = folders(&[("0", VALUE.as_bytes())]);
        let name = SecretName::parse("A").unwrap();
        for kept in [kept.path(), &kept.path().join("missing")] {
            let probed = probe(&asked(&["A"]), secrets.path(), kept).unwrap();
            let check = &probed.secrets[0].as_ref().unwrap().check;
            let same = |value: &str, key: &str| {
                is_same(&name, &UserSecret::new(value.as_bytes().to_vec()), check, key)
                    .map_err(|error| error.to_string())
            };
            assert_eq!(same(VALUE, &probed.check_key), Ok(true));
            assert_eq!(same("another value", &probed.check_key), Ok(false));
            let other = probe(&asked(&["A"]), secrets.path(), kept).unwrap();
            assert_eq!(same(VALUE, &other.check_key), Ok(false), "a key is one build's");
            assert_eq!(same(VALUE, "").unwrap_err(), ProbeError::CheckKey.to_string());
        }
    }
}
