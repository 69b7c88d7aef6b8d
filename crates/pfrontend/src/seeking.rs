//! The secrets of a build in the form that the proof needs: their names, with values that the engine mounts.

use std::collections::BTreeMap;

use plook::wire::MountedValues;
use pproof::{Seeking, Values};
use pscan::{Report, ReportError};
use psecret::SecretName;
use serde_json::Value;

use crate::scanner::values;
use crate::secrets::Secrets;

/// The secrets that a build is searched for.
#[derive(Clone, Debug)]
pub(crate) struct SeekingByName {
    names: Vec<SecretName>,
    checks: Vec<String>,
    check_key: String,
    parts: BTreeMap<String, Vec<String>>,
}

impl SeekingByName {
    pub(crate) fn new(secrets: &Secrets) -> Self {
        Self {
            names: secrets.sought().map(|one| one.request.name.clone()).collect(),
            checks: secrets.sought().map(|one| one.facts.check.clone()).collect(),
            check_key: secrets.check_key.clone(),
            parts: secrets.parts(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

impl Seeking for SeekingByName {
    fn secrets(&self) -> Vec<String> {
        self.names.iter().map(ToString::to_string).collect()
    }

    fn parts(&self) -> BTreeMap<String, Vec<String>> {
        self.parts.clone()
    }

    fn values(&self) -> Values {
        Values::Mounted {
            mounts: values(self.names.iter().map(ToString::to_string)),
            told: MountedValues { check_key: self.check_key.clone(), checks: self.checks.clone() },
        }
    }

    fn read(&self, report: &Value) -> Result<Report, ReportError> {
        Report::from_json_by_names(report, &self.names)
    }

    /// Returns the text unchanged: the scanner masks its own messages, and no other process of the build's search has
    /// a value.
    fn redact(&self, text: &str) -> String {
        text.to_owned()
    }
}
