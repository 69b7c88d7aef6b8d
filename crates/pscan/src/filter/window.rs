//! What a filter looks for.

/// A window of a pattern as a text may write it.
pub(crate) struct Window {
    /// Its bytes as a number.
    pub(crate) number: u64,
    /// The first character that begins in it, and where in it.
    pub(crate) character: usize,
    pub(crate) at: usize,
}
