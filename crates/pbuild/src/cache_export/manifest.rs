//! The manifest of a cache: its layers, and the configuration that says which step has which layers.
//!
//! Source: BuildKit `cache/remotecache/export.go`. A cache is an index that lists its layers and its configuration as
//! if they were manifests. With `image-manifest=true`, it is an image whose configuration is the cache's.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use pimage::{Digest, LooseBlob, Vouching};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::files::blob::FileBlob;

/// The media type of a cache's configuration.
const CONFIGURATION: &str = "application/vnd.buildkit.cacheconfig.v0";
/// The largest manifest that is read, in bytes. Registries do not accept longer manifests.
const LARGEST_MANIFEST: u64 = 4 << 20;
/// The annotation that holds the digest of a layer's unpacked bytes.
const UNPACKED: &str = "containerd.io/uncompressed";
/// The annotation that holds the time at which a layer was made.
const MADE: &str = "buildkit/createdat";

/// The largest configuration that is read, in bytes. If a configuration is longer, it is not known which step made a
/// layer.
const LARGEST_CONFIGURATION: u64 = 64 << 20;
/// The longest chain of records that is followed, so that a circle of records ends.
const LONGEST_CHAIN: usize = 10_000;

/// A cache in a folder, with all of its parts.
#[derive(Debug)]
pub(super) struct CacheManifest {
    bytes: Vec<u8>,
    kind: String,
    own: FileBlob,
    layers: Vec<CacheLayer>,
    configuration: FileBlob,
}

#[derive(Debug)]
struct CacheLayer {
    blob: FileBlob,
    kind: String,
    unpacked: String,
    /// The time at which the layer was made, as BuildKit wrote it.
    made: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    layers: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

/// The configuration of a cache. It says which record, by the key of a step, has which layer.
#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    layers: Vec<ListedLayer>,
    #[serde(default)]
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct ListedLayer {
    blob: String,
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    layers: Vec<RecordLayer>,
    /// Several layers for one result. The last layer is the step's own.
    #[serde(default)]
    chains: Vec<RecordChain>,
    #[serde(default)]
    inputs: Vec<Vec<Link>>,
}

#[derive(Deserialize)]
struct RecordLayer {
    layer: usize,
}

#[derive(Deserialize)]
struct RecordChain {
    layers: Vec<usize>,
}

#[derive(Deserialize)]
struct Link {
    link: usize,
}

impl Configuration {
    /// Counts the steps that lead to a record from its source. The first input of each record is followed, because
    /// the file system comes from it.
    fn depth(&self, mut record: usize) -> Option<usize> {
        for depth in 0..LONGEST_CHAIN {
            match self.records.get(record)?.inputs.first().and_then(|links| links.first()) {
                None => return Some(depth),
                Some(next) => record = next.link,
            }
        }
        None
    }

    fn depths_of(&self, blob: &Digest) -> BTreeSet<usize> {
        let is_of = |layer: usize| self.layers.get(layer).is_some_and(|listed| listed.blob == blob.as_str());
        let own = |record: &Record| {
            let chained = record.chains.iter().filter_map(|chain| chain.layers.last().copied());
            record.layers.iter().map(|layer| layer.layer).chain(chained).any(is_of)
        };
        let holding = self.records.iter().enumerate().filter(|(_, record)| own(record));
        holding.filter_map(|(at, _)| self.depth(at)).collect()
    }
}

impl Descriptor {
    fn is_configuration(&self) -> bool {
        self.media_type.as_deref() == Some(CONFIGURATION)
    }

    fn blob(&self, folder: &Path) -> Result<FileBlob, String> {
        let digest = Digest::parse(&self.digest).ok_or("it lists a digest that is not SHA-256")?;
        let path = blob_path(folder, &digest);
        let there = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file);
        match there {
            Some(there) if there.len() == self.size => Ok(FileBlob { path, digest, size: self.size }),
            Some(_) => Err(format!("{digest} is not as long as it should be")),
            None => Err(format!("{digest} is listed and not there")),
        }
    }
}

