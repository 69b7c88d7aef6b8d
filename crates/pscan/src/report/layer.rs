//! One layer in a report.

use crate::finding::Finding;

/// The summary of one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSummary {
    pub(crate) platform: Option<String>,
    pub(crate) number: usize,
    pub(crate) diff_id: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) instruction: Option<String>,
    pub(crate) state: LayerState,
    pub(crate) leaks: usize,
}

/// Whether a layer was searched, and with what result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// Searched whole; nothing found.
    Searched,
    /// Searched whole by an earlier run, for the same needles.
    Remembered,
    /// The layer holds a secret.
    Leak,
    /// Not searched whole.
    NotSearched,
}

impl LayerState {
    /// All states.
    pub(crate) const ALL: [Self; 4] = [Self::Searched, Self::Remembered, Self::Leak, Self::NotSearched];

    /// The word in the JSON contract.
    #[must_use]
    pub fn machine_name(self) -> &'static str {
        match self {
            Self::Searched => "searched",
            Self::Remembered => "remembered",
            Self::Leak => "leak",
            Self::NotSearched => "not-searched",
        }
    }
}

impl LayerSummary {
    /// The platform of its image.
    #[must_use]
    pub fn platform(&self) -> Option<&str> {
        self.platform.as_deref()
    }

    /// The layer's place in the image, from 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// The digest of its unpacked bytes, as the image's configuration claims it.
    #[must_use]
    pub fn diff_id(&self) -> Option<&str> {
        self.diff_id.as_deref()
    }

    /// How many unpacked bytes it has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The instruction that made it, redacted.
    #[must_use]
    pub fn instruction(&self) -> Option<&str> {
        self.instruction.as_deref()
    }

    /// The state of the layer after the search.
    #[must_use]
    pub fn state(&self) -> LayerState {
        self.state
    }

    /// How many findings are in the layer.
    #[must_use]
    pub fn leaks(&self) -> usize {
        self.leaks
    }

    /// Counts the findings that are in the layer; with several images, only those of the layer's own platform.
    pub(crate) fn count(&self, findings: &[Finding], several: bool) -> usize {
        let here = |finding: &&Finding| {
            finding.layer() == Some(self.number) && (!several || finding.image() == self.platform.as_deref())
        };
        findings.iter().filter(here).count()
    }
}
