//! Images, and indexes of several images.

use serde_json::{Value, json};

use super::archive::{Archive, blob_name, sha256};
use super::layer::{Compression, Layer};

/// An image: layers with their history, and a configuration.
#[derive(Clone, Debug)]
pub struct Image {
    layers: Vec<(Layer, Compression)>,
    config: Value,
    annotations: Value,
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}

impl Image {
    /// Makes an image without layers, for linux/amd64.
    #[must_use]
    pub fn new() -> Self {
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": []},
            "history": [],
        });
        Self { layers: Vec::new(), config, annotations: json!({}) }
    }

    /// Appends a layer with its line of history. The layer is packed with gzip in archives whose format packs layers.
    #[must_use]
    pub fn layer(self, layer: Layer, created_by: &str) -> Self {
        self.packed_layer(layer, Compression::Gzip, created_by)
    }

    /// Appends a layer with this compression, and its line of history.
    #[must_use]
    pub fn packed_layer(mut self, layer: Layer, compression: Compression, created_by: &str) -> Self {
        push(&mut self.config["rootfs"]["diff_ids"], json!(sha256(&layer.tar())));
        push(&mut self.config["history"], json!({"created_by": created_by}));
        self.layers.push((layer, compression));
        self
    }

    /// Appends a line of history without a layer.
    #[must_use]
    pub fn empty_layer(mut self, created_by: &str) -> Self {
        push(&mut self.config["history"], json!({"created_by": created_by, "empty_layer": true}));
        self
    }

    /// Changes the configuration.
    #[must_use]
    pub fn configured(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self
    }

    /// Sets an annotation of the manifest, which OCI archives keep.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations[key] = json!(value);
        self
    }

    /// Returns the bytes of the configuration.
    #[must_use]
    pub fn config(&self) -> Vec<u8> {
        self.config.to_string().into_bytes()
    }

    /// Writes the image as `docker save` did until version 24: each layer is a plain tar in a folder of its own.
    #[must_use]
    pub fn docker_legacy(&self, tag: &str) -> Archive {
        let mut archive = Archive::new();
        let mut names = Vec::new();
        for (at, (layer, _)) in self.layers.iter().enumerate() {
            let id = sha256(format!("{at} {}", sha256(&layer.tar())).as_bytes()).split_off("sha256:".len());
            archive.add(&format!("{id}/VERSION"), "1.0");
            archive.add(&format!("{id}/json"), json!({"id": id}).to_string());
            archive.add(&format!("{id}/layer.tar"), layer.tar());
            names.push(format!("{id}/layer.tar"));
        }
        let config = format!("{}.json", &sha256(&self.config())["sha256:".len()..]);
        archive.add(&config, self.config());
        let manifest = json!([{"Config": config, "RepoTags": [tag], "Layers": names}]);
        archive.add("manifest.json", manifest.to_string());
        archive.add("repositories", json!({"demo": {"latest": "0"}}).to_string());
        archive
    }

    /// Writes the image as `docker save` has done since version 25: as an OCI layout that also contains a
    /// `manifest.json`.
    #[must_use]
    pub fn docker_oci(&self, tag: &str) -> Archive {
        let mut archive = Archive::new();
        let plain = Self {
            layers: self.layers.iter().map(|(layer, _)| (layer.clone(), Compression::Plain)).collect(),
            ..self.clone()
        };
        let descriptor = plain.put(&mut archive);
        let layers: Vec<String> = plain.layers.iter().map(|(layer, _)| blob_name(&sha256(&layer.tar()))).collect();
        let manifest = json!([{"Config": blob_name(&sha256(&self.config())), "RepoTags": [tag], "Layers": layers}]);
        finish(&mut archive, &[descriptor]);
        archive.add("manifest.json", manifest.to_string());
        archive
    }

    /// Writes the image as an OCI layout.
    #[must_use]
    pub fn oci(&self) -> Archive {
        let mut archive = Archive::new();
        let descriptor = self.put(&mut archive);
        finish(&mut archive, &[descriptor]);
        archive
    }

    /// Writes the image's blobs and returns its descriptor.
    fn put(&self, archive: &mut Archive) -> Value {
        let layers: Vec<Value> = self
            .layers
            .iter()
            .map(|(layer, compression)| {
                let packed = compression.pack(&layer.tar());
                let kind = format!("application/vnd.oci.image.layer.v1.tar{}", compression.suffix());
                let size = packed.len();
                json!({"mediaType": kind, "digest": archive.add_blob(packed), "size": size})
            })
            .collect();
        let config = self.config();
        let size = config.len();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": archive.add_blob(config),
                "size": size,
            },
            "layers": layers,
            "annotations": self.annotations,
        });
        put_manifest(archive, &manifest, "application/vnd.oci.image.manifest.v1+json")
    }
}

