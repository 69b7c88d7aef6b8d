//! Findings that somebody looked at and accepted.
//!
//! A baseline holds keyed fingerprints: of the secret's name, its value and the place, under the project's digest key.
//! Without the key a fingerprint says nothing, not even of a short value (S21). Layers and offsets are no part of it, so
//! that a rebuilt image is still known; a new value is a new finding.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pcli::FoundManifest;
use pscan::{Finding, Report};
use pscreen::{Diagnostic, Exit};
use psecret::{DigestKey, Secret, SecretName, UserSecret};
use serde::{Deserialize, Serialize};

use super::output;

/// More is not ours.
const LARGEST_FILE: u64 = 64 << 20;

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    /// Tells whether a key is the one that the fingerprints were made with.
    key: String,
    accepted: Vec<Entry>,
}

/// One accepted finding. Name and place are for people who review the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    fingerprint: String,
    secret: String,
    place: String,
}

/// What is needed to know a finding again.
#[derive(Debug)]
pub struct Baselines<'a> {
    key: DigestKey,
    secrets: &'a [Secret],
}

impl<'a> Baselines<'a> {
    /// Takes the project's digest key: from its sealed store, or from the variable that CI sets.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(manifest: Option<&FoundManifest>, secrets: &'a [Secret]) -> Result<Self, Diagnostic> {
        let environment = |name: &str| std::env::var_os(name);
        let key = pcli::digest_key(manifest, &environment).map_err(|error| error.diagnostic())?;
        let key = key.ok_or_else(|| {
            Diagnostic::error("a baseline needs a key for its fingerprints, and there is none", Exit::Usage).help(
                format!("`pbuild secrets init` makes a store that has one; in CI set {}", pcli::CACHE_KEY_VARIABLE),
            )
        })?;
        Ok(Self { key, secrets })
    }

    /// Moves the findings that the file knows to the accepted ones, and tells what it knows in vain.
    ///
    /// # Errors
    /// When the file cannot be read, or was written with another key.
    pub fn apply(&self, path: &Path, report: &mut Report) -> Result<(), Diagnostic> {
        let document = self.read(path)?;
        let mut stale: BTreeMap<&str, &Entry> =
            document.accepted.iter().map(|entry| (entry.fingerprint.as_str(), entry)).collect();
        let known = stale.clone();
        for finding in report.findings() {
            if let Some(fingerprint) = self.fingerprint(finding) {
                stale.remove(fingerprint.as_str());
            }
        }
        let stale = stale.values().map(|entry| pscreen::one_line(&format!("{} in {}", entry.secret, entry.place)));
        let stale = stale.collect();
        let is_known = |finding: &Finding| {
            self.fingerprint(finding).is_some_and(|fingerprint| known.contains_key(fingerprint.as_str()))
        };
        report.accept(is_known, stale);
        Ok(())
    }

    /// Writes a file that accepts everything found, also what another baseline accepted.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path, report: &Report) -> Result<(), Diagnostic> {
        let mut accepted = BTreeMap::new();
        for finding in report.findings().iter().chain(report.accepted()) {
            if let Some(fingerprint) = self.fingerprint(finding) {
                let (secret, place) = (finding.secret().to_string(), place_of(finding));
                accepted.insert((place.clone(), secret.clone()), Entry { fingerprint, secret, place });
            }
        }
        let document = Document { version: 1, key: self.key_check(), accepted: accepted.into_values().collect() };
        let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
        text.push('\n');
        output::replace(path, text.as_bytes()).map_err(|error| {
            Diagnostic::from_error(&error, Exit::Failed)
                .note(format!("while writing --write-baseline {}", path.display()))
        })
    }

    fn read(&self, path: &Path) -> Result<Document, Diagnostic> {
        let wrong =
            |problem: String| Diagnostic::error(format!("--baseline {}: {problem}", path.display()), Exit::Usage);
        let metadata = fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
        if metadata.len() > LARGEST_FILE {
            return Err(wrong("too long for a baseline".to_owned()));
        }
        let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let document: Document = serde_json::from_slice(&text).map_err(|error| {
            wrong(format!("not a baseline, at line {}", error.line())).help("--write-baseline FILE writes one")
        })?;
        if document.version != 1 {
            return Err(wrong(format!("version {} is not known to this pbuild", document.version)));
        }
        if document.key != self.key_check() {
            return Err(wrong("it was written with another key".to_owned()).help(format!(
                "use the project's own store, or the same {}; --write-baseline writes it anew",
                pcli::CACHE_KEY_VARIABLE
            )));
        }
        Ok(document)
    }

    fn fingerprint(&self, finding: &Finding) -> Option<String> {
        let secret = self.secrets.iter().find(|secret| secret.name() == finding.secret())?;
        Some(self.key.digest(&format!("finding\0{}", place_of(finding)), secret.name(), secret.value()))
    }

    /// A digest of something that everybody knows.
    fn key_check(&self) -> String {
        let name = SecretName::parse("BASELINE").expect("a valid name");
        self.key.digest("baseline key", &name, &UserSecret::new(b"baseline".to_vec()))
    }
}

/// The place without what changes when the image is built again: layers, platforms, offsets.
fn place_of(finding: &Finding) -> String {
    let place = finding.place();
    let parts = [Some(place.machine_name()), place.document(), place.path(), place.pointer()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
