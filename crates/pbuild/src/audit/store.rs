//! Reads an image from the engine's own files, if they are on this machine and this process may read them. This is
//! the fastest way to an engine's image.
//!
//! It does not matter who owns the folder: the configuration or the manifest must have the digest that is the image's
//! ID, and everything else is found by digests from there.

use std::path::Path;
use std::sync::Arc;

use bollard::models::ImageInspect;
use pengine::{DataFolder, Engine, ImageStore};
use pimage::{BlobFolder, BlobRequest, BlobStore, Digest, LooseBlob, Vouching};
use serde_json::{Value, json};

/// The only storage driver whose folders pbuild can read.
const DRIVER: &str = "overlay2";

/// Opens the blobs of an image in the engine's own store. Returns `None` if that is not possible.
pub(crate) async fn blobs(engine: &Engine, id: &str, name: Option<&str>) -> Option<Vec<LooseBlob>> {
    let folder = engine.data_folder().await?;
    let id = Digest::parse(id)?;
    let name = name.map(str::to_owned);
    // If the folder cannot be read, the engine is asked for the image instead, so errors are dropped.
    tokio::task::spawn_blocking(move || match folder.store {
        ImageStore::Layers if folder.driver == DRIVER => pimage::overlay_image(&folder.path, &id, name.as_deref()).ok(),
        ImageStore::Layers => None,
        ImageStore::Containerd => content(&folder, &id, name.as_deref()),
    })
    .await
    .ok()?
}

/// Asks the engine for the configuration and the history of an image without layers, and makes documents of them,
/// because docker's own store cannot export such an image.
///
/// # Errors
/// Returns an error if the engine does not return the history.
pub(crate) async fn described(
    engine: &Engine,
    image: &ImageInspect,
    name: &str,
) -> Result<Vec<LooseBlob>, bollard::errors::Error> {
    let history = engine.docker().image_history(name).await?;
    let history: Vec<Value> = history
        .into_iter()
        .rev()
        .map(|entry| json!({"created_by": entry.created_by, "comment": entry.comment, "empty_layer": true}))
        .collect();
    let config = json!({
        "architecture": image.architecture, "os": image.os, "author": image.author, "comment": image.comment,
        "config": image.config, "history": history, "rootfs": {"type": "layers", "diff_ids": []},
    });
    let tags = image.repo_tags.iter().flatten().collect::<Vec<_>>();
    let manifest = json!([{"Config": CONFIG, "RepoTags": tags, "Layers": []}]);
    Ok([(CONFIG, config), ("manifest.json", manifest)]
        .map(|(name, document)| LooseBlob::of_bytes(name.to_owned(), document.to_string().into_bytes()))
        .into())
}

/// The name of the configuration among the blobs.
const CONFIG: &str = "config.json";

/// Opens the blobs of an image in a content store. The store compared each blob with its digest when it received the
/// blob.
fn content(folder: &DataFolder, id: &Digest, name: Option<&str>) -> Option<Vec<LooseBlob>> {
    let wanted = BlobRequest { digest: id.clone(), size: None, manifest: true };
    let at = |folder: &&std::path::PathBuf| size(folder, &wanted).is_some();
    let found = folder.content.iter().find(at)?;
    let mut descriptor = json!({"digest": id.as_str(), "size": size(found, &wanted)?});
    if let Some(name) = name {
        descriptor["annotations"] = json!({"io.containerd.image.name": name});
    }
    let store: Arc<dyn BlobStore> = Arc::new(BlobFolder::new(found, Vouching::Store));
    pimage::image(&store, vec![descriptor]).ok()
}

fn size(folder: &Path, wanted: &BlobRequest) -> Option<u64> {
    BlobFolder::new(folder, Vouching::Store).size(wanted).ok()?
}
