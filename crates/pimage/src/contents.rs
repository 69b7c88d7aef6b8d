//! The contents of an archive that was read.

use std::collections::HashMap;

use crate::blob::{Blob, BlobId};
use crate::digest::Digest;
use crate::problem::Problem;
use crate::remembered::Remembered;

/// The contents of an archive. They are known only after its last byte.
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
    /// Returns the images, attestations and other artifacts, each once.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// Returns every member that was read, in the order of reading.
    pub fn blobs(&self) -> impl Iterator<Item = (BlobId, &Blob)> {
        self.blobs.iter().enumerate().map(|(at, blob)| (BlobId(at), blob))
    }

    /// Returns one member.
    ///
    /// # Panics
    ///
    /// Panics if the id belongs to another archive.
    #[must_use]
    pub fn blob(&self, id: BlobId) -> &Blob {
        &self.blobs[id.0]
    }

    /// Returns the problems that make the reading incomplete; there are none if the reading is complete.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns the archives inside of layers that end early or are damaged. The bytes before the damage were
    /// unpacked; the bytes after it cannot be unpacked by anybody. All packed bytes were shown, too, so the reading
    /// is complete.
    #[must_use]
    pub fn damaged(&self) -> &[Problem] {
        &self.damaged
    }

    /// Returns the result for a blob that can be remembered for later readings. Only a layer that was read whole has
    /// one.
    ///
    /// # Panics
    ///
    /// Panics if the id belongs to another archive.
    #[must_use]
    pub fn remembered(&self, id: BlobId) -> Option<Remembered> {
        let damaged = self.damaged.iter().filter(|problem| problem.blob == Some(id));
        Remembered::of(self.blob(id), damaged.map(ToString::to_string).collect())
    }

    /// Returns the platforms that an index lists but whose images the archive does not contain. Engines save the
    /// platforms that they have together with the index of all platforms.
    #[must_use]
    pub fn absent_platforms(&self) -> &[String] {
        &self.absent
    }

    /// Lists the layers that a blob is used as: pairs of an index into [`Contents::images`] and one into
    /// [`Image::layers`].
    #[must_use]
    pub fn uses(&self, blob: BlobId) -> &[(usize, usize)] {
        self.uses.get(&blob).map_or(&[], Vec::as_slice)
    }

    /// Finds the first layer after `layer` that deletes the path, so that the finished image does not show it.
    #[must_use]
    pub fn deleted_in(&self, image: usize, layer: usize, path: &[u8]) -> Option<usize> {
        let layers = &self.images.get(image)?.layers;
        layers.iter().enumerate().skip(layer + 1).find_map(|(at, later)| {
            let blob = later.blob?;
            self.blob(blob).whiteouts.hide(path).then_some(at)
        })
    }
}

/// One image of an archive, or an artifact that is stored like an image.
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
    /// Returns the kind of artifact that the manifest describes.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the names that the image was saved under.
    #[must_use]
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Returns the image's platform, such as `linux/amd64`.
    #[must_use]
    pub fn platform(&self) -> Option<&str> {
        self.platform.as_deref()
    }

    /// Returns the digest of the image's manifest, if it has one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns the image's manifest.
    #[must_use]
    pub fn manifest(&self) -> Option<BlobId> {
        self.manifest
    }

    /// Returns the image's configuration.
    #[must_use]
    pub fn config(&self) -> Option<BlobId> {
        self.config
    }

    /// Returns the image's layers, lowest first.
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
    /// Another artifact that is stored like an image.
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
    /// Returns the blob with the layer's bytes; `None` if the archive lacks it.
    #[must_use]
    pub fn blob(&self) -> Option<BlobId> {
        self.blob
    }

    /// Returns the digest of the layer's unpacked bytes, as the configuration states it.
    #[must_use]
    pub fn diff_id(&self) -> Option<&Digest> {
        self.diff_id.as_ref()
    }

    /// Returns the instruction that made the layer, as the image's history states it. The history is not verified.
    #[must_use]
    pub fn created_by(&self) -> Option<&str> {
        self.created_by.as_deref()
    }
}
