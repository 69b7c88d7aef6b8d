//! The result of an earlier reading, so that the same bytes need not be read again.

use serde::{Deserialize, Serialize};

use crate::blob::{Blob, Packing};
use crate::digest::Digest;
use crate::problem::Fault;
use crate::whiteout::Whiteouts;

/// A layer with more to remember is read again.
const MOST_BYTES: usize = 1 << 20;

/// A layer that was read whole: its measures, the paths that it deletes from the layers below, and what is damaged in
/// it.
///
/// It holds names of files and no content. Whoever keeps it answers for the digest that it is kept under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    pub(crate) stored: u64,
    pub(crate) bytes: u64,
    packing: Packed,
    diff_id: Option<String>,
    removed: Vec<Vec<u8>>,
    opaque: Vec<Vec<u8>>,
    /// The damage in the layer that nobody can unpack further, in the words of its report.
    damaged: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Packed {
    Plain,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Remembered {
    /// Takes what can be remembered of a blob: only a tar that was read whole can be.
    pub(crate) fn of(blob: &Blob, damaged: Vec<String>) -> Option<Self> {
        let packing = match blob.packing {
            Packing::Plain => Packed::Plain,
            Packing::Gzip => Packed::Gzip,
            Packing::Zstd => Packed::Zstd,
            Packing::Xz => Packed::Xz,
            Packing::Bzip2 => Packed::Bzip2,
            Packing::Unopened(_) => return None,
        };
        if !blob.whole || !blob.is_tar || !blob.whiteouts.is_complete() {
            return None;
        }
        let (removed, opaque) = blob.whiteouts.paths();
        let bytes = removed.iter().chain(&opaque).map(Vec::len).chain(damaged.iter().map(String::len)).sum::<usize>();
        let diff_id = blob.diff_id.as_ref().map(ToString::to_string);
        let (stored, unpacked) = (blob.stored, blob.bytes);
        let all = Self { stored, bytes: unpacked, packing, diff_id, removed, opaque, damaged };
        (bytes <= MOST_BYTES).then_some(all)
    }

    /// The damage in the layer.
    pub(crate) fn damaged(&self) -> impl Iterator<Item = Fault> + use<> {
        self.damaged.clone().into_iter().map(|told| Fault::Earlier { told })
    }

    /// Makes the blob as if it had been read again. The digest is the one that it was remembered under.
    pub(crate) fn into_blob(self, name: String, digest: Option<Digest>) -> Blob {
        Blob {
            name,
            stored: self.stored,
            bytes: self.bytes,
            packing: match self.packing {
                Packed::Plain => Packing::Plain,
                Packed::Gzip => Packing::Gzip,
                Packed::Zstd => Packing::Zstd,
                Packed::Xz => Packing::Xz,
                Packed::Bzip2 => Packing::Bzip2,
            },
            is_tar: true,
            whole: true,
            digest,
            diff_id: self.diff_id.and_then(|digest| Digest::parse(&digest)),
            document: None,
            whiteouts: Whiteouts::from_paths(self.removed, self.opaque),
            recalled: true,
        }
    }
}
