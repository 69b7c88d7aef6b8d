//! Reads an OCI layout in a folder, or any other folder of blobs by digest (OCI image specification,
//! image-layout.md).

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::digest::Digest;
use crate::gather::{BlobRequest, BlobStore, gather};
use crate::loose::{LooseBlob, Vouching};

/// The annotations that name an image of a layout.
const NAMES: [&str; 2] = ["org.opencontainers.image.ref.name", "io.containerd.image.name"];
/// The maximal size of an index, which is a small document.
const LARGEST_INDEX: u64 = 8 << 20;
/// The maximal number of files of a layout.
const MOST_FILES: usize = 100_000;

/// A folder of files that are named by their digests: `blobs` of a layout or of containerd's content store.
#[derive(Debug)]
pub struct BlobFolder {
    folder: PathBuf,
    vouching: Vouching,
}

impl BlobFolder {
    /// Makes the store of the folder that contains `sha256/`.
    #[must_use]
    pub fn new(folder: &Path, vouching: Vouching) -> Self {
        Self { folder: folder.to_owned(), vouching }
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        // A digest consists of hex digits only, so the path cannot leave the folder.
        self.folder.join("sha256").join(digest.hex())
    }
}

impl BlobStore for BlobFolder {
    fn size(&self, wanted: &BlobRequest) -> io::Result<Option<u64>> {
        match fs::symlink_metadata(self.path(&wanted.digest)) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
            Ok(_) => Err(io::ErrorKind::InvalidInput.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn vouching(&self) -> Option<Vouching> {
        Some(self.vouching)
    }

    fn open(&self, wanted: &BlobRequest) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(self.path(&wanted.digest))?))
    }
}

/// The reason why a folder is not read as a layout.
#[derive(Debug)]
pub enum LayoutError {
    /// The layout cannot be read.
    Io(io::Error),
    /// The folder has no `index.json`, so it is not a layout.
    NotALayout,
    /// No image of the layout has this name. The names that it has are listed, made printable.
    NoSuchImage(Vec<String>),
}

impl std::fmt::Display for LayoutError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NotALayout => f.write_str("no OCI layout: it has no index.json"),
            Self::NoSuchImage(names) if names.is_empty() => f.write_str("the images of this layout have no names"),
            Self::NoSuchImage(names) => write!(f, "no image of this name; there are {}", names.join(", ")),
        }
    }
}

impl std::error::Error for LayoutError {}

impl From<io::Error> for LayoutError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Opens the blobs of a layout. With a name or digest, opens the blobs of this image; without one, opens every file
/// of the layout, even if no document lists it.
///
/// # Errors
///
/// Returns a [`LayoutError`] if the folder is not a layout, cannot be read, or has no image of this name. A damaged
/// blob is not an error here: reading it reports the damage later.
pub fn layout(folder: &Path, name: Option<&str>) -> Result<Vec<LooseBlob>, LayoutError> {
    let index = folder.join("index.json");
    match fs::metadata(&index) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(LayoutError::NotALayout),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LayoutError::NotALayout),
        Err(error) => return Err(error.into()),
    }
    match name {
        None => Ok(every_file(folder)?),
        Some(name) => one_image(folder, &index, name),
    }
}

fn every_file(folder: &Path) -> io::Result<Vec<LooseBlob>> {
    let mut blobs = Vec::new();
    let mut open = vec![(folder.join("blobs"), "blobs/".to_owned())];
    for name in ["index.json", "oci-layout", "manifest.json", "repositories"] {
        let path = folder.join(name);
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            blobs.push(file(path, name.to_owned())?);
        }
    }
    while let Some((directory, prefix)) = open.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            // If there are no blobs, the reading reports the blobs that the index lists as missing.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut entries: Vec<_> = entries.collect::<io::Result<_>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let kind = entry.file_type()?;
            if kind.is_dir() && prefix == "blobs/" {
                open.push((entry.path(), format!("{name}/")));
            } else if kind.is_file() && blobs.len() < MOST_FILES {
                blobs.push(file(entry.path(), name)?);
            }
        }
    }
    Ok(blobs)
}

fn file(path: PathBuf, name: String) -> io::Result<LooseBlob> {
    let size = fs::metadata(&path)?.len();
    let digest = name.strip_prefix("blobs/sha256/").and_then(Digest::from_hex);
    let blob = LooseBlob::sized(name, size, move || Ok(Box::new(File::open(&path)?)));
    Ok(match digest {
        Some(digest) => blob.identified(digest, Vouching::Name),
        None => blob,
    })
}

fn one_image(folder: &Path, index: &Path, name: &str) -> Result<Vec<LooseBlob>, LayoutError> {
    let mut bytes = Vec::new();
    File::open(index)?.take(LARGEST_INDEX).read_to_end(&mut bytes)?;
    let index: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let listed = index["manifests"].as_array().cloned().unwrap_or_default();
    let names = |descriptor: &Value| -> Vec<String> {
        let annotated = NAMES.iter().filter_map(|key| descriptor["annotations"][key].as_str());
        annotated.map(crate::blob::printable).collect()
    };
    let chosen: Vec<Value> = listed
        .iter()
        .filter(|descriptor| names(descriptor).iter().any(|known| known == name) || descriptor["digest"] == name)
        .cloned()
        .collect();
    if chosen.is_empty() {
        return Err(LayoutError::NoSuchImage(listed.iter().flat_map(names).collect()));
    }
    let store: Arc<dyn BlobStore> = Arc::new(BlobFolder::new(&folder.join("blobs"), Vouching::Name));
    Ok(image(&store, chosen)?)
}

