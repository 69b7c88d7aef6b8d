//! The destinations of a cache.

use std::fmt;
use std::path::PathBuf;

use pgateway::CacheEntry;

use super::bucket::Bucket;
use crate::audit::registry::ImageReference;
use crate::oci_layout;
use crate::plan::CacheError;

/// A destination of a cache, checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// A folder that becomes an OCI layout, or is one already.
    Folder {
        /// The folder.
        path: PathBuf,
        /// The tag of the cache in the folder.
        tag: String,
    },
    /// A repository of a registry.
    Registry(ImageReference),
    /// A bucket of an object store.
    Bucket(Box<Bucket>),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path, .. } => write!(f, "type=local,dest={}", path.display()),
            Self::Registry(reference) => write!(f, "type=registry,ref={reference}"),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

impl Destination {
    /// Reads the destination of an export.
    ///
    /// # Errors
    /// Returns an error about the mistake in the flag.
    pub(super) fn of(entry: &CacheEntry) -> Result<Self, CacheError> {
        let value = |name: &str| entry.attributes.get(name).map(String::as_str).filter(|value| !value.is_empty());
        match entry.kind.as_str() {
            "local" => Ok(Self::Folder {
                path: value("dest").ok_or(CacheError::NoFolder { flag: "--cache-to", attribute: "dest" })?.into(),
                tag: value("tag").unwrap_or(oci_layout::DEFAULT_TAG).to_owned(),
            }),
            "registry" => {
                let text = value("ref").ok_or(CacheError::NoReference)?;
                let reference = ImageReference::parse(text);
                reference
                    .map(Self::Registry)
                    .map_err(|problem| CacheError::Reference { text: text.to_owned(), problem: problem.to_string() })
            }
            "s3" => {
                let environment = |name: &str| std::env::var(name).ok();
                Bucket::of(&entry.attributes, environment).map(|bucket| Self::Bucket(Box::new(bucket)))
            }
            kind => Err(CacheError::Unsearched { kind: kind.to_owned() }),
        }
    }
}
