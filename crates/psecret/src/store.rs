//! The content of the sealed store: user secrets by name, and the recipients that may read them.
//!
//! The text is an env file of the dialect `dotenv`, so that it is of use to somebody who opens the sealed file with
//! plain `age -d`. The lines at its head that begin with `#@` carry what an env file has no syntax for:
//!
//! ```text
//! #@ store 1
//! #@ recipient age1… Ana
//! #@ key …
//! #@ base64 KEYSTORE
//! API_TOKEN='…'
//! KEYSTORE='…'
//! ```

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::{Dialect, DigestKey, EnvFile, EnvFileError, EnvValue, SecretError, SecretName, UserSecret};

/// The version of the format that is written and read.
const VERSION: &str = "1";

/// The reason why a store's content cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A later version of the program wrote the store.
    #[error("the store is of a newer version than {VERSION}")]
    Newer,
    /// An unknown line in the head.
    #[error("line {line}: not a head line of a store")]
    Head {
        /// The line, from 1.
        line: usize,
    },
    /// A faulty line of the env file.
    #[error(transparent)]
    Line(#[from] EnvFileError),
    /// A value that the head lists as base64 and that is not base64.
    #[error("the value of `{name}` is not base64")]
    NotBase64 {
        /// The name.
        name: SecretName,
    },
}

/// The secrets of a project and the recipients that its file is sealed for.
///
/// ```
/// use psecret::{SecretName, Store, UserSecret};
///
/// let mut store = Store::default();
/// store.set(SecretName::parse("API_TOKEN")?, UserSecret::new(b"hunter2-hunter2".to_vec()))?;
/// let text = store.to_bytes();
/// assert_eq!(text.as_slice(), b"#@ store 1\nAPI_TOKEN='hunter2-hunter2'\n");
/// assert_eq!(Store::parse(&text)?.names().count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Store {
    /// The names of the people, by their recipients; empty for a recipient without a name.
    recipients: BTreeMap<String, String>,
    key: Option<DigestKey>,
    secrets: BTreeMap<SecretName, UserSecret>,
}

/// The difference between the values of a name in two stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The name is new.
    Added,
    /// The name is gone.
    Removed,
    /// The name has another value.
    Changed,
}

