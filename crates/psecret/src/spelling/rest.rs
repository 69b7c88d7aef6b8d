//! Whether a text is known up to its end.

/// Whether more bytes may follow those that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// More bytes may follow.
    MayFollow,
    /// The text is complete.
    Over,
}
