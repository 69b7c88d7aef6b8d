//! The reasons why a cache is not exported.

use std::io;
use std::path::PathBuf;

use super::bucket::BucketError;
use super::folder::PrivateFolder;
use crate::audit::registry::{ImageReference, RegistryError};
use crate::files::blob::BlobError;

/// The reasons why a cache is not exported. No message holds a credential.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheExportError {
    /// The private folder cannot be made or written to.
    #[error("the private folder for caches cannot be used")]
    Folder {
        /// The folder; `None` if the user has no folder for caches.
        path: Option<PathBuf>,
        /// The cause.
        source: io::Error,
    },
    /// The builder has not written a cache that pbuild understands.
    #[error("--cache-to {destination}: what the builder wrote is no cache that can be searched: {problem}")]
    NotUnderstood {
        /// The flag's destinations.
        destination: String,
        /// The problem of the cache.
        problem: String,
    },
    /// The cache cannot be written into the user's folder.
    #[error("--cache-to {destination}: the cache cannot be written")]
    Written {
        /// The flag's destination.
        destination: String,
        /// The cause.
        source: io::Error,
    },
    /// A blob of the private folder cannot be read, or has changed since it was searched.
    #[error("--cache-to {destination}: {source}")]
    Blob {
        /// The flag's destination.
        destination: String,
        /// The cause.
        source: BlobError,
    },
    /// A registry does not accept the cache.
    #[error("--cache-to type=registry,ref={reference}: {error}")]
    Registry {
        /// The name of the cache.
        reference: Box<ImageReference>,
        /// The cause.
        error: RegistryError,
    },
    /// A bucket does not accept the cache.
    #[error("--cache-to {destination}: {error}")]
    Bucket {
        /// The flag's destination.
        destination: String,
        /// The cause.
        error: BucketError,
    },
}

impl CacheExportError {
    pub(super) fn folder(folder: &PrivateFolder, source: io::Error) -> Self {
        Self::Folder { path: Some(folder.path().to_owned()), source }
    }

    /// Returns the error with its cause in one line, for a warning.
    pub(super) fn in_a_line(&self) -> String {
        match self {
            Self::Folder { source, .. } | Self::Written { source, .. } => format!("{self}: {source}"),
            Self::NotUnderstood { .. } | Self::Blob { .. } | Self::Registry { .. } | Self::Bucket { .. } => {
                self.to_string()
            }
        }
    }
}
