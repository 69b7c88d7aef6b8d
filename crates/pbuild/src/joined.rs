//! Joins the parts of an image that several nodes built into one image for all platforms.
//!
//! Each part is an index, because the frontend was asked for an index even for a single platform. The joined index
//! lists the manifests of all parts. That includes the attestations, whose manifests name their image by its digest.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tar::{Archive, Builder, EntryType, Header};

/// The largest index that is read, in bytes.
const LARGEST_DOCUMENT: u64 = 8 << 20;
/// The media type of an index, for a part that does not name one.
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// The file that lists the images of a layout.
const LIST: &str = "index.json";

/// Joins indexes. The first part decides the media type and the annotations.
///
/// Returns `None` if a part lists no manifests.
pub(crate) fn index(parts: &[Value]) -> Option<Value> {
    let first = parts.first()?;
    let mut manifests: Vec<Value> = Vec::new();
    for part in parts {
        for manifest in part["manifests"].as_array()? {
            if manifests.iter().all(|known| known["digest"] != manifest["digest"]) {
                manifests.push(manifest.clone());
            }
        }
    }
    let kind = first["mediaType"].as_str().unwrap_or(INDEX);
    let mut joined = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": manifests });
    if first["annotations"].is_object() {
        joined["annotations"] = first["annotations"].clone();
    }
    Some(joined)
}

/// Returns the descriptor of an index: its kind, digest and size.
pub(crate) fn descriptor(document: &Value, bytes: &[u8]) -> Value {
    json!({
        "mediaType": document["mediaType"].as_str().unwrap_or(INDEX),
        "digest": format!("sha256:{}", base16ct::lower::encode_string(&Sha256::digest(bytes))),
        "size": bytes.len(),
    })
}

/// Joins archives of OCI layouts, each with one image under the same names, and writes the archive of the joined image.
/// Returns the image's descriptor.
///
/// # Errors
/// Returns an error if a part is not such an archive, or if the joined archive cannot be written.
pub(crate) fn archive(mut parts: Vec<File>, to: &File) -> io::Result<Value> {
    let mut lists = Vec::new();
    let mut images = Vec::new();
    let mut replaced = BTreeSet::new();
    for part in &mut parts {
        let list = document(part, LIST)?;
        let path = path_of(&list["manifests"][0])?;
        images.push(document(part, &path)?);
        replaced.insert(path);
        lists.push(list);
    }
    let joined = index(&images).ok_or_else(|| invalid("a part is for one platform without an index"))?;
    let bytes = joined.to_string().into_bytes();
    let descriptor = descriptor(&joined, &bytes);
    let mut list = lists.swap_remove(0);
    for named in list["manifests"].as_array_mut().into_iter().flatten() {
        for field in ["mediaType", "digest", "size"] {
            named[field] = descriptor[field].clone();
        }
    }
    let mut archive = Builder::new(to);
    let mut written = BTreeSet::new();
    for part in &mut parts {
        part.rewind()?;
        for entry in Archive::new(part).entries()? {
            let mut entry = entry?;
            let path = entry.path()?.to_string_lossy().into_owned();
            let is_blob = entry.header().entry_type() == EntryType::Regular && path.starts_with("blobs/");
            if is_blob && !replaced.contains(&path) && written.insert(path.clone()) {
                append(&mut archive, &path, entry.size(), &mut entry)?;
            }
        }
    }
    append(&mut archive, &path_of(&descriptor)?, bytes.len() as u64, bytes.as_slice())?;
    let layout: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
    append(&mut archive, "oci-layout", layout.len() as u64, layout)?;
    let list = list.to_string();
    append(&mut archive, LIST, list.len() as u64, list.as_bytes())?;
    archive.finish()?;
    Ok(descriptor)
}

/// Returns the path of the blob to which a descriptor refers.
fn path_of(descriptor: &Value) -> io::Result<String> {
    let digest = descriptor["digest"].as_str().and_then(|digest| digest.split_once(':'));
    let (algorithm, hex) = digest.ok_or_else(|| invalid("a part lists no image"))?;
    Ok(format!("blobs/{algorithm}/{hex}"))
}

fn append(archive: &mut Builder<&File>, path: &str, size: u64, content: impl Read) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(EntryType::Regular);
    archive.append_data(&mut header, path, content)
}

