//! The bytes of a stream that a mark replaces.

/// Bytes to mask, by their offsets in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) pattern: usize,
}
