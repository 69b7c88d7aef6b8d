//! An image archive as ordered, verified layers and metadata, read in one pass.
//!
//! Bytes enter through [`read()`], from a file, a pipe or an engine's stream: what `docker save` writes (the old form
//! with one folder a layer and the new one with an OCI layout), or an OCI archive. Each blob is unpacked while it
//! streams, and every byte of it is shown to a [`Visitor`] exactly once, together with the places that tar headers name.
//! What was read is left as [`Contents`]: images with their layers in order, each with its digest and the instruction
//! that made it, the JSON documents, and a list of [`Problem`]s. An archive without problems was read to the last byte,
//! and everything in it is what its digests claim.
//!
//! Tar headers are trusted with names alone. Whatever they say about sizes and ends, the visitor sees all bytes: those
//! in headers, in padding and after the archive's end too. Nothing is written to disk, and memory is bounded whatever
//! the archive holds.
//!
//! ```
//! use std::ops::ControlFlow;
//! use pimage::{BlobId, Entry, Options, Part, Visitor};
//!
//! /// Counts the bytes of all layers.
//! struct Count(u64);
//! impl Visitor for Count {
//!     fn begin(&mut self, _: BlobId, _: &str, _: Part) {}
//!     fn entry(&mut self, _: &Entry<'_>) {}
//!     fn bytes(&mut self, bytes: &[u8]) -> ControlFlow<()> {
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
mod contents;
mod decode;
mod digest;
mod gzip;
mod problem;
mod resolve;
mod tar;
mod visit;
mod whiteout;
mod window;

pub use archive::{Options, Verify, read};
pub use blob::{Blob, BlobId, Packing};
pub use contents::{Contents, Image, Kind, Layer};
pub use digest::Digest;
pub use problem::{Fault, Problem};
pub use visit::{Cancelled, Entry, EntryKind, Part, Visitor};

#[cfg(test)]
mod tests;
