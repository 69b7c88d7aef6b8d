//! The documents that an engine attaches to an image when it exports it, such as provenance. pbuild reads and
//! searches them before the image has a name.
//!
//! The engine makes these documents after the gate has let the build pass. Engines with containerd's store keep them
//! as small documents that the image's index lists, and pbuild reads them from the engine's own files. If this
//! process cannot read those files, for example because the engine is on another machine, the build does not ask for
//! documents.

use std::io::{self, Read as _};
use std::path::PathBuf;

use pbuildkit::Provenance;
use pengine::{Engine, ImageStore};
use pimage::{BlobFolder, BlobRequest, BlobStore as _, Digest, LooseBlob, Vouching};
use serde_json::{Value, json};

/// The longest document that is read, in bytes.
const LONGEST: u64 = 64 << 20;

/// The content store of an engine on this machine.
#[derive(Debug)]
pub(crate) struct Attached {
    folders: Vec<PathBuf>,
}

impl Attached {
    /// Opens the engine's content store, if this process may read it.
    pub(crate) async fn of(engine: &Engine) -> Option<Self> {
        let folder = engine.data_folder().await.filter(|folder| folder.store == ImageStore::Containerd)?;
        let folders: Vec<PathBuf> =
            folder.content.into_iter().filter(|folder| std::fs::read_dir(folder.join("sha256")).is_ok()).collect();
        (!folders.is_empty()).then_some(Self { folders })
    }

    /// Collects everything that is attached to an image, in the form of an image without layers.
    ///
    /// # Errors
    /// Returns an error if any of the documents cannot be read or understood, because then nothing is proven about
    /// the image.
    pub(crate) fn documents(&self, image: &str) -> io::Result<Vec<LooseBlob>> {
        let mut blobs = vec![
            LooseBlob::of_bytes("config.json".to_owned(), br#"{"rootfs":{"type":"layers","diff_ids":[]}}"#.to_vec()),
            LooseBlob::of_bytes(
                "manifest.json".to_owned(),
                json!([{"Config": "config.json", "RepoTags": [], "Layers": []}]).to_string().into_bytes(),
            ),
        ];
        let mut add = |what: &str, bytes: Vec<u8>| {
            let value = serde_json::from_slice(&bytes).map_err(io::Error::from);
            blobs.push(LooseBlob::of_bytes(format!("attached/{what}"), bytes));
            value
        };
        let index: Value = add(image, self.read(image)?)?;
        for manifest in list(&index, "manifests").filter(|manifest| is_attestation(manifest)) {
            let digest = digest_of(manifest)?;
            let manifest: Value = add(digest, self.read(digest)?)?;
            for part in list(&manifest, "layers").chain(manifest.get("config")) {
                let digest = digest_of(part)?;
                add(digest, self.read(digest)?)?;
            }
        }
        Ok(blobs)
    }

    /// Collects the provenance that is attached to an image. With images for several platforms, each document comes with
    /// its platform.
    ///
    /// # Errors
    /// Returns an error if any of the documents cannot be read or understood.
    pub(crate) fn provenance(&self, image: &str) -> io::Result<Vec<Provenance>> {
        let read = |digest: &str| -> io::Result<Value> { Ok(serde_json::from_slice(&self.read(digest)?)?) };
        let index = read(image)?;
        let images: Vec<&Value> = list(&index, "manifests").filter(|manifest| !is_attestation(manifest)).collect();
        let mut found = Vec::new();
        for attestation in list(&index, "manifests").filter(|manifest| is_attestation(manifest)) {
            let about = &attestation["annotations"]["vnd.docker.reference.digest"];
            let platform = images.iter().find(|image| image["digest"] == *about).map(|image| platform_of(image));
            let manifest = read(digest_of(attestation)?)?;
            for part in list(&manifest, "layers") {
                let form = part["annotations"]["in-toto.io/predicate-type"].as_str().unwrap_or_default();
                if !form.starts_with("https://slsa.dev/provenance/") {
                    continue;
                }
                found.push(Provenance {
                    platform: platform.clone().filter(|_| images.len() > 1),
                    form: form.to_owned(),
                    document: read(digest_of(part)?)?["predicate"].take(),
                });
            }
        }
        Ok(found)
    }

    fn read(&self, digest: &str) -> io::Result<Vec<u8>> {
        let digest = Digest::parse(digest).ok_or(io::ErrorKind::InvalidData)?;
        let wanted = BlobRequest { digest, size: None, manifest: true };
        let open = |folder: &PathBuf| BlobFolder::new(folder, Vouching::Store).open(&wanted).ok();
        let mut bytes = Vec::new();
        let blob = self.folders.iter().find_map(open).ok_or(io::ErrorKind::NotFound)?;
        if blob.take(LONGEST).read_to_end(&mut bytes)? as u64 == LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }
}

fn list<'a>(document: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    document.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn digest_of(descriptor: &Value) -> io::Result<&str> {
    descriptor.get("digest").and_then(Value::as_str).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Returns the platform of an image of an index: `linux/arm/v7`.
fn platform_of(image: &Value) -> String {
    let words = ["os", "architecture", "variant"].map(|word| image["platform"][word].as_str().unwrap_or_default());
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join("/")
}

/// Returns whether an entry of an index is a document about an image, and not an image itself.
fn is_attestation(manifest: &Value) -> bool {
    manifest.pointer("/annotations/vnd.docker.reference.type").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(documents: &[(&str, &str)]) -> (tempfile::TempDir, Attached) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sha256")).unwrap();
        for (digit, text) in documents {
            std::fs::write(folder.path().join("sha256").join(digit.repeat(64)), text).unwrap();
        }
        let attached = Attached { folders: vec![folder.path().to_owned()] };
        (folder, attached)
    }

