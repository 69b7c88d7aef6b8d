//! Blobs outside of an archive: files of a layout, downloads from a registry.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use crate::digest::{Digest, Hasher};
use crate::remembered::Remembered;

/// A function that opens a blob's bytes at their beginning. It is called when the blob is to be read.
pub(crate) type Open = Box<dyn Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync>;

/// One blob with a source of its own. Readers may open several blobs at the same time.
pub struct LooseBlob {
    pub(crate) name: String,
    pub(crate) size: Option<u64>,
    pub(crate) open: Open,
    pub(crate) identity: Option<(Digest, Vouching)>,
    pub(crate) remembered: Option<Remembered>,
}

/// Who vouches that a blob has its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vouching {
    /// The store of an engine on this machine, which compared the digest when it received the blob.
    Store,
    /// Only the blob's name. The digest must be computed before it counts.
    Name,
}

impl LooseBlob {
    /// Makes a blob that is as long as its source.
    #[must_use]
    pub fn new(name: String, open: impl Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync + 'static) -> Self {
        Self { name, size: None, open: Box::new(open), identity: None, remembered: None }
    }

    /// Makes a blob of `size` bytes. Further bytes of its source are not read, and a source that ends earlier is a
    /// problem.
    #[must_use]
    pub fn sized(
        name: String,
        size: u64,
        open: impl Fn() -> io::Result<Box<dyn Read + Send>> + Send + Sync + 'static,
    ) -> Self {
        Self { size: Some(size), ..Self::new(name, open) }
    }

    /// Makes a blob of bytes in memory, such as a document.
    #[must_use]
    pub fn of_bytes(name: String, bytes: Vec<u8>) -> Self {
        let bytes: Arc<[u8]> = bytes.into();
        Self::sized(name, bytes.len() as u64, move || Ok(Box::new(io::Cursor::new(Arc::clone(&bytes)))))
    }

    /// Sets the digest of the stored bytes, and who vouches for it.
    #[must_use]
    pub fn identified(mut self, digest: Digest, vouching: Vouching) -> Self {
        self.identity = Some((digest, vouching));
        self
    }

    /// Returns the blob's digest, and who vouches for it.
    #[must_use]
    pub fn identity(&self) -> Option<(&Digest, Vouching)> {
        self.identity.as_ref().map(|(digest, vouching)| (digest, *vouching))
    }

    /// Replaces the reading of this blob by the result of an earlier one.
    #[must_use]
    pub fn recalled(mut self, remembered: Remembered) -> Self {
        self.remembered = Some(remembered);
        self
    }

    /// Computes the digest of the stored bytes, and compares it. Returns false if the bytes cannot be read.
    #[must_use]
    pub fn holds(&self, digest: &Digest) -> bool {
        let Ok(mut source) = (self.open)() else { return false };
        let mut hasher = Hasher::new(true);
        let mut buffer = vec![0; 256 << 10];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return hasher.finish().as_ref() == Some(digest),
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Returns the blob's name, by which documents refer to it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Debug for LooseBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LooseBlob({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use ptest::{Archive, Compression, Image, Layer};

    use super::*;
    use crate::tests::Bytes;
    use crate::{Contents, Fault, Options, read, read_loose};

    fn loose(archive: &Archive) -> Vec<LooseBlob> {
        let blob = |name: &str| {
            let bytes = archive.get(name).unwrap().to_vec();
            if bytes.starts_with(b"{") || bytes.starts_with(b"[") {
                LooseBlob::of_bytes(name.to_owned(), bytes)
            } else {
                LooseBlob::new(name.to_owned(), move || Ok(Box::new(io::Cursor::new(bytes.clone()))))
            }
        };
        archive.names().map(blob).collect()
    }

    fn read_blobs(blobs: Vec<LooseBlob>) -> (Vec<u8>, Contents) {
        let mut bytes = Bytes::default();
        let contents = read_loose(blobs, &Options::default(), &mut bytes).unwrap();
        (bytes.0, contents)
    }

    #[test]
    fn loose_blobs_and_the_archive_of_them_are_the_same_image() {
        for compression in Compression::ALL {
            let image = Image::new().packed_layer(Layer::new().file("etc/a", "content"), compression, "COPY a /etc");
            for archive in [image.docker_legacy("shop:1"), image.docker_oci("shop:1"), image.oci()] {
                let mut packed = Bytes::default();
                let one = read(archive.tar().as_slice(), &Options::default(), &mut packed).unwrap();
                let (bytes, other) = read_blobs(loose(&archive));
                assert_eq!(bytes, packed.0);
                assert_eq!(format!("{one:?}"), format!("{other:?}"));
                assert!(other.problems().is_empty());
            }
        }
    }

    #[test]
    fn a_blob_that_cannot_be_read_is_told_and_the_next_is_read() {
        let archive = Image::new().layer(Layer::new().file("a", "content"), "COPY").oci();
        let denied = || -> io::Result<Box<dyn Read + Send>> { Err(io::ErrorKind::PermissionDenied.into()) };
        let blobs = || {
            let mut blobs = loose(&archive);
            let layer = blobs.remove(0);
            (layer.name().to_owned(), blobs)
        };
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::UnexpectedEof] {
            let (name, mut rest) = blobs();
            let layer = match kind {
                io::ErrorKind::PermissionDenied => LooseBlob::new(name.clone(), denied),
                _ => LooseBlob::sized(name.clone(), 1000, || Ok(Box::new(io::empty()))),
            };
            rest.insert(0, layer);
            let (_, contents) = read_blobs(rest);
            let told = contents
                .problems()
                .iter()
                .any(|problem| *problem.fault() == Fault::Unreadable { name: name.clone(), kind });
            assert!(told, "{:?}", contents.problems());
            assert_eq!(contents.images().len(), 1);
        }
    }
}
