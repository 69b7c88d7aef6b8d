//! The windows that a filter looks for.

/// A window of a pattern, in one way in which a text may write it.
pub(crate) struct Window {
    /// The window's bytes as a number.
    pub(crate) number: u64,
    /// The first character of the pattern that begins in the window; `at` is its distance from the window's first
    /// byte.
    pub(crate) character: usize,
    pub(crate) at: usize,
}
