//! Image archives that tests write by hand, valid or not.

mod archive;
mod builder;
mod layer;

pub use archive::{Archive, sha256};
pub use builder::{Image, Index};
pub use layer::{Compression, Layer};
