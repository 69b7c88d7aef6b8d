//! The part of an image that the outputs of one node receive.

/// The part of an image that is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The whole image.
    Whole,
    /// The platforms of one node of several. The parts are joined later.
    Part,
}
