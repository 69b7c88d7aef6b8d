//! Reads an engine's own image store on this machine: `overlay2` layers with their metadata (moby `image/fs.go`,
//! `layer/filestore.go`, `daemon/graphdriver/overlay2`).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use crate::digest::Digest;
use crate::loose::{LooseBlob, Vouching};
use crate::split::{SplitTar, is_open_folder};

/// The maximal size of a configuration, which is a small document.
const LARGEST_CONFIG: u64 = 8 << 20;
/// The maximal size of a file with a digest or an id.
const LONGEST_NOTE: u64 = 1024;

#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    /// The digests of the layers. An image without layers has no such field, or `null`.
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

/// Opens the blobs of an image in the data folder of an engine. They have the same bytes as the engine's export.
///
/// The image's configuration must have the digest that is the image's id, and each layer's metadata must state the
/// digest that the configuration lists. So the folder contains this image, even if it belongs to another engine.
///
/// # Errors
///
/// Returns an error if a file is missing, cannot be read, or does not have the expected content.
pub fn overlay_image(data: &Path, id: &Digest, name: Option<&str>) -> io::Result<Vec<LooseBlob>> {
    let store = data.join("image/overlay2");
    let config = read(&store.join("imagedb/content/sha256").join(id.hex()), LARGEST_CONFIG)?;
    if Digest::of(&config) != *id {
        return Err(unexpected());
    }
    let parsed: Config = serde_json::from_slice(&config).map_err(|_| unexpected())?;
    let mut blobs = Vec::new();
    let mut layers = Vec::new();
    let mut chain: Option<Digest> = None;
    for diff in parsed.rootfs.diff_ids.iter().flatten() {
        let diff = Digest::parse(diff).ok_or_else(unexpected)?;
        let link = match &chain {
            None => diff.clone(),
            Some(below) => Digest::of(format!("{below} {diff}").as_bytes()),
        };
        let layer = blob_name(&diff);
        if !layers.contains(&layer) {
            let (split, folder) = layer_of(&store, data, &link, &diff)?;
            let open = move || -> io::Result<Box<dyn Read + Send>> { Ok(Box::new(SplitTar::open(&split, &folder)?)) };
            blobs.push(LooseBlob::new(layer.clone(), open).identified(diff.clone(), Vouching::Store));
        }
        layers.push(layer);
        chain = Some(link);
    }
    let tags: Vec<&str> = name.into_iter().collect();
    let manifest = json!([{"Config": blob_name(id), "RepoTags": tags, "Layers": layers}]);
    blobs.push(LooseBlob::of_bytes(blob_name(id), config));
    blobs.push(LooseBlob::of_bytes("manifest.json".to_owned(), manifest.to_string().into_bytes()));
    Ok(blobs)
}

/// Finds the files of a layer by the digest of the chain that ends with this layer.
fn layer_of(store: &Path, data: &Path, chain: &Digest, diff: &Digest) -> io::Result<(PathBuf, PathBuf)> {
    let notes = store.join("layerdb/sha256").join(chain.hex());
    if read_note(&notes.join("diff"))? != diff.as_str() {
        return Err(unexpected());
    }
    let folder = read_note(&notes.join("cache-id"))?;
    if folder.is_empty() || !folder.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
        return Err(unexpected());
    }
    let (split, folder) = (notes.join("tar-split.json.gz"), data.join("overlay2").join(folder).join("diff"));
    File::open(&split)?;
    if is_open_folder(&folder) { Ok((split, folder)) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most { Err(unexpected()) } else { Ok(bytes) }
}

