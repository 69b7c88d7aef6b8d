//! The reasons why a registry does not return or accept an image.

use std::io;
use std::path::PathBuf;

use crate::files::blob::BlobError;

/// The reasons why a registry does not return or accept an image. No message holds a credential or text of the
/// registry.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    #[error("the registry cannot be reached: {0}")]
    Unreachable(io::ErrorKind),
    #[error("the registry does not answer")]
    Silent,
    #[error("no trusted connection: {0}")]
    Tls(String),
    #[error("{}: {problem}", path.display())]
    Certificate { path: PathBuf, problem: String },
    #[error("docker's credentials cannot be read: {0}")]
    Credentials(String),
    #[error("the registry denies access")]
    Denied {
        /// Whether docker had credentials for the registry.
        known: bool,
    },
    #[error("the registry has no such image")]
    NotFound,
    #[error("the registry answers with HTTP {0}")]
    Status(u16),
    #[error("the registry's answer is not what the protocol says: {0}")]
    Protocol(&'static str),
    #[error("the manifest is of schema 1, which has no digests of layers to search by")]
    SchemaOne,
    #[error("the manifest does not match the digest in the name")]
    WrongDigest,
    #[error("a manifest lists a blob without its size")]
    NoSize,
    #[error(transparent)]
    Blob(#[from] BlobError),
}