/// Several images in one index, with attestations, as BuildKit writes them.
#[derive(Clone, Debug, Default)]
pub struct Index {
    members: Vec<(Image, Value, Option<Value>)>,
}

impl Index {
    /// Makes an index without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the image of a platform such as `linux/arm64`.
    #[must_use]
    pub fn platform(mut self, platform: &str, image: Image) -> Self {
        let (os, architecture) = platform.split_once('/').unwrap_or(("linux", platform));
        self.members.push((image, json!({"os": os, "architecture": architecture}), None));
        self
    }

    /// Appends an in-toto statement about the image appended last.
    #[must_use]
    pub fn attestation(mut self, statement: Value) -> Self {
        self.members.push((Image::new(), json!({"os": "unknown", "architecture": "unknown"}), Some(statement)));
        self
    }

    /// Writes an OCI layout whose index names one index, which names the images.
    #[must_use]
    pub fn oci(&self) -> Archive {
        let mut archive = Archive::new();
        let mut manifests: Vec<Value> = Vec::new();
        for (image, platform, statement) in &self.members {
            let mut descriptor = match statement {
                None => image.put(&mut archive),
                Some(statement) => {
                    let subject = manifests.last().map(|image| image["digest"].clone()).unwrap_or_default();
                    put_attestation(&mut archive, statement, &subject)
                }
            };
            descriptor["platform"] = platform.clone();
            manifests.push(descriptor);
        }
        let kind = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests});
        let descriptor = put_manifest(&mut archive, &index, kind);
        finish(&mut archive, &[descriptor]);
        archive
    }
}

/// Adds an attestation in the format of <https://docs.docker.com/build/metadata/attestations/attestation-storage/>.
fn put_attestation(archive: &mut Archive, statement: &Value, subject: &Value) -> Value {
    let text = statement.to_string();
    let config = json!({
        "architecture": "unknown",
        "os": "unknown",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [sha256(text.as_bytes())]},
    })
    .to_string();
    let (config_size, text_size) = (config.len(), text.len());
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": archive.add_blob(config),
            "size": config_size,
        },
        "layers": [{
            "mediaType": "application/vnd.in-toto+json",
            "digest": archive.add_blob(text),
            "size": text_size,
            "annotations": {"in-toto.io/predicate-type": "https://slsa.dev/provenance/v1"},
        }],
    });
    let mut descriptor = put_manifest(archive, &manifest, "application/vnd.oci.image.manifest.v1+json");
    descriptor["annotations"] =
        json!({"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": subject});
    descriptor
}

fn put_manifest(archive: &mut Archive, manifest: &Value, kind: &str) -> Value {
    let text = manifest.to_string();
    let size = text.len();
    json!({"mediaType": kind, "digest": archive.add_blob(text), "size": size})
}

fn finish(archive: &mut Archive, descriptors: &[Value]) {
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": descriptors,
    });
    archive.add("index.json", index.to_string());
    archive.add("oci-layout", json!({"imageLayoutVersion": "1.0.0"}).to_string());
}

fn push(list: &mut Value, item: Value) {
    if let Value::Array(items) = list {
        items.push(item);
    }
}
