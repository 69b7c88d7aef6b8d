//! The documents of an archive that say which layers belong to an image.
//!
//! Sources: OCI image specification 1.1 (`manifest.md`, `image-index.md`, `config.md`), and Moby's `image/tarexport`
//! for `manifest.json`. Every field is optional, because other programs wrote these documents.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::blob::Blob;

/// Parses a blob that was kept as a document. Returns `None` for `null`.
pub(super) fn parse<T: DeserializeOwned>(blob: &Blob) -> Option<T> {
    serde_json::from_slice::<Option<T>>(blob.document()?).ok().flatten()
}

/// An index or a manifest; the lists that it has show which of the two it is.
#[derive(Deserialize)]
pub(super) struct Document {
    pub(super) manifests: Option<Vec<Descriptor>>,
    pub(super) layers: Option<Vec<Descriptor>>,
    pub(super) config: Option<Descriptor>,
    pub(super) annotations: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: Option<String>,
    pub(super) digest: String,
    pub(super) size: Option<u64>,
    urls: Option<Vec<String>>,
    pub(super) annotations: Option<HashMap<String, String>>,
    platform: Option<Platform>,
}

#[derive(Default, Deserialize)]
struct Platform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

impl Platform {
    fn text(&self) -> Option<String> {
        let parts = [self.os.as_deref(), self.architecture.as_deref(), self.variant.as_deref()];
        let known: Vec<&str> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
        // BuildKit writes the platform `unknown/unknown` for attestations.
        (!known.is_empty() && known != ["unknown", "unknown"]).then(|| super::printable(&known.join("/")))
    }
}

impl Descriptor {
    pub(super) fn platform_text(&self) -> Option<String> {
        self.platform.as_ref()?.text()
    }

    /// Whether the manifest is an attestation:
    /// <https://docs.docker.com/build/metadata/attestations/attestation-storage/>
    pub(super) fn is_attestation(&self) -> bool {
        let kind = self.annotations.as_ref().and_then(|all| all.get("vnd.docker.reference.type"));
        kind.is_some_and(|kind| kind == "attestation-manifest")
    }

    pub(super) fn is_statement(&self) -> bool {
        self.media_type.as_deref() == Some("application/vnd.in-toto+json")
    }

    /// Whether registries must not distribute the layer, such as those of Windows base images.
    pub(super) fn is_foreign(&self) -> bool {
        let kind = self.media_type.as_deref().unwrap_or_default();
        kind.contains("foreign")
            || kind.contains("nondistributable")
            || self.urls.as_ref().is_some_and(|all| !all.is_empty())
    }
}

/// One image in `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Saved {
    pub(super) config: String,
    pub(super) repo_tags: Option<Vec<String>>,
    pub(super) layers: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
pub(super) struct Config {
    #[serde(flatten)]
    platform: Platform,
    rootfs: Option<RootFs>,
    history: Option<Vec<History>>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct History {
    created_by: Option<String>,
    empty_layer: Option<bool>,
}

impl Config {
    pub(super) fn platform_text(&self) -> Option<String> {
        self.platform.text()
    }

    pub(super) fn diff_ids(&self) -> &[String] {
        self.rootfs.as_ref().and_then(|rootfs| rootfs.diff_ids.as_deref()).unwrap_or_default()
    }

    /// Returns the instruction of each layer, lowest first. A line of history without a layer of its own is left out.
    pub(super) fn instructions(self) -> impl Iterator<Item = Option<String>> {
        let history = self.history.unwrap_or_default();
        history.into_iter().filter(|line| line.empty_layer != Some(true)).map(|line| line.created_by)
    }
}
