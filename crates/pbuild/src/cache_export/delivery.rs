//! Delivers a clean cache to its destinations. The manifest is written last, so that a reader sees either the old
//! cache or the complete new one.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use futures::{StreamExt as _, TryStreamExt as _};
use pscreen::words::{counted, size};
use serde_json::Value;

use super::bucket::Bucket;
use super::destination::Destination;
use super::error::CacheExportError;
use super::folder::PrivateFolder;
use super::group::Group;
use super::manifest::CacheManifest;
use crate::audit::registry::ImageReference;
use crate::audit::registry::upload::{Arrival, Uploader};
use crate::files::blob::{BlobError, FileBlob};
use crate::oci_layout::{self, umask};

/// The number of blobs that are sent at the same time.
const AT_ONCE: usize = 3;

/// A cache that was found clean, in a folder that no other build uses.
#[derive(Debug)]
pub(super) struct Searched {
    pub(super) group: Group,
    #[expect(dead_code, reason = "it is held, so that no other build changes the folder")]
    pub(super) folder: PrivateFolder,
    pub(super) manifest: CacheManifest,
}

/// The numbers of blobs that were sent or were already at the destination.
#[derive(Default)]
struct Tally {
    sent: usize,
    bytes: u64,
    was_there: usize,
}

impl Tally {
    fn add(&mut self, blob: &FileBlob, arrival: Arrival) {
        match arrival {
            Arrival::Sent => {
                self.sent += 1;
                self.bytes += blob.size;
            }
            Arrival::WasThere => self.was_there += 1,
        }
    }

    /// Says in words what was sent.
    fn text(&self, verb: &str) -> String {
        let sent = format!("{} {verb}, {}", counted(self.sent, "blob"), size(self.bytes));
        match self.was_there {
            0 => sent,
            count => format!("{sent}; {count} there already"),
        }
    }
}

impl Searched {
    pub(super) fn destinations(&self) -> &[Destination] {
        self.group.destinations()
    }

    pub(super) fn ignores_errors(&self) -> bool {
        self.group.ignores_errors()
    }

    /// Delivers the cache to one of its destinations, and says in words what was sent.
    ///
    /// # Errors
    /// Returns an error if the destination does not accept the cache; the destination then keeps the cache that it
    /// had before.
    pub(super) async fn deliver(&self, destination: &Destination) -> Result<String, CacheExportError> {
        match destination {
            Destination::Registry(reference) => self.send(reference).await,
            Destination::Bucket(bucket) => self.put(bucket, destination).await,
            Destination::Folder { path, tag } => {
                let files: Vec<FileBlob> = self.manifest.files().cloned().collect();
                let (descriptor, path, tag) = (self.manifest.descriptor(), path.clone(), tag.clone());
                let writing = tokio::task::spawn_blocking(move || write(&files, descriptor, &path, &tag)).await;
                let ended_early = |_| Err(io::Error::other("the writer ended early").into());
                writing.unwrap_or_else(ended_early).map_err(|error| match error {
                    WriteError::Blob(source) => CacheExportError::Blob { destination: destination.to_string(), source },
                    WriteError::Folder(source) => {
                        CacheExportError::Written { destination: destination.to_string(), source }
                    }
                })
            }
        }
    }

    async fn send(&self, reference: &ImageReference) -> Result<String, CacheExportError> {
        let failed = |error| CacheExportError::Registry { reference: Box::new(reference.clone()), error };
        let uploader = Uploader::new(reference).map_err(failed)?;
        let tally = all(self.manifest.listed(), async |blob| uploader.blob(blob).await).await.map_err(failed)?;
        uploader.manifest(self.manifest.bytes(), self.manifest.kind()).await.map_err(failed)?;
        Ok(tally.text("sent"))
    }

    async fn put(&self, bucket: &Bucket, destination: &Destination) -> Result<String, CacheExportError> {
        let destination = || destination.to_string();
        let failed = |error| CacheExportError::Bucket { destination: destination(), error };
        let document = self.manifest.document();
        let document = document.map_err(|source| CacheExportError::Written { destination: destination(), source })?;
        let tally = all(self.manifest.layers(), async |blob| bucket.blob(blob).await).await.map_err(failed)?;
        bucket.document(&document).await.map_err(failed)?;
        Ok(tally.text("sent"))
    }
}

