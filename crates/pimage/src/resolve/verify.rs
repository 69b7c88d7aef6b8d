//! Compares the digests in an archive's documents and names with its bytes.

use std::collections::HashMap;

use crate::blob::printable;
use crate::blob::{Blob, BlobId};
use crate::contents::{Image, Kind};
use crate::digest::Digest;
use crate::problem::{Fault, Problem};

/// Compares every digest in a blob's name, and every `diff_id`. A blob that was not read whole is left out, because
/// it was reported already.
pub(super) fn digests(blobs: &[Blob], names: &HashMap<String, BlobId>, images: &[Image], problems: &mut Vec<Problem>) {
    let mut names: Vec<(&String, &BlobId)> = names.iter().collect();
    names.sort_by_key(|(_, id)| **id);
    for (name, id) in names {
        let blob = &blobs[id.0];
        let mut wrong = |fault| problems.push(Problem { blob: Some(*id), fault });
        if let Some(hex) = name.strip_prefix("blobs/sha256/").or_else(|| config_digits(name)) {
            if blob.digest.as_ref().is_some_and(|digest| digest.hex() != hex) {
                wrong(Fault::WrongDigest);
            }
        } else if let Some(digest) = name.strip_prefix("blobs/") {
            wrong(Fault::UnknownDigest { digest: printable(&digest.replacen('/', ":", 1)) });
        }
    }
    for image in images.iter().filter(|image| image.kind == Kind::Image) {
        for layer in &image.layers {
            let (Some(id), Some(claimed)) = (layer.blob, &layer.diff_id) else { continue };
            let blob = &blobs[id.0];
            if blob.whole && blob.diff_id.as_ref().is_some_and(|digest| digest != claimed) {
                problems.push(Problem { blob: Some(id), fault: Fault::WrongDiffId });
            }
        }
    }
}

/// Returns the digest in the name of a configuration: old archives name it `<hex>.json`.
fn config_digits(name: &str) -> Option<&str> {
    let hex = name.strip_suffix(".json")?;
    Digest::from_hex(hex).map(|_| hex)
}