/// Reads one document of an archive.
fn document(archive: &mut File, path: &str) -> io::Result<Value> {
    archive.rewind()?;
    for entry in Archive::new(archive).entries()? {
        let entry = entry?;
        if entry.path()?.to_str() == Some(path) {
            return Ok(serde_json::from_reader(entry.take(LARGEST_DOCUMENT))?);
        }
    }
    Err(invalid("a part is not an OCI layout"))
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Makes the archive of one part: an image for a platform, with an attestation, under two names.
    fn part(architecture: &str) -> (File, Value) {
        let digest = |bytes: &[u8]| base16ct::lower::encode_string(&Sha256::digest(bytes));
        let manifest = format!("manifest of {architecture}");
        let image = json!({
            "mediaType": INDEX,
            "manifests": [
                { "digest": format!("sha256:{}", digest(manifest.as_bytes())), "platform": { "architecture": architecture } },
                { "digest": "sha256:00", "annotations": { "vnd.docker.reference.type": "attestation-manifest" } },
            ],
            "annotations": { "of": architecture },
        });
        let bytes = image.to_string().into_bytes();
        let named = |name: &str| {
            let mut descriptor = descriptor(&image, &bytes);
            descriptor["annotations"] = json!({ "io.containerd.image.name": name });
            descriptor
        };
        let list = json!({ "schemaVersion": 2, "manifests": [named("a:1"), named("b:1")] }).to_string();
        let file = tempfile::tempfile().unwrap();
        let mut archive = Builder::new(&file);
        for (path, content) in [
            (format!("blobs/sha256/{}", digest(b"shared")), b"shared".as_slice()),
            (format!("blobs/sha256/{}", digest(manifest.as_bytes())), manifest.as_bytes()),
            (format!("blobs/sha256/{}", digest(&bytes)), &bytes),
            (LIST.to_owned(), list.as_bytes()),
            ("oci-layout".to_owned(), b"{}"),
        ] {
            append(&mut archive, &path, content.len() as u64, content).unwrap();
        }
        archive.finish().unwrap();
        drop(archive);
        (file, image)
    }

    #[test]
    fn a_joined_archive_has_one_index_for_all_platforms_and_each_blob_once() {
        let ((first, one), (second, other)) = (part("amd64"), part("arm64"));
        let mut joined = tempfile::tempfile().unwrap();
        archive(vec![first, second], &joined).unwrap();
        joined.rewind().unwrap();
        let mut blobs = BTreeMap::new();
        for entry in Archive::new(&joined).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert!(blobs.insert(path, content).is_none(), "each name stands once");
        }
        let list: Value = serde_json::from_slice(&blobs[LIST]).unwrap();
        let names = list["manifests"].as_array().unwrap();
        assert_eq!(names.len(), 2);
        for named in names {
            let image = &blobs[&path_of(named).unwrap()];
            assert_eq!(named["size"], image.len());
            assert_eq!(*image, index(&[one.clone(), other.clone()]).unwrap().to_string().into_bytes());
        }
        // The six blobs are two manifests, the blob that both parts share, the joined index, the list, and the file
        // that marks the folder as a layout.
        assert_eq!(blobs.len(), 6);
    }

    #[test]
    fn an_index_lists_every_manifest_once_in_the_order_of_the_parts() {
        let ((_, one), (_, other)) = (part("amd64"), part("arm64"));
        let joined = index(&[one, other]).unwrap();
        let platforms: Vec<_> =
            joined["manifests"].as_array().unwrap().iter().map(|one| one["platform"]["architecture"].clone()).collect();
        assert_eq!(platforms, [json!("amd64"), Value::Null, json!("arm64")]);
        assert_eq!(joined["annotations"], json!({ "of": "amd64" }));
        assert_eq!(index(&[json!({ "config": {} })]), None);
        assert_eq!(index(&[]), None);
    }

    #[test]
    fn what_is_no_layout_is_an_error() {
        let empty = tempfile::tempfile().unwrap();
        Builder::new(&empty).finish().unwrap();
        let joined = tempfile::tempfile().unwrap();
        assert!(archive(vec![empty], &joined).is_err());
    }
}
