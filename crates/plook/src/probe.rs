//! Finds out which of the mounted secrets are present, and the facts that may be known outside of the container.

use std::io;
use std::path::Path;

use psecret::{DigestKey, LONGEST_VARIABLE, Searchability, SecretName, UserSecret};
use zeroize::Zeroizing;

use crate::bases::{self, Seals};
use crate::wire::{BasesNote, Facts, Key, Probe, ProbeAnswer, Variable};
use crate::{KEY, kept};

/// The purpose of the digests. It is the same in every program that binds steps to values.
const PURPOSE: &str = "binding";

/// The purpose of the checks, which recognize the values of one build.
const CHECK: &str = "check";

/// The reason why the secrets cannot be probed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// A secret's name is not valid.
    #[error("a secret that was asked for has no name")]
    Name,
    /// A mounted file cannot be read.
    #[error("failed to read a mounted secret")]
    Read(#[from] io::Error),
    /// The kernel gives no random bytes for a key.
    #[error("failed to make a key")]
    Random,
    /// The key of the checks is not valid.
    #[error("the key of the build's checks is none")]
    CheckKey,
    /// A value differs from the one that was probed.
    #[error("a secret changed while the build ran")]
    Changed,
    /// The program cannot read its own file.
    #[error("failed to read the scanner's own program")]
    Program(#[source] io::Error),
    /// The builder cannot keep a note.
    #[error("failed to keep a note")]
    Keep(#[source] io::Error),
}

/// A mounted secret: its name and value.
type Mounted = (SecretName, UserSecret);

/// Reads every secret of the request, and returns the facts that may be known of it.
///
/// # Errors
///
/// Returns a [`ProbeError`].
pub fn probe(asked: &Probe, secrets: &Path, kept: &Path) -> Result<ProbeAnswer, ProbeError> {
    let (key, whose) = key(secrets, kept)?;
    let check_key = kept::random_key().ok_or(ProbeError::Random)?;
    let check_key: String = check_key.iter().map(|byte| format!("{byte:02x}")).collect();
    let checks = check(&check_key)?;
    let mounted = mounted(asked, secrets)?;
    let facts = mounted.iter().map(|mounted| {
        let (name, value) = mounted.as_ref()?;
        Some(Facts {
            bytes: value.len() as u64,
            variable: variable(name, value),
            unprotected: match Searchability::of(value) {
                Searchability::Unprotected(why) => Some(why.to_string()),
                Searchability::Empty | Searchability::Weak | Searchability::Full => None,
            },
            digest: key.digest(PURPOSE, name, value),
            check: checks.digest(CHECK, name, value),
        })
    });
    let secrets = facts.collect();
    let bases = match bases::is_empty(kept) {
        true => vec![None; asked.bases.len()],
        false => {
            let there: Vec<Mounted> = mounted.into_iter().flatten().collect();
            let seals = seals(&key, whose, &there, asked)?;
            let recall = |base: &String| seals.as_ref()?.recall(kept, base);
            asked.bases.iter().map(recall).collect()
        }
    };
    Ok(ProbeAnswer { secrets, key: whose, check_key, leaked: kept::leaked(kept), bases })
}

/// Notes bases as clean, for exactly the values that a probe saw.
///
/// # Errors
///
/// Returns a [`ProbeError`].
pub fn note_bases(note: &BasesNote, secrets: &Path, kept: &Path) -> Result<(), ProbeError> {
    let (key, whose) = key(secrets, kept)?;
    let mounted = mounted(&note.probe, secrets)?;
    if mounted.len() != note.checks.len() {
        return Err(ProbeError::Changed);
    }
    for (mounted, check) in mounted.iter().zip(&note.checks) {
        let is_same = match (mounted, check) {
            (Some((name, value)), Some(check)) => is_same(name, value, check, &note.check_key)?,
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            return Err(ProbeError::Changed);
        }
    }
    let there: Vec<Mounted> = mounted.into_iter().flatten().collect();
    let Some(seals) = seals(&key, whose, &there, &note.probe)? else { return Ok(()) };
    note.bases.iter().try_for_each(|base| seals.note(kept, base)).map_err(ProbeError::Keep)
}

/// Makes the seals of bases. Returns `None` if the next build will not have the same key.
fn seals<'k>(
    key: &'k DigestKey,
    whose: Key,
    mounted: &[Mounted],
    asked: &Probe,
) -> Result<Option<Seals<'k>>, ProbeError> {
    match whose {
        Key::Client | Key::Builder => {
            let program = bases::own_program().map_err(ProbeError::Program)?;
            Ok(Seals::new(key, mounted, &asked.parts, &program))
        }
        Key::Unusable | Key::Passing => Ok(None),
    }
}

