//! The errors that prevent a search. A finding is not an error.

/// The reason why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// None of the secrets can be searched for, so a search would prove nothing.
    #[error("there is no secret to search for")]
    NothingSearchable,
    /// The forms need more memory than a search may use, or more states than an automaton can have.
    #[error("{forms} forms with {bytes} bytes are too many to search for at once")]
    TooManyForms {
        /// The number of forms.
        forms: usize,
        /// The total number of bytes of the forms.
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
