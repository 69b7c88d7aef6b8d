//! Finds the blobs of a store that belong to an image.

use std::collections::HashSet;
use std::io::{self, Read};
use std::sync::Arc;

use serde::Deserialize;

use crate::digest::Digest;
use crate::loose::{LooseBlob, Vouching};

/// The maximal number of manifests. Further ones are left out, and the reading then reports them as missing.
const MOST_MANIFESTS: usize = 10_000;
/// The maximal depth of indexes that list indexes.
const DEEPEST_INDEX: usize = 8;
/// The size of the largest document whose list is followed.
const LARGEST_DOCUMENT: u64 = 8 << 20;
/// The maximal size of all documents together whose lists are followed.
const MOST_DOCUMENT_BYTES: u64 = 64 << 20;

/// A store that has blobs by their digests: a layout's folder, an engine's content store, a registry.
pub trait BlobStore: Send + Sync + 'static {
    /// Returns the length of a blob, or `None` if the store does not have it.
    ///
    /// # Errors
    ///
    /// Returns an error if the store cannot be read.
    fn size(&self, wanted: &BlobRequest) -> io::Result<Option<u64>>;

    /// Returns who vouches that the blobs have their digests. Returns `None` if comparing a digest costs as much as
    /// reading the blob.
    fn vouching(&self) -> Option<Vouching>;

    /// Opens a blob.
    ///
    /// # Errors
    ///
    /// Returns an error if the store does not have the blob, or if it cannot be read.
    fn open(&self, wanted: &BlobRequest) -> io::Result<Box<dyn Read + Send>>;
}

/// A blob that a document lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRequest {
    /// The blob's digest.
    pub digest: Digest,
    /// The length that the document states.
    pub size: Option<u64>,
    /// Whether the blob is listed as an index or a manifest, which registries keep apart from other blobs.
    pub manifest: bool,
}

/// The parts of an index or a manifest that name other blobs. An index has `manifests`; a manifest has `layers` and
/// `config`.
#[derive(Deserialize)]
struct Listing {
    manifests: Option<Vec<Listed>>,
    layers: Option<Vec<Listed>>,
    config: Option<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    digest: String,
    size: Option<u64>,
}

/// Lists the blobs that belong to an image, from these documents to its last layer, each once. A blob that the store
/// does not have is left out; the reading then reports that it is missing.
///
/// # Errors
///
/// Returns an error if the store cannot be read.
pub fn gather(store: &Arc<dyn BlobStore>, roots: Vec<BlobRequest>) -> io::Result<Vec<LooseBlob>> {
    let mut gatherer = Gatherer { store, seen: HashSet::new(), blobs: Vec::new(), manifests: 0, document_bytes: 0 };
    for root in roots {
        gatherer.document(root, 0)?;
    }
    Ok(gatherer.blobs)
}

struct Gatherer<'a> {
    store: &'a Arc<dyn BlobStore>,
    seen: HashSet<Digest>,
    blobs: Vec<LooseBlob>,
    manifests: usize,
    document_bytes: u64,
}

impl Gatherer<'_> {
    /// Adds an index or a manifest, and the blobs that it lists.
    fn document(&mut self, wanted: BlobRequest, depth: usize) -> io::Result<()> {
        if depth > DEEPEST_INDEX || self.manifests == MOST_MANIFESTS || !self.seen.insert(wanted.digest.clone()) {
            return Ok(());
        }
        self.manifests += 1;
        let Some(size) = self.store.size(&wanted)? else { return Ok(()) };
        self.document_bytes += size;
        if size > LARGEST_DOCUMENT || self.document_bytes > MOST_DOCUMENT_BYTES {
            self.blob(wanted, size);
            return Ok(());
        }
        let mut bytes = Vec::new();
        self.store.open(&wanted)?.take(LARGEST_DOCUMENT + 1).read_to_end(&mut bytes)?;
        let listing: Option<Listing> = serde_json::from_slice(&bytes).ok();
        self.blobs.push(LooseBlob::of_bytes(blob_name(&wanted.digest), bytes));
        let Some(listing) = listing else { return Ok(()) };
        for listed in listing.manifests.into_iter().flatten() {
            if let Some(wanted) = listed.wanted(true) {
                self.document(wanted, depth + 1)?;
            }
        }
        for listed in listing.config.into_iter().chain(listing.layers.into_iter().flatten()) {
            let Some(wanted) = listed.wanted(false) else { continue };
            if self.seen.insert(wanted.digest.clone())
                && let Some(size) = self.store.size(&wanted)?
            {
                self.blob(wanted, size);
            }
        }
        Ok(())
    }

    fn blob(&mut self, wanted: BlobRequest, size: u64) {
        let store = Arc::clone(self.store);
        let (name, digest) = (blob_name(&wanted.digest), wanted.digest.clone());
        let blob = LooseBlob::sized(name, size, move || store.open(&wanted));
        self.blobs.push(match self.store.vouching() {
            Some(vouching) => blob.identified(digest, vouching),
            None => blob,
        });
    }
}

impl Listed {
    fn wanted(self, manifest: bool) -> Option<BlobRequest> {
        Some(BlobRequest { digest: Digest::parse(&self.digest)?, size: self.size, manifest })
    }
}

/// Returns the name that a blob has in archives.
fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