impl Store {
    /// Parses the opened content. The head may be missing: any dotenv file without empty values is a store.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] that names the line, but never contains text from the right of a `=`.
    pub fn parse(content: &[u8]) -> Result<Self, StoreError> {
        let mut store = Self::default();
        let mut encoded = BTreeSet::new();
        for (index, line) in content.split(|byte| *byte == b'\n').enumerate() {
            let Some(directive) = line.strip_prefix(b"#@") else { break };
            let fault = || StoreError::Head { line: index + 1 };
            let directive = std::str::from_utf8(directive).map_err(|_| fault())?.trim();
            match directive.split_once(' ') {
                Some(("store", VERSION)) => {}
                Some(("store", _)) => return Err(StoreError::Newer),
                Some(("recipient", recipient)) => {
                    let (recipient, name) = recipient.trim().split_once(' ').unwrap_or((recipient.trim(), ""));
                    store.recipients.insert(recipient.to_owned(), name.trim().to_owned());
                }
                Some(("key", text)) => {
                    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| fault())?);
                    store.key = Some(DigestKey::new(bytes.as_slice().try_into().map_err(|_| fault())?));
                }
                Some(("base64", name)) => {
                    encoded.insert(SecretName::parse(name.trim()).map_err(|_| fault())?);
                }
                _ => return Err(fault()),
            }
        }
        for entry in EnvFile::parse(content, Dialect::Dotenv)?.into_entries() {
            if let EnvValue::Literal(value) = entry.value
                && !value.is_empty()
            {
                let value = if encoded.contains(&entry.name) { decoded(&entry.name, &value)? } else { value };
                store.secrets.insert(entry.name, value);
            }
        }
        Ok(store)
    }

    /// Writes the content that is to be sealed. The names are in order, so equal stores have equal bytes.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "door 6: the store's content is written to be sealed")]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // No byte of a value becomes more than six bytes, so the buffer is never reallocated and leaves no copy in
        // memory.
        let length: usize =
            self.secrets.iter().map(|(name, value)| name.as_str().len() * 2 + value.len() * 6 + 32).sum();
        let mut text = Zeroizing::new(Vec::with_capacity(length + self.recipients.len() * 256 + 96));
        text.extend_from_slice(format!("#@ store {VERSION}\n").as_bytes());
        for (recipient, name) in &self.recipients {
            text.extend_from_slice(format!("#@ recipient {recipient} {name}").trim_end().as_bytes());
            text.push(b'\n');
        }
        if let Some(key) = &self.key {
            text.extend_from_slice(b"#@ key ");
            text.extend_from_slice(Zeroizing::new(STANDARD.encode(key.bytes())).as_bytes());
            text.push(b'\n');
        }
        for (name, value) in &self.secrets {
            if !is_text(value.expose()) {
                text.extend_from_slice(format!("#@ base64 {name}\n").as_bytes());
            }
        }
        for (name, value) in &self.secrets {
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b'=');
            push_quoted(&mut text, value.expose());
            text.push(b'\n');
        }
        text
    }

    /// Returns the names, in order.
    pub fn names(&self) -> impl Iterator<Item = &SecretName> {
        self.secrets.keys()
    }

    /// Returns a secret's value, still closed.
    #[must_use]
    pub fn get(&self, name: &SecretName) -> Option<&UserSecret> {
        self.secrets.get(name)
    }

    /// Removes a secret from the store and returns its value.
    pub fn take(&mut self, name: &SecretName) -> Option<UserSecret> {
        self.secrets.remove(name)
    }

    /// Sets a secret, and returns the value that it had before.
    ///
    /// # Errors
    ///
    /// Returns [`SecretError::Empty`] for an empty value, and [`SecretError::Name`] for a name that the dialect
    /// `dotenv` cannot write.
    pub fn set(&mut self, name: SecretName, value: UserSecret) -> Result<Option<UserSecret>, SecretError> {
        if value.is_empty() {
            return Err(SecretError::Empty { name });
        }
        if !name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
            return Err(SecretError::Name);
        }
        Ok(self.secrets.insert(name, value))
    }

    /// Lists the recipients that may read the store.
    pub fn recipients(&self) -> impl Iterator<Item = &str> {
        self.recipients.keys().map(String::as_str)
    }

    /// Returns the name of the person who has a recipient, if the store holds it.
    #[must_use]
    pub fn recipient_name(&self, recipient: &str) -> Option<&str> {
        self.recipients.get(recipient).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// Stores the name of the person who has a recipient, as one line of at most 60 characters. Does nothing for a
    /// recipient that may not read the store.
    pub fn name_recipient(&mut self, recipient: &str, name: &str) {
        if let Some(known) = self.recipients.get_mut(recipient.trim()) {
            let name: String = name.chars().filter(|character| !character.is_control()).take(60).collect();
            *known = name.trim().to_owned();
        }
    }

    /// Adds a recipient. Returns false if the store had it already.
    pub fn add_recipient(&mut self, recipient: &str) -> bool {
        let recipient = recipient.trim();
        let new = !self.recipients.contains_key(recipient);
        self.recipients.entry(recipient.to_owned()).or_default();
        new
    }

    /// Removes a recipient. Returns false if the store did not have it.
    pub fn remove_recipient(&mut self, recipient: &str) -> bool {
        self.recipients.remove(recipient.trim()).is_some()
    }

    /// Returns the key for digests of the values. All recipients have the same key, so their digests agree.
    #[must_use]
    pub fn digest_key(&self) -> Option<&DigestKey> {
        self.key.as_ref()
    }

    /// Takes out only the digest key; the values are wiped.
    #[must_use]
    pub fn into_digest_key(self) -> Option<DigestKey> {
        self.key
    }

    /// Sets the digest key.
    pub fn set_digest_key(&mut self, key: DigestKey) {
        self.key = Some(key);
    }

    /// Returns the names of values that are not text, which an env file cannot hold as they are.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "door 61: an export must know which values an env file cannot hold")]
    pub fn binary(&self) -> Vec<&SecretName> {
        self.secrets.iter().filter(|(_, value)| !is_text(value.expose())).map(|(name, _)| name).collect()
    }

    /// Lists the names whose values differ from this store to the other, with the kind of change. The list is for
    /// people, so it holds no values.
    #[must_use]
    pub fn changes<'a>(&'a self, other: &'a Self) -> Vec<(&'a SecretName, Change)> {
        let names: BTreeSet<&SecretName> = self.names().chain(other.names()).collect();
        names
            .into_iter()
            .filter_map(|name| match (self.get(name), other.get(name)) {
                (None, _) => Some((name, Change::Added)),
                (_, None) => Some((name, Change::Removed)),
                (Some(one), Some(two)) => (!same(one, two)).then_some((name, Change::Changed)),
            })
            .collect()
    }

    /// Merges two stores that grew from a common one. A secret that only one side has changed is taken from that
    /// side.
    ///
    /// # Errors
    ///
    /// Returns the names that the two sides changed differently.
    pub fn merge(base: &Self, mut ours: Self, mut theirs: Self) -> Result<Self, Vec<SecretName>> {
        let names: BTreeSet<SecretName> = [base, &ours, &theirs].into_iter().flat_map(Self::names).cloned().collect();
        let (mut merged, mut conflicts) = (Self::default(), Vec::new());
        for name in names {
            let (old, one, two) = (base.get(&name), ours.take(&name), theirs.take(&name));
            let taken = if same_or_absent(one.as_ref(), two.as_ref()) || same_or_absent(old, two.as_ref()) {
                one
            } else if same_or_absent(old, one.as_ref()) {
                two
            } else {
                conflicts.push(name);
                continue;
            };
            if let Some(value) = taken {
                merged.secrets.insert(name, value);
            }
        }
        let readers: BTreeSet<&String> = ours.recipients.keys().chain(theirs.recipients.keys()).collect();
        let kept = |reader: &&&String| {
            // A recipient of the common store stays only if neither side removed it.
            !base.recipients.contains_key(**reader)
                || (ours.recipients.contains_key(**reader) && theirs.recipients.contains_key(**reader))
        };
        let named = |reader: &&String| {
            let name = ours.recipient_name(reader).or_else(|| theirs.recipient_name(reader)).unwrap_or_default();
            ((*reader).clone(), name.to_owned())
        };
        merged.recipients = readers.iter().filter(kept).map(named).collect();
        merged.key = ours.key.take().or_else(|| theirs.key.take());
        if conflicts.is_empty() { Ok(merged) } else { Err(conflicts) }
    }
}

