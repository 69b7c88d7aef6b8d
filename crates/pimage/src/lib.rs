//! Reads an image archive in one pass, as ordered, verified layers and metadata.
//!
//! Bytes enter through [`read()`], from a file, a pipe or an engine's stream. They are an archive of `docker save`
//! (in the old form with one folder for each layer, or in the new form with an OCI layout) or an OCI archive. The
//! blobs of an image that is not an archive enter one by one, through [`read_loose()`]. Each blob is unpacked while
//! it streams, and every byte of it is shown to a [`Visitor`] exactly once, together with the paths in tar headers.
//! The result is [`Contents`]: the images with their layers in order, each with its digest and the instruction that
//! made it; the JSON documents; and a list of [`Problem`]s. An archive without problems was read to the last byte,
//! and all its content has the stated digests.
//!
//! Of tar headers, only the names are trusted. Whatever a header says about sizes and ends, the visitor sees all
//! bytes, even those in headers, in padding and after the archive's end. Nothing is written to disk, and memory is
//! limited whatever the archive contains.
//!
//! ```
//! use std::ops::ControlFlow;
//! use pimage::{Entry, Options, Stream, Visitor};
//!
//! /// Counts the bytes of all layers.
//! struct Count(u64);
//! impl Visitor for Count {
//!     fn begin(&mut self, _: &Stream<'_>) {}
//!     fn entry(&mut self, _: &Entry<'_>) {}
//!     fn bytes(&mut self, _: usize, bytes: &[u8]) -> ControlFlow<()> {
//!         self.0 += bytes.len() as u64;
//!         ControlFlow::Continue(())
//!     }
//!     fn end(&mut self) {}
//! }
//!
//! let mut count = Count(0);
//! let contents = pimage::read(&b"not an archive"[..], &Options::default(), &mut count)?;
//! assert_eq!(contents.problems()[0].to_string(), "this is not an image archive");
//! # Ok::<(), pimage::Cancelled>(())
//! ```

mod archive;
mod blob;
mod container;
mod contents;
mod decode;
mod digest;
mod gather;
mod inside;
mod layout;
mod loose;
mod moby;
mod options;
mod problem;
mod remembered;
mod resolve;
mod span;
mod split;
mod tar;
mod tree;
mod unpack;
mod visit;
mod whiteout;
mod window;

pub use archive::{read, read_file, read_loose, read_loose_together};
pub use blob::{Blob, BlobId, Packing};
pub use container::Container;
pub use contents::{Contents, Image, Kind, Layer};
pub use digest::Digest;
pub use gather::{BlobRequest, BlobStore, gather};
pub use inside::Limits;
pub use layout::{BlobFolder, LayoutError, image, layout};
pub use loose::{LooseBlob, Vouching};
pub use moby::{has_overlay_store, overlay_image};
pub use options::{Options, Verify};
pub use problem::{Fault, Problem};
pub use remembered::Remembered;
pub use tree::{Unread, tree};
pub use visit::{Cancelled, Entry, EntryKind, Part, Stream, Visitor};

#[cfg(test)]
mod tests;
