//! Findings that a user has examined and accepted.
//!
//! A baseline holds fingerprints under the project's digest key: of the secret's name, its value, the part that was
//! found, and the place. Without the key, a fingerprint reveals nothing, not even about a short value (S21). Layers
//! and offsets are left out, so that a rebuilt image still matches. After a change of the value, the finding counts
//! as new.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use pcli::{FoundManifest, SealedError};
use pscan::{Finding, Report};
use psecret::{DigestKey, Secret, SecretName, UserSecret};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::files::replace::replace;

/// The largest baseline that is read, in bytes.
const LARGEST_FILE: usize = 64 << 20;

/// The content of a baseline file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    /// A digest that shows whether the fingerprints were made with the present key.
    key: String,
    accepted: Vec<Entry>,
}

/// One accepted finding. The names and the place are only for a person who reviews the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    fingerprint: String,
    secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<String>,
    place: String,
}

impl Entry {
    /// Describes an accepted finding in one line for people.
    fn told(&self) -> String {
        match &self.part {
            Some(part) => format!("{}, part {part}, in {}", self.secret, self.place),
            None => format!("{} in {}", self.secret, self.place),
        }
    }
}

/// The reasons why a baseline cannot be used.
#[derive(Debug)]
pub(crate) enum BaselineError {
    /// The key of the fingerprints cannot be read.
    Key(SealedError),
    /// There is no key for the fingerprints.
    NoKey,
    /// The file cannot be used.
    Read {
        /// The file.
        path: PathBuf,
        /// The problem of the file.
        problem: BaselineProblem,
    },
    /// The file cannot be written.
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl From<SealedError> for BaselineError {
    fn from(error: SealedError) -> Self {
        Self::Key(error)
    }
}

/// The reasons why a baseline file is not usable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BaselineProblem {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(io::Error),
    /// The file is longer than any baseline.
    #[error("too long for a baseline")]
    TooLong,
    /// The file is not a baseline.
    #[error("not a baseline, at line {line}")]
    NotABaseline {
        /// The first line that does not fit.
        line: usize,
    },
    /// The file has a version that this pbuild does not know.
    #[error("version {0} is not known to this pbuild")]
    Version(u32),
    /// The fingerprints in the file were made with another key.
    #[error("it was written with another key")]
    OtherKey,
}

/// Recognises findings that a user has accepted.
#[derive(Debug)]
pub(crate) struct Baselines<'a> {
    key: DigestKey,
    secrets: &'a [Secret],
}

impl<'a> Baselines<'a> {
    /// Takes the project's digest key from its sealed store, or from the variable that CI sets.
    ///
    /// # Errors
    /// Returns an error if there is no key.
    pub(crate) fn new(manifest: Option<&FoundManifest>, secrets: &'a [Secret]) -> Result<Self, BaselineError> {
        let environment = |name: &str| std::env::var_os(name);
        let key = pcli::digest_key(manifest, &environment)?.ok_or(BaselineError::NoKey)?;
        Ok(Self { key, secrets })
    }

    /// Marks the findings that the file lists as accepted, and reports the entries of the file that match no finding.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or if it was written with another key.
    pub(crate) fn apply(&self, path: &Path, report: &mut Report) -> Result<(), BaselineError> {
        let document = self.read(path)?;
        let mut stale: BTreeMap<&str, &Entry> =
            document.accepted.iter().map(|entry| (entry.fingerprint.as_str(), entry)).collect();
        let known = stale.clone();
        for finding in report.findings() {
            if let Some(fingerprint) = self.fingerprint(finding) {
                stale.remove(fingerprint.as_str());
            }
        }
        let stale = stale.values().map(|entry| pscreen::one_line(&entry.told())).collect();
        let is_known = |finding: &Finding| {
            self.fingerprint(finding).is_some_and(|fingerprint| known.contains_key(fingerprint.as_str()))
        };
        report.accept(is_known, stale);
        Ok(())
    }

    /// Writes a file that accepts all findings, including those that another baseline has accepted.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub(crate) fn write(&self, path: &Path, report: &Report) -> Result<(), BaselineError> {
        let mut accepted = BTreeMap::new();
        for finding in report.findings().iter().chain(report.accepted()) {
            if let Some(fingerprint) = self.fingerprint(finding) {
                let (secret, part) = (finding.secret().to_string(), finding.part().map(str::to_owned));
                let entry = Entry { fingerprint, secret, part, place: place_of(finding) };
                accepted.insert((entry.place.clone(), entry.secret.clone(), entry.part.clone()), entry);
            }
        }
        let document = Document { version: 1, key: self.key_check(), accepted: accepted.into_values().collect() };
        let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
        text.push('\n');
        replace(path, text.as_bytes()).map_err(|source| BaselineError::Write { path: path.to_owned(), source })
    }

    fn read(&self, path: &Path) -> Result<Document, BaselineError> {
        let wrong = |problem| BaselineError::Read { path: path.to_owned(), problem };
        let text = files::read(path, LARGEST_FILE).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => wrong(BaselineProblem::TooLong),
            _ => wrong(BaselineProblem::Unreadable(error)),
        })?;
        let document: Document = serde_json::from_slice(&text)
            .map_err(|error| wrong(BaselineProblem::NotABaseline { line: error.line() }))?;
        if document.version != 1 {
            return Err(wrong(BaselineProblem::Version(document.version)));
        }
        if document.key != self.key_check() {
            return Err(wrong(BaselineProblem::OtherKey));
        }
        Ok(document)
    }

    fn fingerprint(&self, finding: &Finding) -> Option<String> {
        let secret = self.secrets.iter().find(|secret| secret.name() == finding.secret())?;
        let mut purpose = format!("finding\0{}", place_of(finding));
        // A user who accepted one part at a place has accepted neither another part nor the whole value at this
        // place.
        if let Some(part) = finding.part() {
            purpose.push_str("\0part\0");
            purpose.push_str(part);
        }
        Some(self.key.digest(&purpose, secret.name(), secret.value()))
    }

    /// Returns a keyed digest of a fixed text, which shows whether a file was written with this key.
    fn key_check(&self) -> String {
        let name = SecretName::parse("BASELINE").expect("a valid name");
        self.key.digest("baseline key", &name, &UserSecret::new(b"baseline".to_vec()))
    }
}

/// Describes the place of a finding without the details that change when the image is built again: layers, platforms
/// and offsets.
fn place_of(finding: &Finding) -> String {
    let place = finding.place();
    let parts = [Some(place.machine_name()), place.document(), place.path(), place.pointer()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