fn read_note(path: &Path) -> io::Result<String> {
    let bytes = read(path, LONGEST_NOTE)?;
    String::from_utf8(bytes).map(|text| text.trim().to_owned()).map_err(|_| unexpected())
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn unexpected() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// Whether this is a data folder that [`overlay_image`] can read.
#[must_use]
pub fn has_overlay_store(data: &Path) -> bool {
    fs::read_dir(data.join("image/overlay2/imagedb/content/sha256")).is_ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ptest::{Image, Layer};

    use super::*;
    use crate::tests::Bytes;
    use crate::{Contents, Options, Verify, read as read_archive, read_loose};

    /// Stores one layer with one file as an engine does: the headers in the list, the content in the folder.
    fn store(content: &[u8]) -> (tempfile::TempDir, Digest, Vec<u8>) {
        let layer = Layer::new().file("etc/app", content);
        let tar = layer.tar();
        let image = Image::new().layer(layer, "COPY app /etc");
        let config = image.config();
        let (id, diff) = (Digest::of(&config), Digest::of(&tar));
        let data = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = data.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        write(&format!("image/overlay2/imagedb/content/sha256/{}", id.hex()), &config);
        let notes = format!("image/overlay2/layerdb/sha256/{}", diff.hex());
        write(&format!("{notes}/diff"), diff.as_str().as_bytes());
        write(&format!("{notes}/cache-id"), b"abc123");
        write("overlay2/abc123/diff/etc/app", content);
        let at = tar.windows(content.len()).position(|window| window == content).unwrap();
        let lines = [
            json!({"type": 2, "payload": STANDARD.encode(&tar[..at]), "position": 0}),
            json!({"type": 1, "name": "etc/app", "size": content.len(), "payload": "AAAAAAAAAAA=", "position": 1}),
            json!({"type": 2, "payload": STANDARD.encode(&tar[at + content.len()..]), "position": 2}),
        ];
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        for line in lines {
            writeln!(packed, "{line}").unwrap();
        }
        write(&format!("{notes}/tar-split.json.gz"), &packed.finish().unwrap());
        let archive = image.docker_oci("shop:1").tar();
        (data, id, archive)
    }

    fn options() -> Options {
        Options { verify: Verify::Digests, ..Options::default() }
    }

    fn search(data: &Path, id: &Digest) -> io::Result<(Bytes, Contents)> {
        let mut seen = Bytes::default();
        let contents = read_loose(overlay_image(data, id, Some("shop:1"))?, &options(), &mut seen).unwrap();
        Ok((seen, contents))
    }

    /// The assembled bytes have the layer's own digest, so they include the headers and the padding.
    #[test]
    fn a_layer_is_put_together_byte_for_byte() {
        let (data, id, archive) = store(b"the content of a file");
        let (_, contents) = search(data.path(), &id).unwrap();
        assert!(contents.problems().is_empty(), "{:?}", contents.problems());
        let saved = read_archive(archive.as_slice(), &options(), &mut Bytes::default()).unwrap();
        let layers = |contents: &Contents| {
            format!(
                "{:?}",
                contents.images()[0]
                    .layers()
                    .iter()
                    .map(|layer| (layer.diff_id().cloned(), layer.created_by().map(str::to_owned)))
                    .collect::<Vec<_>>()
            )
        };
        assert_eq!(layers(&contents), layers(&saved));
    }

    #[test]
    fn an_image_without_layers_is_an_image() {
        for root in [json!({"type": "layers"}), json!({"type": "layers", "diff_ids": null})] {
            let config = json!({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": root}).to_string();
            let id = Digest::of(config.as_bytes());
            let data = tempfile::tempdir().unwrap();
            let path = data.path().join("image/overlay2/imagedb/content/sha256").join(id.hex());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, config).unwrap();
            let (_, contents) = search(data.path(), &id).unwrap();
            assert!(contents.problems().is_empty(), "{:?}", contents.problems());
            assert_eq!((contents.images().len(), contents.images()[0].layers().len()), (1, 0));
        }
    }

    #[test]
    fn what_was_changed_in_the_folder_is_no_layer_any_more() {
        let (data, id, _) = store(b"the content of a file");
        fs::write(data.path().join("overlay2/abc123/diff/etc/app"), b"shorter").unwrap();
        assert!(!search(data.path(), &id).unwrap().1.problems().is_empty());
        fs::remove_file(data.path().join("overlay2/abc123/diff/etc/app")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", data.path().join("overlay2/abc123/diff/etc/app")).unwrap();
        let (seen, contents) = search(data.path(), &id).unwrap();
        assert!(!contents.problems().is_empty(), "no link is followed");
        assert!(!seen.0.windows(5).any(|window| window == b"root:"));
    }

    #[test]
    fn a_folder_that_is_not_this_image_s_is_refused() {
        let (data, id, _) = store(b"the content of a file");
        let config = data.path().join("image/overlay2/imagedb/content/sha256").join(id.hex());
        let right = fs::read(&config).unwrap();
        fs::write(&config, [&right[..], b" "].concat()).unwrap();
        assert!(overlay_image(data.path(), &id, None).is_err(), "another configuration");
        fs::write(&config, right).unwrap();
        let notes =
            fs::read_dir(data.path().join("image/overlay2/layerdb/sha256")).unwrap().next().unwrap().unwrap().path();
        fs::write(notes.join("cache-id"), "../../elsewhere").unwrap();
        assert!(overlay_image(data.path(), &id, None).is_err(), "a folder elsewhere");
    }
}
