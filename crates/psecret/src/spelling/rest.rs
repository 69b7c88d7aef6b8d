//! Whether a text is known to its end.

/// Whether more bytes may follow those that are at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The text may go on.
    MayFollow,
    /// The text ends here.
    Over,
}