    fn of(digit: &str) -> String {
        format!("sha256:{}", digit.repeat(64))
    }

    #[test]
    fn what_the_index_says_of_the_image_is_read_and_the_image_is_not() {
        let index = json!({"manifests": [
            {"digest": of("1")},
            {"digest": of("2"), "annotations": {"vnd.docker.reference.type": "attestation-manifest"}},
        ]});
        let manifest = json!({"config": {"digest": of("3")}, "layers": [{"digest": of("4")}]});
        let (index, manifest) = (index.to_string(), manifest.to_string());
        let whole = [("a", index.as_str()), ("2", &manifest), ("3", "{}"), ("4", "{}")];
        let (_folder, attached) = store(&whole);
        assert_eq!(attached.documents(&of("a")).unwrap().len(), 2 + 4);
        for missing in 0..whole.len() {
            let mut documents = whole.to_vec();
            documents.remove(missing);
            let (_folder, attached) = store(&documents);
            assert!(attached.documents(&of("a")).is_err(), "without {}", whole[missing].0);
        }
        let (_folder, attached) = store(&[("a", "no document")]);
        assert!(attached.documents(&of("a")).is_err());
    }

    #[test]
    fn provenance_comes_with_its_platform_if_there_are_several() {
        let image = |digit: &str, architecture: &str| json!({"digest": of(digit), "platform": {"os": "linux", "architecture": architecture}});
        let attestation = json!({"digest": of("2"), "annotations": {
            "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of("1"),
        }});
        let form = "https://slsa.dev/provenance/v0.2";
        let manifest = json!({"layers": [
            {"digest": of("3"), "annotations": {"in-toto.io/predicate-type": "https://spdx.dev/Document"}},
            {"digest": of("4"), "annotations": {"in-toto.io/predicate-type": form}},
        ]});
        let statement = json!({"predicateType": form, "predicate": {"buildType": "t"}}).to_string();
        let one = json!({"manifests": [image("1", "amd64"), attestation]}).to_string();
        let two = json!({"manifests": [image("1", "amd64"), attestation, image("5", "arm64")]}).to_string();
        let manifest = manifest.to_string();
        let (_folder, attached) = store(&[("a", &one), ("b", &two), ("2", &manifest), ("4", &statement)]);
        for (index, platform) in [("a", None), ("b", Some("linux/amd64".to_owned()))] {
            let document = json!({"buildType": "t"});
            let found = attached.provenance(&of(index)).unwrap();
            assert_eq!(found, [Provenance { platform, form: form.to_owned(), document }]);
        }
    }

    #[test]
    fn an_image_of_one_manifest_has_nothing_attached() {
        let (_folder, attached) = store(&[("a", r#"{"layers": [{"digest": "sha256:none"}]}"#)]);
        assert_eq!(attached.documents(&of("a")).unwrap().len(), 2 + 1);
    }
}
