//! The contents of an archive, after it was read.

use std::collections::HashMap;

use crate::blob::{Blob, BlobId};
use crate::digest::Digest;
use crate::problem::Problem;
use crate::remembered::Remembered;

/// The contents of an archive, known after its last byte.
#[derive(Debug)]
pub struct Contents {
    pub(crate) images: Vec<Image>,
    pub(crate) blobs: Vec<Blob>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) damaged: Vec<Problem>,
    pub(crate) absent: Vec<String>,
    pub(crate) uses: HashMap<BlobId, Vec<(usize, usize)>>,
}

impl Contents {
    /// The images, attestations and other artifacts, each once.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// Every member that was read, in reading order.
    pub fn blobs(&self) -> impl Iterator<Item = (BlobId, &Blob)> {
        self.blobs.iter().enumerate().map(|(at, blob)| (BlobId(at), blob))
    }

    /// Returns one member.
    ///
    /// # Panics
    ///
    /// When the id is another archive's.
    #[must_use]
    pub fn blob(&self, id: BlobId) -> &Blob {
        &self.blobs[id.0]
    }

    /// The problems for which the reading is not complete; empty when it is.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Archives inside of layers that end early or are damaged. The bytes before the damage were unpacked, and nobody
    /// can unpack the bytes behind it. All packed bytes were searched, so the reading is complete.
    #[must_use]
    pub fn damaged(&self) -> &[Problem] {
        &self.damaged
    }

    /// Returns what can be remembered of a blob; only a layer that was read whole can be.
    ///
    /// # Panics
    ///
    /// When the id is another archive's.
    #[must_use]
    pub fn remembered(&self, id: BlobId) -> Option<Remembered> {
        let damaged = self.damaged.iter().filter(|problem| problem.blob == Some(id));
        Remembered::of(self.blob(id), damaged.map(ToString::to_string).collect())
    }

    /// Platforms that an index lists and of which the archive holds nothing. Engines save the platforms that they have
    /// under the index of all.
    #[must_use]
    pub fn absent_platforms(&self) -> &[String] {
        &self.absent
    }

    /// Lists the layers as which a blob is used: pairs of an index into [`Contents::images`] and one into
    /// [`Image::layers`].
    #[must_use]
    pub fn uses(&self, blob: BlobId) -> &[(usize, usize)] {
        self.uses.get(&blob).map_or(&[], Vec::as_slice)
    }

    /// Finds the first layer after `layer` that deletes the path, so that nobody sees the path in the finished image.
    #[must_use]
    pub fn deleted_in(&self, image: usize, layer: usize, path: &[u8]) -> Option<usize> {
        let layers = &self.images.get(image)?.layers;
        layers.iter().enumerate().skip(layer + 1).find_map(|(at, later)| {
            let blob = later.blob?;
            self.blob(blob).whiteouts.hide(path).then_some(at)
        })
    }
}

/// One image of an archive, or what is kept like one.
#[derive(Debug)]
pub struct Image {
    pub(crate) kind: Kind,
    pub(crate) tags: Vec<String>,
    pub(crate) platform: Option<String>,
    pub(crate) digest: Option<Digest>,
    pub(crate) manifest: Option<BlobId>,
    pub(crate) config: Option<BlobId>,
    pub(crate) layers: Vec<Layer>,
}

impl Image {
    /// The kind of artifact that the manifest describes.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The names it was saved under.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// The image's platform, such as `linux/amd64`.
    #[must_use]
    pub fn platform(&self) -> Option<&str> {
        self.platform.as_deref()
    }

    /// The digest of the image's manifest, where it has one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The image's manifest.
    #[must_use]
    pub fn manifest(&self) -> Option<BlobId> {
        self.manifest
    }

    /// The image's configuration.
    #[must_use]
    pub fn config(&self) -> Option<BlobId> {
        self.config
    }

    /// The image's layers, lowest first.
    #[must_use]
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }
}

/// The kind of artifact that a manifest describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An image that can be run.
    Image,
    /// Statements about an image: provenance, a list of its parts.
    Attestation,
    /// Something else that is kept like an image.
    Artifact,
}

/// One layer of an image.
#[derive(Debug)]
pub struct Layer {
    pub(crate) blob: Option<BlobId>,
    pub(crate) diff_id: Option<Digest>,
    pub(crate) created_by: Option<String>,
}

impl Layer {
    /// Where its bytes are; `None` when the archive lacks them.
    #[must_use]
    pub fn blob(&self) -> Option<BlobId> {
        self.blob
    }

    /// The digest of its unpacked bytes, as the configuration claims it.
    #[must_use]
    pub fn diff_id(&self) -> Option<&Digest> {
        self.diff_id.as_ref()
    }

    /// The instruction that made it, as the image's history tells it. Anybody may have written anything there.
    #[must_use]
    pub fn created_by(&self) -> Option<&str> {
        self.created_by.as_deref()
    }
}
