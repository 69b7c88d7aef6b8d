//! OCI layouts in folders (OCI image layout 1.0). `tar=false` and caches write them, and `oci-layout://` and caches
//! read them.
//!
//! A folder that is already a layout keeps its content: blobs are added, and in the index a new image replaces the
//! old image of the same name. The index is written last, so that a reader sees either the old images or the complete
//! new one.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path};

use serde_json::{Value, json};

/// The largest index that is read, in bytes.
const LARGEST_DOCUMENT: u64 = 8 << 20;
/// The tag of a cache for which the user names no tag.
pub(crate) const DEFAULT_TAG: &str = "latest";
/// The annotations by which programs find an image in a layout. The second one holds its tag, or a name that replaces
/// the tag.
const NAMES: [&str; 2] = ["io.containerd.image.name", TAG];
const TAG: &str = "org.opencontainers.image.ref.name";

/// Finds the digest of the image with this tag. Returns `None` if no image has the tag.
///
/// # Errors
/// Returns an error if the folder has no readable index.
pub(crate) fn digest_of(folder: &Path, tag: &str) -> io::Result<Option<String>> {
    let index = document(File::open(folder.join("index.json"))?)?;
    let mut manifests = index["manifests"].as_array().into_iter().flatten();
    let found = manifests.find(|manifest| manifest["annotations"][TAG] == json!(tag));
    Ok(found.and_then(|manifest| manifest["digest"].as_str()).map(str::to_owned))
}

/// Finds the digest of the only image in a layout. Returns `None` if the layout has several images, or none.
///
/// # Errors
/// Returns the same errors as [`digest_of`].
pub(crate) fn only_digest(folder: &Path) -> io::Result<Option<String>> {
    let index = document(File::open(folder.join("index.json"))?)?;
    Ok(match index["manifests"].as_array().map(Vec::as_slice) {
        Some([manifest]) => manifest["digest"].as_str().map(str::to_owned),
        _ => None,
    })
}

/// Adds an image or a cache, whose blobs are already in the folder, to the index under a tag.
///
/// # Errors
/// Returns an error if the folder's index cannot be read or written.
pub(crate) fn put(folder: &Path, mut descriptor: Value, tag: &str) -> io::Result<()> {
    let annotations = descriptor.as_object_mut().map(|descriptor| descriptor.entry("annotations").or_insert(json!({})));
    match annotations.and_then(Value::as_object_mut) {
        Some(annotations) => drop(annotations.insert(TAG.to_owned(), json!(tag))),
        None => return Err(io::Error::new(io::ErrorKind::InvalidData, "the builder's answer is no descriptor")),
    }
    let mode = 0o666 & !umask();
    if !folder.join("oci-layout").exists() {
        write(br#"{"imageLayoutVersion":"1.0.0"}"#.as_slice(), folder, "oci-layout", mode)?;
    }
    add(folder, json!({"schemaVersion": 2, "manifests": [descriptor]}), mode)
}

/// Unpacks the archive of a layout into an existing folder.
///
/// # Errors
/// Returns an error if the archive is not a layout, or if the folder cannot be written to.
pub(crate) fn unpack(archive: &File, folder: &Path) -> io::Result<()> {
    let mode = 0o666 & !umask();
    let mut index = None;
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()? {
        let entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path()?.into_owned();
        let parts: Option<Vec<&str>> = path
            .components()
            .filter(|part| *part != Component::CurDir)
            .map(|part| if let Component::Normal(name) = part { name.to_str() } else { None })
            .collect();
        match parts.as_deref() {
            Some(["index.json"]) => index = Some(document(entry)?),
            Some(["oci-layout"]) => write(entry, folder, "oci-layout", mode)?,
            Some(["blobs", algorithm @ ("sha256" | "sha512"), digest]) if is_hex(digest) => {
                let size = entry.size();
                let blobs = folder.join("blobs").join(algorithm);
                fs::create_dir_all(&blobs)?;
                // A blob's name is the digest of its content, so a file of this name and size need not be written
                // again.
                if fs::metadata(blobs.join(digest)).is_ok_and(|there| there.is_file() && there.len() == size) {
                    continue;
                }
                write(entry, &blobs, digest, mode)?;
            }
            // Docker's own loader of archives uses this list of names; a layout has no use for it.
            Some(["manifest.json"]) => {}
            _ => return Err(invalid(format!("the archive holds {path:?}, which no layout has"))),
        }
    }
    let index = index.ok_or_else(|| invalid("the archive has no index.json".to_owned()))?;
    add(folder, index, mode)
}

/// Adds the entries of an index to the index of the folder.
fn add(folder: &Path, index: Value, mode: u32) -> io::Result<()> {
    let index = match File::open(folder.join("index.json")) {
        Ok(old) => merged(document(old)?, &index),
        Err(error) if error.kind() == io::ErrorKind::NotFound => index,
        Err(error) => return Err(error),
    };
    write(index.to_string().as_bytes(), folder, "index.json", mode)
}

/// Reads the process's file mode mask from `/proc`, because the system call that returns the mask changes it, too.
pub(crate) fn umask() -> u32 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    mask.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o077)
}