#[expect(clippy::disallowed_methods, reason = "door 7: a base64 line of the store is decoded")]
fn decoded(name: &SecretName, value: &UserSecret) -> Result<UserSecret, StoreError> {
    STANDARD.decode(value.expose()).map(UserSecret::new).map_err(|_| StoreError::NotBase64 { name: name.clone() })
}

#[expect(clippy::disallowed_methods, reason = "door 8: two stores are compared to name what changed")]
fn same(one: &UserSecret, other: &UserSecret) -> bool {
    one.expose() == other.expose()
}

fn same_or_absent(one: Option<&UserSecret>, other: Option<&UserSecret>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => same(one, other),
        _ => false,
    }
}

/// Whether an env file can hold the value as text.
fn is_text(value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok()
        && !value.iter().any(|byte| (*byte < 0x20 && !b"\n\r\t".contains(byte)) || *byte == 0x7f)
}

/// Writes a value so that every reader of the dialect reads it back. Single quotes are used if the value needs no
/// escape.
fn push_quoted(text: &mut Vec<u8>, value: &[u8]) {
    if !is_text(value) {
        let encoded = Zeroizing::new(STANDARD.encode(value));
        text.push(b'\'');
        text.extend_from_slice(encoded.as_bytes());
        text.push(b'\'');
    } else if !value.iter().any(|byte| b"'\\\n\r".contains(byte)) {
        text.push(b'\'');
        text.extend_from_slice(value);
        text.push(b'\'');
    } else {
        text.push(b'"');
        for byte in value {
            match byte {
                b'\n' => text.extend_from_slice(b"\\n"),
                b'\r' => text.extend_from_slice(b"\\r"),
                b'\\' | b'"' | b'$' => text.extend_from_slice(&[b'\\', *byte]),
                _ => text.push(*byte),
            }
        }
        text.push(b'"');
    }
}

#[cfg(test)]
mod tests;
