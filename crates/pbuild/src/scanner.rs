//! The scanner that this program brings to builders, and the values that it sends there.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pproof::{Program, Seeking, Values};
use pscan::{NeedleSet, Report, ReportError};
use psecret::{PartChoice, Redactor, Secret};
use serde_json::Value;
use zeroize::Zeroizing;

/// The scanner.
pub(crate) static PROGRAM: Program = Program {
    name: "[internal] scanner of pbuild",
    bytes: include_bytes!(env!("PBUILD_SCANNER")),
    platform: match env!("PBUILD_SCANNER_ARCHITECTURE").as_bytes() {
        b"x86_64" => "linux/amd64",
        b"aarch64" => "linux/arm64",
        _ => "unknown",
    },
};

/// The secrets of one build, with the values that the scanner needs to find them.
pub(crate) struct Sought {
    needles: Arc<NeedleSet>,
    secrets: Arc<Vec<Secret>>,
    redactor: Redactor,
}

impl Sought {
    /// Takes these secrets, from which the needles were made.
    pub(crate) fn new(needles: Arc<NeedleSet>, secrets: Arc<Vec<Secret>>, redactor: Redactor) -> Self {
        Self { needles, secrets, redactor }
    }
}

impl Seeking for Sought {
    fn secrets(&self) -> Vec<String> {
        self.secrets.iter().flat_map(|secret| secret.readings().map(|_| secret.name().to_string())).collect()
    }

    fn parts(&self) -> BTreeMap<String, Vec<String>> {
        let chosen = |secret: &Secret| match secret.part_choice() {
            PartChoice::All => None,
            PartChoice::None => Some(Vec::new()),
            PartChoice::Named(names) => Some(names.clone()),
        };
        self.secrets.iter().filter_map(|secret| Some((secret.name().to_string(), chosen(secret)?))).collect()
    }

    #[expect(clippy::disallowed_methods, reason = "door 21: the scanner in the builder must know what to seek")]
    fn values(&self) -> Values {
        let values = self.secrets.iter().flat_map(Secret::readings);
        Values::HandedOver(values.map(|value| Zeroizing::new(value.expose().to_vec())).collect())
    }

    fn read(&self, report: &Value) -> Result<Report, ReportError> {
        Report::from_json(report, &self.needles)
    }

    fn redact(&self, text: &str) -> String {
        self.redactor.redact(text)
    }
}

impl fmt::Debug for Sought {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sought({:?})", self.needles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scanner_is_a_static_program_that_names_no_folder_of_this_machine() {
        let program = PROGRAM.bytes;
        assert!(program.starts_with(b"\x7fELF"));
        // Type EXEC: it needs no loader and runs where there is nothing else.
        assert_eq!(program[16], 2);
        let folder = env!("CARGO_MANIFEST_DIR").as_bytes();
        assert!(!program.windows(folder.len()).any(|window| window == folder));
        assert_ne!(PROGRAM.platform, "unknown");
    }
}
