//! The result of an earlier reading, so that the same bytes need not be read again.

use serde::{Deserialize, Serialize};

use crate::blob::{Blob, Packing};
use crate::digest::Digest;
use crate::problem::Fault;
use crate::whiteout::Whiteouts;

/// The maximal size of the paths and messages that are remembered. A layer with more is read again.
const MOST_BYTES: usize = 1 << 20;

/// A layer that was read whole: its sizes, the paths that it deletes from the layers below, and the damage in it.
///
/// It contains names of files but no content. The program that stores it must store it under the right digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    pub(crate) stored: u64,
    pub(crate) bytes: u64,
    packing: Packed,
    diff_id: Option<String>,
    removed: Vec<Vec<u8>>,
    opaque: Vec<Vec<u8>>,
    /// The messages about damage in the layer that cannot be unpacked further.
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
    /// Returns the result for a blob that can be remembered. Only a tar that was read whole has one.
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

    /// Returns the faults of the damage in the layer.
    pub(crate) fn damaged(&self) -> impl Iterator<Item = Fault> + use<> {
        self.damaged.clone().into_iter().map(|told| Fault::Earlier { told })
    }

    /// Makes the blob that a reading would make. `digest` is the one that the result was stored under.
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
