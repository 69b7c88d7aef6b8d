//! The windows that a filter looks for.

/// A window of a pattern as a text may write it.
pub(crate) struct Window {
    /// The window's bytes as a number.
    pub(crate) number: u64,
    /// The first character that begins in the window, and its place there.
    pub(crate) character: usize,
    pub(crate) at: usize,
}
