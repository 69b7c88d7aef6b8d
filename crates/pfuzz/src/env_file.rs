//! Fuzzes the reader of env files in both dialects.

use psecret::{Dialect, DigestKey, EnvFile, EnvFileError, EnvValue, SecretName, Store, UserSecret};

/// Checks that no bytes make the reader panic, that the places of errors are within the text, and that docker's
/// values are the text after the `=`. Entries of a `dotenv` file must stay the same if the store writes and reads
/// them.
pub(crate) fn run(data: &[u8]) {
    match EnvFile::parse(data, Dialect::Docker) {
        Ok(file) => docker(data, &file),
        Err(error) => place(data, &error),
    }
    match EnvFile::parse(data, Dialect::Dotenv) {
        Ok(file) => dotenv(file),
        Err(error) => place(data, &error),
    }
}

fn place(data: &[u8], error: &EnvFileError) {
    let line = without_mark(data).split(|byte| *byte == b'\n').nth(error.line.saturating_sub(1));
    let line = line.expect("the line of an error is in the text");
    assert!(error.line > 0 && (1..=line.len() + 1).contains(&error.column), "{error}");
}

fn docker(data: &[u8], file: &EnvFile) {
    let lines: Vec<&[u8]> = without_mark(data).split(|byte| *byte == b'\n').collect();
    for entry in file.entries() {
        let line = std::str::from_utf8(lines[entry.line - 1]).expect("the reader took it for text");
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
        match (&entry.value, line.split_once('=')) {
            (EnvValue::FromEnvironment, None) => assert_eq!(line, entry.name.as_str()),
            (EnvValue::Literal(value), Some((name, text))) => {
                assert_eq!(name, entry.name.as_str());
                assert_eq!(digest(value), digest(&UserSecret::new(text.as_bytes().to_vec())), "line {}", entry.line);
            }
            (EnvValue::FromEnvironment, Some(_)) | (EnvValue::Literal(_), None) => panic!("line {}", entry.line),
        }
    }
}

fn dotenv(file: EnvFile) {
    let mut store = Store::default();
    for entry in file.into_entries() {
        let EnvValue::Literal(value) = entry.value else { panic!("dotenv looks nothing up") };
        // A store cannot contain an empty value, or a name with brackets.
        let _ = store.set(entry.name, value);
    }
    let again = Store::parse(&store.to_bytes()).expect("the store reads what it wrote");
    assert!(store.changes(&again).is_empty());
}

fn digest(value: &UserSecret) -> String {
    let name = SecretName::parse("VALUE").expect("a name");
    DigestKey::new([0; 32]).digest("fuzz", &name, value)
}

fn without_mark(data: &[u8]) -> &[u8] {
    data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data)
}