/// Opens the blobs of an image of a store, under a new index of these descriptors.
///
/// # Errors
///
/// Returns an error if the store cannot be read.
pub fn image(store: &Arc<dyn BlobStore>, descriptors: Vec<Value>) -> io::Result<Vec<LooseBlob>> {
    let wanted = |descriptor: &Value| {
        let digest = Digest::parse(descriptor["digest"].as_str()?)?;
        Some(BlobRequest { digest, size: descriptor["size"].as_u64(), manifest: true })
    };
    let roots = descriptors.iter().filter_map(wanted).collect();
    let index = json!({"schemaVersion": 2, "manifests": descriptors});
    let mut blobs = vec![LooseBlob::of_bytes("index.json".to_owned(), index.to_string().into_bytes())];
    blobs.extend(gather(store, roots)?);
    Ok(blobs)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use ptest::{Archive, Compression, Image, Index, Layer};

    use super::*;
    use crate::{Contents, Entry, Options, Stream, Visitor, read, read_loose};

    struct Nobody;

    impl Visitor for Nobody {
        fn begin(&mut self, _: &Stream<'_>) {}
        fn entry(&mut self, _: &Entry<'_>) {}
        fn bytes(&mut self, _: usize, _: &[u8]) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
        fn end(&mut self) {}
    }

    fn unpack(archive: &Archive) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in archive.names() {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, archive.get(name).unwrap()).unwrap();
        }
        folder
    }

    fn contents(blobs: Vec<LooseBlob>) -> Contents {
        read_loose(blobs, &Options::default(), &mut Nobody).unwrap()
    }

    fn images(contents: &Contents) -> Vec<String> {
        let shown = |image: &crate::Image| {
            let layers = image.layers();
            let digests: Vec<_> =
                layers.iter().map(|layer| (layer.diff_id(), layer.created_by(), layer.blob().is_some())).collect();
            format!("{:?} {:?} {digests:?}", image.kind(), image.platform())
        };
        contents.images().iter().map(shown).collect()
    }

    fn index() -> Archive {
        let image = |text: &str| Image::new().packed_layer(Layer::new().file("a", text), Compression::Zstd, "COPY");
        let statement = json!({"_type": "https://in-toto.io/Statement/v1"});
        Index::new()
            .platform("linux/amd64", image("1"))
            .attestation(statement)
            .platform("linux/arm64", image("2"))
            .oci()
    }

    #[test]
    fn a_layout_and_the_archive_of_it_are_the_same_image() {
        let archive = index();
        let folder = unpack(&archive);
        let packed = read(archive.tar().as_slice(), &Options::default(), &mut Nobody).unwrap();
        let loose = contents(layout(folder.path(), None).unwrap());
        assert_eq!(images(&loose), images(&packed));
        assert!(loose.problems().is_empty(), "{:?}", loose.problems());
    }

    #[test]
    fn one_image_is_gathered_by_its_name_with_all_its_platforms() {
        let mut archive = index();
        let mut document: Value = serde_json::from_slice(archive.get("index.json").unwrap()).unwrap();
        document["manifests"][0]["annotations"] = json!({"org.opencontainers.image.ref.name": "shop"});
        archive.replace("index.json", document.to_string());
        archive.add_blob("a stranger's");
        let folder = unpack(&archive);
        let packed = read(archive.tar().as_slice(), &Options::default(), &mut Nobody).unwrap();
        let one = contents(layout(folder.path(), Some("shop")).unwrap());
        assert_eq!(images(&one), images(&packed));
        assert_eq!(one.blobs().count() + 2, packed.blobs().count(), "neither the stranger nor oci-layout");
        assert!(one.problems().is_empty(), "{:?}", one.problems());
        let Err(LayoutError::NoSuchImage(names)) = layout(folder.path(), Some("other")) else {
            panic!("no such image")
        };
        assert_eq!(names, ["shop"]);
    }

    /// A16: a layout may lack a listed blob, have a link in place of a blob, or have no index.
    #[test]
    fn a_broken_layout_is_told_and_no_link_is_followed_a16() {
        let archive = index();
        let folder = unpack(&archive);
        let layer = archive.names().next().unwrap().to_owned();
        fs::remove_file(folder.path().join(&layer)).unwrap();
        assert_eq!(contents(layout(folder.path(), None).unwrap()).problems().len(), 1);
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join(&layer)).unwrap();
        let with_link = contents(layout(folder.path(), None).unwrap());
        assert!(with_link.problems()[0].to_string().contains("listed and not in the archive"));
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(layout(empty.path(), None), Err(LayoutError::NotALayout)));
    }

    #[test]
    fn circles_of_indexes_end_a16() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
        let digest = format!("sha256:{}", "0".repeat(64));
        let index = json!({"manifests": [{"digest": digest, "annotations": {NAMES[0]: "x"}}]}).to_string();
        fs::write(folder.path().join("index.json"), &index).unwrap();
        fs::write(folder.path().join("blobs/sha256").join("0".repeat(64)), &index).unwrap();
        assert_eq!(layout(folder.path(), Some("x")).unwrap().len(), 2);
    }
}
