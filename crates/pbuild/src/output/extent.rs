//! How much of an image the outputs of one node receive.

/// How much of an image is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The whole image.
    Whole,
    /// The platforms of one node of several; whoever has all parts joins them.
    Part,
}
