//! The scanner that pbuild brings to builders, and the values that it sends to the scanner.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pproof::{Program, Seeking, Values};
use pscan::{NeedleSet, Report, ReportError};
use psecret::{PartChoice, Redactor, Secret};
use serde_json::Value;
use zeroize::Zeroizing;

/// The name that the scanner has among the steps of a build.
pub(crate) const NAME: &str = "[internal] scanner of pbuild";

/// The scanner's programs, one for each platform that the build script embedded.
pub(crate) static PROGRAMS: &[Program] = include!(concat!(env!("OUT_DIR"), "/scanners.rs"));

/// The secrets of one build, with the values that the scanner needs to find them.
pub(crate) struct ScannerSecrets {
    needles: Arc<NeedleSet>,
    secrets: Arc<Vec<Secret>>,
    redactor: Redactor,
}

impl ScannerSecrets {
    /// Takes the secrets and the needles that were made from them.
    pub(crate) fn new(needles: Arc<NeedleSet>, secrets: Arc<Vec<Secret>>, redactor: Redactor) -> Self {
        Self { needles, secrets, redactor }
    }
}

impl Seeking for ScannerSecrets {
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

impl fmt::Debug for ScannerSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScannerSecrets({:?})", self.needles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scanner_is_a_static_program_that_names_no_folder_of_this_machine() {
        for Program { bytes, platform, .. } in PROGRAMS {
            assert!(bytes.starts_with(b"\x7fELF"), "{platform}");
            // The type is EXEC: the program needs no loader and runs in an empty file system.
            assert_eq!(bytes[16], 2, "{platform}");
            let folder = env!("CARGO_MANIFEST_DIR").as_bytes();
            assert!(!bytes.windows(folder.len()).any(|window| window == folder), "{platform}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn there_is_a_scanner_for_builders_of_this_programs_own_kind() {
        let own = match std::env::consts::ARCH {
            "x86_64" => "linux/amd64".to_owned(),
            "aarch64" => "linux/arm64".to_owned(),
            other => format!("linux/{other}"),
        };
        assert!(PROGRAMS.iter().any(|program| program.platform == own));
    }
}
