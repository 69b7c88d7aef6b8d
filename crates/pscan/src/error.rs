//! The errors that keep a search from taking place. A finding is no error.

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// Not one secret can be searched for, so nothing would be proved.
    #[error("there is no secret to search for")]
    NothingSearchable,
    /// The needles do not fit into one automaton.
    #[error("{forms} forms with {bytes} bytes are too many to search for at once")]
    TooManyForms {
        /// How many forms there are.
        forms: usize,
        /// How many bytes they have together.
        bytes: usize,
    },
    /// The caller ended the search.
    #[error("the search was cancelled")]
    Cancelled,
}

impl From<pimage::Cancelled> for ScanError {
    fn from(_: pimage::Cancelled) -> Self {
        Self::Cancelled
    }
}
