//! Reads an image from a registry, without an engine. Only the parts of the distribution protocol are implemented
//! that are needed to read an image and to write a searched cache ([`upload`]).
//!
//! Sources: OCI distribution specification 1.1 ("Pull"), docker/distribution `spec/auth/token.md`. Manifests are
//! fetched first, by tag or digest. Each blob is fetched when the search reads it.

mod authority;
pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod error;
mod reference;
pub(crate) mod upload;

use std::io::{self, Read};
use std::sync::Arc;

use futures::StreamExt as _;
use http_body_util::BodyStream;
use pimage::{BlobRequest, BlobStore, Digest, LooseBlob, Vouching};
use serde_json::json;
use tokio::runtime::Handle;

use crate::audit::chunks;
use client::Client;
pub(crate) use error::RegistryError;
pub(crate) use reference::ImageReference;

/// The largest document that is fetched, in bytes.
pub(crate) const LARGEST_DOCUMENT: usize = 8 << 20;

/// Fetches the documents of an image. Returns them together with the image's layers, each of which is fetched when it
/// is read.
///
/// # Errors
/// Returns a [`RegistryFailure`].
pub(super) async fn blobs(name: &str) -> Result<Vec<LooseBlob>, RegistryFailure> {
    let reference = ImageReference::parse(name)
        .map_err(|problem| RegistryFailure::Name { name: name.to_owned(), problem: problem.to_string() })?;
    let failed = |error| RegistryFailure::Registry { reference: reference.clone(), error };
    let client = Arc::new(Client::new(&reference).map_err(failed)?);
    let (bytes, kind) = client.manifest(reference.version(), LARGEST_DOCUMENT).await.map_err(failed)?;
    let digest = Digest::of(&bytes);
    if reference.digest().is_some_and(|wanted| *wanted != digest) {
        return Err(failed(RegistryError::WrongDigest));
    }
    let mut descriptor = json!({"digest": digest.as_str(), "size": bytes.len()});
    if let Some(kind) = kind {
        descriptor["mediaType"] = json!(kind);
    }
    let remote: Arc<dyn BlobStore> = Arc::new(Remote { client, runtime: Handle::current(), root: (digest, bytes) });
    let gathering = tokio::task::spawn_blocking(move || pimage::image(&remote, vec![descriptor])).await;
    match gathering {
        Ok(Ok(blobs)) => Ok(blobs),
        Ok(Err(error)) => Err(match error.downcast::<RegistryError>() {
            Ok(error) => failed(error),
            Err(error) => RegistryFailure::Documents(error),
        }),
        Err(_) => Err(RegistryFailure::Unread),
    }
}

/// The reasons why an image cannot be read from a registry.
#[derive(Debug)]
pub(crate) enum RegistryFailure {
    /// The name is not the name of an image.
    Name {
        /// The name.
        name: String,
        /// The problem of the name.
        problem: String,
    },
    /// The registry does not return the image.
    Registry {
        /// The image.
        reference: ImageReference,
        /// The cause.
        error: RegistryError,
    },
    /// The documents of the image cannot be understood.
    Documents(io::Error),
    /// The thread that reads the documents ended early.
    Unread,
}

/// A registry as a store of blobs. Its methods block, so only threads that may wait call them.
struct Remote {
    client: Arc<Client>,
    runtime: Handle,
    /// The manifest that the reference names. It was fetched already.
    root: (Digest, Vec<u8>),
}

impl BlobStore for Remote {
    fn size(&self, wanted: &BlobRequest) -> io::Result<Option<u64>> {
        if wanted.digest == self.root.0 {
            return Ok(Some(self.root.1.len() as u64));
        }
        match wanted.size {
            // The documents give this size. A blob of another length does not match its digest.
            Some(size) => Ok(Some(size)),
            None => Err(io::Error::other(RegistryError::NoSize)),
        }
    }

    fn vouching(&self) -> Option<Vouching> {
        // The digest of a layer is known only after the whole layer was fetched, so nothing is vouched for in
        // advance.
        None
    }

    fn open(&self, wanted: &BlobRequest) -> io::Result<Box<dyn Read + Send>> {
        if wanted.digest == self.root.0 {
            return Ok(Box::new(io::Cursor::new(self.root.1.clone())));
        }
        let response = self.runtime.block_on(self.client.blob(wanted)).map_err(io::Error::other)?;
        let frames = BodyStream::new(response.into_body())
            .filter_map(async |frame| frame.map(|frame| frame.into_data().ok()).transpose());
        let (reader, forward) = chunks::channel(frames);
        self.runtime.spawn(forward);
        Ok(Box::new(reader))
    }
}