/// Reads every secret of the request; an item is `None` if the session did not have this secret.
fn mounted(asked: &Probe, secrets: &Path) -> Result<Vec<Option<Mounted>>, ProbeError> {
    let one = |(number, name): (usize, &String)| {
        let name = SecretName::parse(name).map_err(|_| ProbeError::Name)?;
        Ok(value(secrets, number)?.map(|value| (name, value)))
    };
    asked.secrets.iter().enumerate().map(one).collect()
}

/// Whether a mounted value is the one that a check was made of, under this key.
///
/// # Errors
///
/// Returns [`ProbeError::CheckKey`].
pub fn is_same(name: &SecretName, value: &UserSecret, check: &str, check_key: &str) -> Result<bool, ProbeError> {
    Ok(self::check(check_key)?.digest(CHECK, name, value) == check)
}

fn check(key: &str) -> Result<DigestKey, ProbeError> {
    DigestKey::from_text(key.as_bytes()).ok_or(ProbeError::CheckKey)
}

/// Reads a mounted value. Returns `None` if the session did not have it.
///
/// # Errors
///
/// Returns an error if the file exists but cannot be read.
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

    /// Makes two folders: one with the mounted values, one for the data that the builder keeps.
    fn folders(values: &[(&str, &[u8])]) -> (TempDir, TempDir) {
        let (secrets, kept) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        for (name, value) in values {
            fs::write(secrets.path().join(name), value).unwrap();
        }
        (secrets, kept)
    }

    fn asked(names: &[&str]) -> Probe {
        let secrets = names.iter().map(|name| (*name).to_owned()).collect();
        Probe { version: wire::VERSION, secrets, parts: Default::default(), bases: Vec::new() }
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

    #[test]
    fn a_base_is_clean_for_the_values_that_were_searched_for() {
        let (secrets, kept) = folders(&[("0", VALUE.as_bytes())]);
        let base = "docker-image://docker.io/library/debian:12@sha256:aa";
        let probe = || {
            let asked = Probe { bases: vec![base.to_owned()], ..asked(&["A", "GONE"]) };
            let answer = probe(&asked, secrets.path(), kept.path()).unwrap();
            (asked, answer)
        };
        let (asked, answer) = probe();
        assert_eq!(answer.bases, [None]);
        let note = BasesNote {
            version: wire::VERSION,
            probe: asked,
            check_key: answer.check_key,
            checks: answer.secrets.iter().map(|facts| facts.as_ref().map(|facts| facts.check.clone())).collect(),
            bases: vec![wire::CleanBase { identifier: base.to_owned(), layers: vec!["/1/fs".to_owned()] }],
        };
        fs::write(secrets.path().join("0"), "another value").unwrap();
        let refused = note_bases(&note, secrets.path(), kept.path());
        assert!(matches!(refused, Err(ProbeError::Changed)), "{refused:?}");
        fs::write(secrets.path().join("0"), VALUE).unwrap();
        fs::write(secrets.path().join("1"), "a value that came late").unwrap();
        assert!(matches!(note_bases(&note, secrets.path(), kept.path()), Err(ProbeError::Changed)));
        fs::remove_file(secrets.path().join("1")).unwrap();
        note_bases(&note, secrets.path(), kept.path()).unwrap();
        assert_eq!(probe().1.bases, [Some(vec!["/1/fs".to_owned()])]);
        fs::write(secrets.path().join("0"), "another value").unwrap();
        assert_eq!(probe().1.bases, [None], "it was not searched for this one");
    }
}
