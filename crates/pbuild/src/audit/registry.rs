//! An image of a registry, without an engine: the distribution protocol, as far as reading needs it.
//!
//! Facts: OCI distribution specification 1.1 ("Pull"), docker/distribution `spec/auth/token.md`. Manifests are fetched
//! first, by tag or digest; their blobs stream into the search when their turn has come.

mod authority;
mod client;
mod error;
mod reference;

use std::io::{self, Read};
use std::sync::Arc;

use futures::StreamExt as _;
use http_body_util::BodyStream;
use pimage::{BlobStore, Digest, LooseBlob, Vouching, Wanted};
use pscreen::{Diagnostic, Exit};
use serde_json::json;
use tokio::runtime::Handle;

use crate::audit::chunks;
use client::Client;
use error::RegistryError;
pub use reference::Reference;

/// The largest document that is fetched whole.
const LARGEST_DOCUMENT: usize = 8 << 20;

/// The blobs of an image: documents fetched, layers to be fetched.
///
/// # Errors
/// What keeps the image from being reached, and what to do about it.
pub async fn blobs(name: &str) -> Result<Vec<LooseBlob>, Diagnostic> {
    let reference = Reference::parse(name).map_err(|problem| {
        Diagnostic::error(format!("{name}: {problem}"), Exit::Usage)
            .help("a registry's image is HOST/NAME[:TAG] or HOST/NAME@DIGEST")
    })?;
    let explain = |error: RegistryError| explain(&reference, &error);
    let client = Arc::new(Client::new(&reference).map_err(explain)?);
    let (bytes, kind) = client.manifest(reference.version(), LARGEST_DOCUMENT).await.map_err(explain)?;
    let digest = Digest::of(&bytes);
    if reference.digest().is_some_and(|wanted| *wanted != digest) {
        return Err(explain(RegistryError::WrongDigest));
    }
    let mut descriptor = json!({"digest": digest.as_str(), "size": bytes.len()});
    if let Some(kind) = kind {
        descriptor["mediaType"] = json!(kind);
    }
    let remote: Arc<dyn BlobStore> = Arc::new(Remote { client, runtime: Handle::current(), root: (digest, bytes) });
    let gathering = tokio::task::spawn_blocking(move || pimage::image(&remote, vec![descriptor])).await;
    match gathering {
        Ok(Ok(blobs)) => Ok(blobs),
        Ok(Err(error)) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<RegistryError>());
            Err(inner
                .map_or_else(|| Diagnostic::from_error(&error, Exit::Failed), |error| self::explain(&reference, error)))
        }
        Err(_) => Err(Diagnostic::error("the registry's documents could not be read", Exit::Failed)),
    }
}

/// A registry as a store of blobs. It is used from threads that may wait.
struct Remote {
    client: Arc<Client>,
    runtime: Handle,
    /// The manifest that the reference named: it was fetched already.
    root: (Digest, Vec<u8>),
}

impl BlobStore for Remote {
    fn size(&self, wanted: &Wanted) -> io::Result<Option<u64>> {
        if wanted.digest == self.root.0 {
            return Ok(Some(self.root.1.len() as u64));
        }
        match wanted.size {
            // What the documents say; a blob of another length does not match its digest.
            Some(size) => Ok(Some(size)),
            None => Err(io::Error::other(RegistryError::NoSize)),
        }
    }

    fn vouching(&self) -> Option<Vouching> {
        // To compute a digest, a layer must be fetched whole.
        None
    }

    fn open(&self, wanted: &Wanted) -> io::Result<Box<dyn Read + Send>> {
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

fn explain(reference: &Reference, error: &RegistryError) -> Diagnostic {
    let host = reference.host();
    let exit = match error {
        RegistryError::Credentials(_) | RegistryError::Certificate { .. } => Exit::Usage,
        _ => Exit::Failed,
    };
    let diagnostic = Diagnostic::error(format!("{reference}: {error}"), exit);
    match error {
        RegistryError::Denied { known: true } => diagnostic
            .help(format!("docker's credentials for {host} are not accepted; `docker login {host}` renews them")),
        RegistryError::Denied { known: false } => {
            diagnostic.help(format!("`docker login {host}` keeps credentials where this tool looks for them"))
        }
        RegistryError::NotFound => {
            diagnostic.help("check name and tag; some registries say so of what one may not see")
        }
        RegistryError::Tls(_) => diagnostic.help(format!(
            "put the registry's own authority into /etc/docker/certs.d/{host}/ca.crt, or name a file in SSL_CERT_FILE"
        )),
        _ => diagnostic,
    }
}