/// Delivers blobs, several at the same time.
async fn all<E>(blobs: Vec<&FileBlob>, bring: impl AsyncFn(&FileBlob) -> Result<Arrival, E>) -> Result<Tally, E> {
    let bring = &bring;
    let bringing = blobs.into_iter().map(|blob| async move { bring(blob).await.map(|arrival| (blob, arrival)) });
    let arrivals = futures::stream::iter(bringing).buffer_unordered(AT_ONCE);
    let add = async |mut tally: Tally, (blob, arrival): (&FileBlob, Arrival)| {
        tally.add(blob, arrival);
        Ok(tally)
    };
    arrivals.try_fold(Tally::default(), add).await
}

/// Adds the blobs of a cache to a layout, and gives the cache its tag in the layout.
fn write(files: &[FileBlob], descriptor: Value, folder: &Path, tag: &str) -> Result<String, WriteError> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let mut tally = Tally::default();
    for blob in files {
        tally.add(blob, copy(blob, &blobs)?);
    }
    oci_layout::put(folder, descriptor, tag)?;
    Ok(tally.text("written"))
}

enum WriteError {
    Blob(BlobError),
    Folder(io::Error),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Folder(error)
    }
}

/// Copies a blob into a folder under its name, unless the folder has it. The name of a blob is the digest of its
/// content.
fn copy(blob: &FileBlob, folder: &Path) -> Result<Arrival, WriteError> {
    let target = folder.join(blob.digest.hex());
    if fs::metadata(&target).is_ok_and(|there| there.is_file() && there.len() == blob.size) {
        return Ok(Arrival::WasThere);
    }
    let mut file = tempfile::Builder::new().prefix(".pbuild-").tempfile_in(folder)?;
    let mut failure = None;
    let read = blob.read(0, |piece| match file.write_all(&piece) {
        Ok(()) => true,
        Err(error) => {
            failure = Some(error);
            false
        }
    });
    read.map_err(WriteError::Blob)?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    file.as_file().set_permissions(Permissions::from_mode(0o666 & !umask()))?;
    file.persist(target).map_err(|error| error.error)?;
    Ok(Arrival::Sent)
}

#[cfg(test)]
mod tests {
    use pimage::Digest;

    use super::*;
    use crate::cache_export::manifest::tests::cache;

    fn blob(folder: &Path, bytes: &[u8]) -> FileBlob {
        let path = folder.join("source");
        fs::write(&path, bytes).unwrap();
        FileBlob { path, digest: Digest::of(bytes), size: bytes.len() as u64 }
    }

    #[test]
    fn a_blob_is_copied_once_and_never_half() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let blob = blob(from.path(), b"content");
        assert!(matches!(copy(&blob, to.path()), Ok(Arrival::Sent)));
        assert!(matches!(copy(&blob, to.path()), Ok(Arrival::WasThere)));
        let target = to.path().join(blob.digest.hex());
        assert_eq!(fs::read(&target).unwrap(), b"content");
        // Half a blob, left by an earlier copy, is replaced. Content other than the searched one is not written.
        fs::write(&target, b"con").unwrap();
        assert!(matches!(copy(&blob, to.path()), Ok(Arrival::Sent)));
        fs::write(&target, b"con").unwrap();
        fs::write(&blob.path, b"CONTENT").unwrap();
        assert!(matches!(copy(&blob, to.path()), Err(WriteError::Blob(BlobError::Changed(_)))));
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_cache_in_a_folder_is_found_by_its_tag() {
        let to = tempfile::tempdir().unwrap();
        let folder = PrivateFolder::open(None, "a").unwrap();
        let digest = cache(folder.path(), b"a layer", false);
        let manifest = CacheManifest::read(folder.path(), &digest).unwrap();
        let files: Vec<FileBlob> = manifest.files().cloned().collect();
        let put = || write(&files, manifest.descriptor(), &to.path().join("new"), "main");
        assert!(put().is_ok_and(|text| text.starts_with("3 blobs written")));
        assert!(put().is_ok_and(|text| text == "0 blobs written, 0 bytes; 3 there already"));
        assert_eq!(oci_layout::digest_of(&to.path().join("new"), "main").unwrap(), Some(digest));
    }
}
