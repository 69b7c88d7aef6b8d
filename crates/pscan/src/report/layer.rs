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

/// Whether a layer was searched, and the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerState {
    /// The layer was searched whole, and nothing was found.
    Searched,
    /// An earlier run searched the layer whole for the same needles, and found nothing.
    Remembered,
    /// The layer holds a secret.
    Leak,
    /// The layer was not searched whole.
    NotSearched,
}

impl LayerState {
    /// All states.
    pub(crate) const ALL: [Self; 4] = [Self::Searched, Self::Remembered, Self::Leak, Self::NotSearched];

    /// Returns the state's word in the JSON contract.
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
    /// Returns the platform of the layer's image.
    #[must_use]
    pub fn platform(&self) -> Option<&str> {
        self.platform.as_deref()
    }

    /// Returns the layer's number in the image, from 1.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// Returns the digest of the layer's unpacked bytes, as the image's configuration states it.
    #[must_use]
    pub fn diff_id(&self) -> Option<&str> {
        self.diff_id.as_deref()
    }

    /// Returns the number of the layer's unpacked bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the instruction that made the layer, redacted.
    #[must_use]
    pub fn instruction(&self) -> Option<&str> {
        self.instruction.as_deref()
    }

    /// Returns the state of the layer after the search.
    #[must_use]
    pub fn state(&self) -> LayerState {
        self.state
    }

    /// Returns the number of findings in the layer.
    #[must_use]
    pub fn leaks(&self) -> usize {
        self.leaks
    }

    /// Counts the findings in the layer. If there are several images, counts only those of the layer's own platform.
    pub(crate) fn count(&self, findings: &[Finding], several: bool) -> usize {
        let here = |finding: &&Finding| {
            finding.layer() == Some(self.number) && (!several || finding.image() == self.platform.as_deref())
        };
        findings.iter().filter(here).count()
    }
}
