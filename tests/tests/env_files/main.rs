//! Compares our reading of env files with that of the real tools.
//!
//! The dialect `docker` is compared with the docker client, whose request a socket of the test receives. The dialect
//! `dotenv` is compared with Docker Compose and with python-dotenv. Some files are difficult ones written by hand;
//! the others are generated, and the same in every run.

mod cases;
mod compose;
mod docker;
mod python;

use std::collections::BTreeMap;

use psecret::{Dialect, EnvFile, EnvFileError, EnvValue, UserSecret};

/// The values of a file, by name.
type Variables = BTreeMap<String, String>;

/// Reads a file as our tools do. A name without a value is looked up in `inherited`.
fn ours(text: &[u8], dialect: Dialect, inherited: &[(&str, &str)]) -> Result<Variables, EnvFileError> {
    let file = EnvFile::parse(text, dialect)?;
    let value = |name: &str, value: &EnvValue| match value {
        EnvValue::Literal(value) => Some(plain(value)),
        EnvValue::FromEnvironment => {
            inherited.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        }
    };
    let entries = file.entries().iter().filter_map(|entry| {
        let name = entry.name.as_str();
        Some((name.to_owned(), value(name, &entry.value)?))
    });
    Ok(entries.collect())
}

#[expect(clippy::disallowed_methods, reason = "the values of these files are made up, and compared with the tools'")]
fn plain(value: &UserSecret) -> String {
    String::from_utf8(value.expose().to_vec()).expect("both dialects are text")
}

/// A run of a tool over several files. It returns one answer for each file, or `None` if the tool refuses one of
/// them.
type Run<'a, T> = dyn FnMut(&[&[u8]]) -> Option<Vec<T>> + 'a;

/// Asks a tool about many files in few runs: first about all of them at once, and about both halves only if that
/// fails.
fn ask<T>(texts: &[&[u8]], run: &mut Run<'_, T>) -> Vec<Option<T>> {
    if texts.is_empty() {
        return Vec::new();
    }
    if let Some(answers) = run(texts) {
        assert_eq!(answers.len(), texts.len(), "an answer for each file");
        return answers.into_iter().map(Some).collect();
    }
    if texts.len() == 1 {
        return vec![None];
    }
    let (one, other) = texts.split_at(texts.len() / 2);
    let mut answers = ask(one, run);
    answers.extend(ask(other, run));
    answers
}