/// Returns the path of a blob in a layout.
fn blob_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join("blobs/sha256").join(digest.hex())
}

impl CacheManifest {
    /// Reads the cache whose manifest has this digest.
    ///
    /// # Errors
    /// Returns a text that says why the cache cannot be searched.
    pub(super) fn read(folder: &Path, digest: &str) -> Result<Self, String> {
        let digest = Digest::parse(digest).ok_or("its digest is not SHA-256")?;
        let path = blob_path(folder, &digest);
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(|error| error.to_string())?;
        file.take(LARGEST_MANIFEST + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > LARGEST_MANIFEST {
            return Err("its manifest is too long".to_owned());
        }
        // These bytes are sent later, so they must have the digest.
        if Digest::of(&bytes) != digest {
            return Err("its manifest is not the one that was written".to_owned());
        }
        let document: Document = serde_json::from_slice(&bytes).map_err(|_| "it has no manifest".to_owned())?;
        let (listed, configuration): (Vec<Descriptor>, Vec<Descriptor>) = match (document.manifests, document.layers) {
            (Some(manifests), None) => {
                let (own, layers) = manifests.into_iter().partition(Descriptor::is_configuration);
                (layers, own)
            }
            (None, Some(layers)) => {
                (layers, document.config.into_iter().filter(Descriptor::is_configuration).collect())
            }
            _ => return Err("its manifest lists no layers".to_owned()),
        };
        let [configuration] = configuration.as_slice() else { return Err("it has no configuration".to_owned()) };
        let configuration = configuration.blob(folder)?;
        let layer = |descriptor: &Descriptor| {
            let unpacked = descriptor.annotations.get(UNPACKED).cloned().unwrap_or_default();
            let made = descriptor.annotations.get(MADE).cloned();
            let kind = descriptor.media_type.clone().unwrap_or_default();
            descriptor.blob(folder).map(|blob| CacheLayer { blob, kind, unpacked, made })
        };
        let layers = listed.iter().map(layer).collect::<Result<_, _>>()?;
        let kind = document.media_type.ok_or("its manifest has no media type")?;
        let own = FileBlob { path, digest, size: bytes.len() as u64 };
        Ok(Self { bytes, kind, own, layers, configuration })
    }

    /// Returns the bytes of the manifest.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the media type of the manifest.
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the layers, each once.
    pub(super) fn layers(&self) -> Vec<&FileBlob> {
        let mut seen = BTreeSet::new();
        self.layers.iter().map(|layer| &layer.blob).filter(|blob| seen.insert(&blob.digest)).collect()
    }

    /// Makes the document of a cache in a bucket: the configuration, completed with the facts about layers that
    /// elsewhere are in the manifest.
    ///
    /// # Errors
    /// Returns an error if the configuration cannot be read, or if it has changed since it was searched.
    pub(super) fn document(&self) -> io::Result<Vec<u8>> {
        let bytes = fs::read(&self.configuration.path)?;
        if Digest::of(&bytes) != self.configuration.digest {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the cache has changed since it was searched"));
        }
        let mut document: Value = serde_json::from_slice(&bytes)?;
        let layers = document.get_mut("layers").and_then(Value::as_array_mut);
        for entry in layers.into_iter().flatten().filter(|entry| entry.is_object()) {
            let layer = self.layers.iter().find(|layer| entry["blob"] == layer.blob.digest.as_str());
            // BuildKit does not read a layer from a bucket without the digest of the layer's unpacked bytes.
            let layer = layer.filter(|layer| !layer.unpacked.is_empty()).ok_or(io::ErrorKind::InvalidData)?;
            entry["annotations"] = json!({"mediaType": layer.kind, "diffID": layer.unpacked, "size": layer.blob.size});
            if let Some(made) = &layer.made {
                entry["annotations"]["createdAt"] = json!(made);
            }
        }
        Ok(document.to_string().into_bytes())
    }

    /// Returns the entry for this manifest in the index of a layout.
    pub(super) fn descriptor(&self) -> Value {
        json!({"mediaType": self.kind, "digest": self.own.digest.as_str(), "size": self.own.size})
    }

    /// Returns the blobs that the manifest lists, each once, the configuration last.
    pub(super) fn listed(&self) -> Vec<&FileBlob> {
        let mut seen = BTreeSet::new();
        let all = self.layers.iter().map(|layer| &layer.blob).chain([&self.configuration]);
        all.filter(|blob| seen.insert(&blob.digest)).collect()
    }

    /// Returns all blobs of the cache, the manifest last.
    pub(super) fn files(&self) -> impl Iterator<Item = &FileBlob> {
        self.listed().into_iter().chain([&self.own])
    }

    /// Counts the steps that lead to a layer from a base image or from nothing. The first layer has the number 1. The
    /// set has several counts if several steps made the layer, and it is empty if the configuration does not say which
    /// step did.
    pub(super) fn depths_of(&self, layer: usize) -> BTreeSet<usize> {
        let Some(layer) = layer.checked_sub(1).and_then(|at| self.layers.get(at)) else { return BTreeSet::new() };
        let Ok(file) = File::open(&self.configuration.path) else { return BTreeSet::new() };
        let configuration = serde_json::from_reader(io::BufReader::new(file.take(LARGEST_CONFIGURATION)));
        configuration
            .map(|configuration: Configuration| configuration.depths_of(&layer.blob.digest))
            .unwrap_or_default()
    }

    /// Returns the blobs in the form of an image that has the cache's layers, together with the cache's documents,
    /// because readers of images do not understand a cache. The digests of all blobs are computed while they are
    /// read.
    pub(super) fn blobs(&self) -> Vec<LooseBlob> {
        let name = |blob: &FileBlob| format!("blobs/sha256/{}", blob.digest.hex());
        let layers: Vec<String> = self.layers.iter().map(|layer| name(&layer.blob)).collect();
        let unpacked: Vec<&str> = self.layers.iter().map(|layer| layer.unpacked.as_str()).collect();
        let image = json!({"rootfs": {"type": "layers", "diff_ids": unpacked}});
        let list = json!([{"Config": "config.json", "RepoTags": [], "Layers": layers}]);
        let document = |name: &str, value: &Value| LooseBlob::of_bytes(name.to_owned(), value.to_string().into_bytes());
        let mut blobs = vec![document("config.json", &image), document("manifest.json", &list)];
        blobs.extend(self.files().map(|blob| {
            let path = blob.path.clone();
            let file = LooseBlob::sized(name(blob), blob.size, move || Ok(Box::new(File::open(&path)?)));
            file.identified(blob.digest.clone(), Vouching::Name)
        }));
        blobs
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn put(folder: &Path, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        fs::write(blob_path(folder, &digest), bytes).unwrap();
        json!({"digest": digest.as_str(), "size": bytes.len(), "mediaType": "application/vnd.oci.image.layer.v1.tar"})
    }

    /// Writes a cache of one layer, as an index or as an image, and returns the digest of its manifest.
    pub(in super::super) fn cache(folder: &Path, layer: &[u8], as_image: bool) -> String {
        let layer = put(folder, layer);
        let mut configuration = put(folder, br#"{"layers":[],"records":[]}"#);
        configuration["mediaType"] = json!(CONFIGURATION);
        let manifest = match as_image {
            true => json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [layer, layer],
                "config": configuration}),
            false => json!({"mediaType": "application/vnd.oci.image.index.v1+json",
                "manifests": [layer, layer, configuration]}),
        };
        let manifest = put(folder, manifest.to_string().as_bytes());
        manifest["digest"].as_str().unwrap().to_owned()
    }

    #[test]
    fn both_shapes_of_a_cache_are_read() {
        for as_image in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let digest = cache(folder.path(), b"a layer", as_image);
            let manifest = CacheManifest::read(folder.path(), &digest).unwrap();
            assert_eq!(manifest.descriptor()["digest"], digest.as_str());
            assert_eq!((manifest.listed().len(), manifest.files().count()), (2, 3), "a layer counts once");
            assert_eq!(manifest.blobs().len(), 5);
        }
    }