fn is_hex(digest: &str) -> bool {
    !digest.is_empty() && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

fn document(reader: impl Read) -> io::Result<Value> {
    let document: Value = serde_json::from_reader(reader.take(LARGEST_DOCUMENT))?;
    if document["manifests"].is_array() {
        Ok(document)
    } else {
        Err(invalid("an index.json that lists no manifests".to_owned()))
    }
}

/// Writes a file under a temporary name, and then renames it in one step.
fn write(mut content: impl Read, folder: &Path, name: &str, mode: u32) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".pbuild-").tempfile_in(folder)?;
    io::copy(&mut content, &mut file)?;
    file.as_file().set_permissions(Permissions::from_mode(mode))?;
    Ok(file.persist(folder.join(name)).map(drop)?)
}

/// Merges the images of the new index into the old one. An old image whose name a new image has taken leaves the
/// list.
fn merged(mut old: Value, new: &Value) -> Value {
    let name_of = |manifest: &Value| NAMES.map(|name| manifest["annotations"][name].as_str().map(str::to_owned));
    let added = new["manifests"].as_array().cloned().unwrap_or_default();
    let stays = |manifest: &Value| {
        added.iter().all(|new| {
            let (names, others) = (name_of(manifest), name_of(new));
            let is_named = names.iter().any(Option::is_some);
            !(is_named && names == others || !is_named && manifest["digest"] == new["digest"])
        })
    };
    let mut manifests = old["manifests"].as_array().cloned().unwrap_or_default();
    manifests.retain(stays);
    manifests.extend(added);
    old["manifests"] = json!(manifests);
    old
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &str)]) -> File {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        for (name, text) in files {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        let mut file = builder.into_inner().unwrap();
        io::Seek::rewind(&mut file).unwrap();
        file
    }

    fn index(digest: &str, name: Option<&str>) -> String {
        let annotations = name.map_or(json!({}), |name| json!({ NAMES[0]: name }));
        json!({"schemaVersion": 2, "manifests": [{"digest": digest, "annotations": annotations}]}).to_string()
    }

    fn digests(folder: &Path) -> Vec<String> {
        let index: Value = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
        let manifests = index["manifests"].as_array().unwrap();
        manifests.iter().map(|manifest| manifest["digest"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_layout_keeps_its_images_and_a_name_moves_to_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let put = |blob: &str, digest: &str, name: Option<&str>| {
            let blob = format!("blobs/sha256/{blob}");
            let files = [(blob.as_str(), "blob"), ("oci-layout", "{}"), ("index.json", &*index(digest, name))];
            unpack(&archive(&files), folder.path()).unwrap();
        };
        put("aa", "sha256:1", Some("shop:1"));
        put("bb", "sha256:2", Some("shop:2"));
        put("aa", "sha256:3", Some("shop:1"));
        put("cc", "sha256:4", None);
        put("cc", "sha256:4", None);
        assert_eq!(digests(folder.path()), ["sha256:2", "sha256:3", "sha256:4"]);
        for name in ["oci-layout", "index.json", "blobs/sha256/aa", "blobs/sha256/bb", "blobs/sha256/cc"] {
            let metadata = fs::metadata(folder.path().join(name)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, 0o666 & !umask(), "{name}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left");
    }

    #[test]
    fn a_tag_names_what_was_put_there_last() {
        let folder = tempfile::tempdir().unwrap();
        assert!(digest_of(folder.path(), "latest").is_err(), "no index");
        put(folder.path(), json!({"digest": "sha256:1", "size": 1}), "latest").unwrap();
        assert_eq!(only_digest(folder.path()).unwrap().as_deref(), Some("sha256:1"));
        put(folder.path(), json!({"digest": "sha256:2", "size": 1}), "other").unwrap();
        put(folder.path(), json!({"digest": "sha256:3", "size": 1}), "latest").unwrap();
        let tagged = |tag| digest_of(folder.path(), tag).unwrap();
        assert_eq!(tagged("latest").as_deref(), Some("sha256:3"));
        assert_eq!(tagged("other").as_deref(), Some("sha256:2"));
        assert_eq!((tagged("none"), only_digest(folder.path()).unwrap()), (None, None));
        assert!(folder.path().join("oci-layout").exists());
    }

    #[test]
    fn what_is_no_layout_leaves_the_index_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("index.json"), index("sha256:1", None)).unwrap();
        let new = index("sha256:2", None);
        for files in [
            vec![("oci-layout", "{}")],
            vec![("index.json", "{}")],
            vec![("index.json", new.as_str()), ("blobs/sha256/AA", "")],
            vec![("index.json", new.as_str()), ("blobs/sha256/aa/bb", "")],
            vec![("index.json", new.as_str()), ("other", "")],
        ] {
            assert!(unpack(&archive(&files), folder.path()).is_err(), "{files:?}");
            assert_eq!(digests(folder.path()), ["sha256:1"]);
        }
    }
}
