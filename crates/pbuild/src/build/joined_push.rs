//! Pushes an image that several nodes built. Each node has already pushed its part by digest. Here one index of all
//! parts gets the names. It is written last, so a name never stands for a single part.

use pimage::Digest;
use serde_json::Value;

use super::failure::DeliveryError;
use crate::audit::registry::upload::Uploader;
use crate::audit::registry::{ImageReference, RegistryError};
use crate::edge::{Edge, Failure};
use crate::joined;
use crate::plan::ImageName;

/// Writes the index of the parts under every name, and returns the index's descriptor. The parts must be in the
/// repository of each name.
///
/// # Errors
/// Returns an error if a registry does not have a part, or does not accept the index.
pub(super) async fn push(names: &[ImageName], parts: &[String], edge: &Edge) -> Result<Value, Failure> {
    let mut descriptor = Value::Null;
    for name in names {
        let failed = |source| DeliveryError::Index { name: name.clone(), source };
        let writing = async {
            let reference = ImageReference::parse(&name.whole()).map_err(|_| RegistryError::Protocol("a name"))?;
            let uploader = Uploader::new(&reference)?;
            let mut indexes = Vec::new();
            for digest in parts {
                let bytes = uploader.document(digest).await?;
                if Digest::of(&bytes).as_str() != digest {
                    return Err(RegistryError::WrongDigest);
                }
                indexes.push(serde_json::from_slice(&bytes).map_err(|_| RegistryError::Protocol("a part"))?);
            }
            let index = joined::index(&indexes).ok_or(RegistryError::Protocol("a part that is not an index"))?;
            let bytes = index.to_string().into_bytes();
            let descriptor = joined::descriptor(&index, &bytes);
            uploader.manifest(&bytes, descriptor["mediaType"].as_str().unwrap_or_default()).await?;
            Ok(descriptor)
        };
        descriptor = edge.cancellation.unless_cancelled(writing).await?.map_err(failed)?;
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        edge.fact("pushed", &format!("{name}  {digest}"));
    }
    Ok(descriptor)
}