    #[test]
    fn a_record_says_how_many_steps_lead_to_a_layer() {
        let digest = Digest::of(b"a layer");
        let configuration = json!({
            "layers": [{"blob": digest.as_str(), "parent": 1}, {"blob": "sha256:other"}],
            "records": [
                {"digest": "of the image"},
                {"digest": "1", "layers": [{"layer": 1}], "inputs": [[{"link": 0}]]},
                {"digest": "2", "layers": [{"layer": 0}], "inputs": [[{"link": 1}, {"link": 9}], [{"link": 0}]]},
                {"digest": "3", "chains": [{"layers": [0, 1]}, {"layers": [1, 0]}], "inputs": [[{"link": 2}]]},
                {"digest": "a circle", "layers": [{"layer": 0}], "inputs": [[{"link": 4}]]},
                {"digest": "to nowhere", "layers": [{"layer": 0}, {"layer": 7}], "inputs": [[{"link": 9}]]},
            ],
        });
        let configuration: Configuration = serde_json::from_value(configuration).unwrap();
        assert_eq!(configuration.depths_of(&digest), [2, 3].into());
        assert_eq!(configuration.depths_of(&Digest::of(b"another")), [].into());
    }

    #[test]
    fn the_document_of_a_bucket_knows_its_layers() {
        let folder = tempfile::tempdir().unwrap();
        let mut layer = put(folder.path(), b"a layer");
        layer["annotations"] = json!({UNPACKED: "sha256:unpacked", MADE: "2026-01-02T03:04:05Z"});
        let configuration = |blob: &Value| {
            let text = json!({"layers": [{"blob": blob, "parent": -1}], "records": []}).to_string();
            let mut configuration = put(folder.path(), text.as_bytes());
            configuration["mediaType"] = json!(CONFIGURATION);
            let manifest = json!({"mediaType": "m", "layers": [layer], "config": configuration}).to_string();
            let digest = put(folder.path(), manifest.as_bytes())["digest"].clone();
            CacheManifest::read(folder.path(), digest.as_str().unwrap()).unwrap().document()
        };
        let document: Value = serde_json::from_slice(&configuration(&layer["digest"]).unwrap()).unwrap();
        assert_eq!(
            document["layers"][0],
            json!({"blob": layer["digest"], "parent": -1, "annotations": {"mediaType": layer["mediaType"],
                "diffID": "sha256:unpacked", "size": 7, "createdAt": "2026-01-02T03:04:05Z"}})
        );
        assert!(configuration(&json!("sha256:unknown")).is_err());
    }

    #[test]
    fn what_is_no_whole_cache_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let digest = cache(folder.path(), b"a layer", false);
        fs::write(blob_path(folder.path(), &Digest::of(b"a layer")), "another").unwrap();
        assert!(CacheManifest::read(folder.path(), &digest).is_ok(), "its digest is computed when it is searched");
        fs::write(blob_path(folder.path(), &Digest::of(b"a layer")), "longer than before").unwrap();
        assert!(CacheManifest::read(folder.path(), &digest).unwrap_err().contains("long"));
        fs::remove_file(blob_path(folder.path(), &Digest::of(b"a layer"))).unwrap();
        assert!(CacheManifest::read(folder.path(), &digest).unwrap_err().contains("not there"));
        for wrong in ["{}", r#"{"layers":[]}"#, r#"{"manifests":[]}"#, "no document"] {
            let other = put(folder.path(), wrong.as_bytes());
            assert!(CacheManifest::read(folder.path(), other["digest"].as_str().unwrap()).is_err(), "{wrong}");
        }
        assert!(CacheManifest::read(folder.path(), "sha256:none").is_err());
    }
}
