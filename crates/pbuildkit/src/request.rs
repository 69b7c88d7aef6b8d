//! The request for a build.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use pengine::Registries;
use pgateway::{BuildId, CacheEntry};
use sha2::{Digest, Sha256};

use crate::filesync::Local;
use crate::policy::SourcePolicy;
use crate::session::content::ContentStores;
use crate::session::observer::ContextObserver;
use crate::session::receive::Receiver;
use crate::session::secrets::{NoSecrets, SecretProvider};
use crate::session::ssh::Agents;
use crate::session::upload::Archive;

/// A request for a build. [`BuildRequest::dockerfile`] makes the request that docker itself would send; fields change
/// it.
#[derive(Clone)]
pub struct BuildRequest {
    /// The id of the build, under which the engine keeps its record.
    pub id: BuildId,
    /// The frontend, such as `dockerfile.v0`.
    pub frontend: String,
    /// The frontend's attributes: `filename`, `target`, `build-arg:NAME`, `attest:provenance`, …
    pub attributes: BTreeMap<String, String>,
    /// The exporters that deliver the result. Several exporters need
    /// [`Capabilities::SEVERAL_EXPORTERS`](pgateway::Capabilities::SEVERAL_EXPORTERS).
    pub exporters: Vec<Exporter>,
    /// The local directories, by the names that the frontend uses: `context`, `dockerfile`, …
    pub locals: BTreeMap<String, Local>,
    /// The key by which the engine finds files that it received in an earlier build; see [`shared_key`].
    pub shared_key: String,
    /// The source of the secrets' values.
    pub secrets: Arc<dyn SecretProvider>,
    /// The ids of secrets that the frontend itself may request, such as `GIT_AUTH_TOKEN` for a git context. The list
    /// only counts with a transformation; without one, every secret is served.
    pub frontend_secrets: Vec<String>,
    /// The source of the registries' credentials.
    pub registries: Registries,
    /// The agents that steps may mount.
    pub agents: Agents,
    /// A context that is sent as one archive. The attribute `context` must be its [`url`](Archive::url).
    pub archive: Option<Archive>,
    /// The folders of this machine from which the engine reads images and caches, or to which it writes caches.
    pub content: ContentStores,
    /// The observer that sees the bytes of the locals before they are sent.
    pub observer: Option<Arc<dyn ContextObserver>>,
    /// Permissions that a build does not have by default, such as `network.host`.
    pub entitlements: Vec<String>,
    /// The rules for the sources of the build. They need
    /// [`Capabilities::SOURCE_POLICY`](pgateway::Capabilities::SOURCE_POLICY). A builder without this ability would
    /// ignore the rules, so the build is refused on such a builder.
    pub source_policy: Option<SourcePolicy>,
    /// The amount of the build's log that the engine keeps.
    pub history: History,
    /// The targets whose results are named contexts of this build. They only count with a transformation.
    pub targets: Vec<TargetContext>,
    /// The caches that the build reads.
    pub cache_imports: Vec<CacheEntry>,
    /// The caches that the build writes.
    pub cache_exports: Vec<CacheEntry>,
}

/// Another target, whose result is a named context of a build. The target is solved within that build, and its files
/// come from a session of its own.
#[derive(Clone)]
pub struct TargetContext {
    /// The name of the context that this target provides.
    pub name: String,
    /// The key of the target, unique within the build.
    pub key: String,
    /// The frontend's attributes for the target.
    pub attributes: BTreeMap<String, String>,
    /// The target's local directories, by the names that the frontend uses.
    pub locals: BTreeMap<String, Local>,
    /// The key by which the engine finds files that it received in an earlier build.
    pub shared_key: String,
    /// The targets whose results are named contexts of this target.
    pub targets: Vec<TargetContext>,
}

/// An exporter and its attributes.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// The kind of the exporter. Every engine has `moby`, which puts the image into the engine's store.
    pub kind: String,
    /// The attributes, such as `name`, a list of names with commas. An image without this attribute has no name.
    pub attributes: BTreeMap<String, String>,
    /// The receiver of the exporter's result. Archives and trees of files are sent to it; images in a store are not.
    pub receiver: Option<Receiver>,
}

impl Exporter {
    /// Makes an exporter into the engine's own store, for an image without a name.
    #[must_use]
    pub fn engine_image() -> Self {
        Self { kind: "moby".to_owned(), attributes: BTreeMap::new(), receiver: None }
    }

    /// Makes an exporter into the engine's own store, for an image under these names.
    #[must_use]
    pub fn named_engine_image(names: &[String]) -> Self {
        let mut exporter = Self::engine_image();
        if !names.is_empty() {
            exporter.attributes.insert("name".to_owned(), names.join(","));
        }
        exporter
    }
}

/// The amount of the build's log that the engine keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// A record with the raw log, as docker keeps it. The log holds everything that steps print, even secrets.
    Keep,
    /// No record, on engines that support `internal`. Older engines keep no history at all.
    Nothing,
}

impl BuildRequest {
    /// Makes a request for a build of `dockerfile.v0`. Like docker's own builder, it sets the attribute that takes
    /// images from the engine's store.
    #[must_use]
    pub fn dockerfile() -> Self {
        let attributes = [("image-resolve-mode".to_owned(), "local".to_owned())];
        Self {
            id: BuildId::random(),
            frontend: "dockerfile.v0".to_owned(),
            attributes: attributes.into(),
            exporters: vec![Exporter::engine_image()],
            locals: BTreeMap::new(),
            shared_key: String::new(),
            secrets: Arc::new(NoSecrets),
            frontend_secrets: Vec::new(),
            registries: Registries::anonymous(),
            agents: Agents::default(),
            archive: None,
            content: ContentStores::default(),
            observer: None,
            entitlements: Vec::new(),
            source_policy: None,
            history: History::Keep,
            targets: Vec::new(),
            cache_imports: Vec::new(),
            cache_exports: Vec::new(),
        }
    }
}

/// Makes the key under which docker's builder keeps a context: the folder's name and the build identity of this
/// machine.
///
/// With the same key, a context that docker has sent need not be sent again by us, and the other way round. The
/// identity is in the file `.buildNodeID`, in the folder `buildx` of the docker client's folder or in
/// `BUILDX_CONFIG`. If docker never built on this machine, a digest of the context's whole path takes its place.
#[must_use]
pub fn shared_key(context: &Path, docker_folder: Option<&Path>) -> String {
    let whole = context.canonicalize().unwrap_or_else(|_| context.to_owned());
    let name = whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_else(|| "/".to_owned());
    let folder =
        env::var_os("BUILDX_CONFIG").map(PathBuf::from).or_else(|| docker_folder.map(|folder| folder.join("buildx")));
    let identity = folder.and_then(|folder| fs::read_to_string(folder.join(".buildNodeID")).ok());
    let identity = identity.filter(|identity| !identity.is_empty()).unwrap_or_else(|| {
        let digest = Sha256::digest(whole.as_os_str().as_encoded_bytes());
        base16ct::lower::encode_string(&digest[..8])
    });
    format!("{name}:{identity}")
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_shared_key_is_docker_s_own_where_docker_has_built() {
        let folder = TempDir::new().unwrap();
        let context = folder.path().join("shop");
        fs::create_dir(&context).unwrap();
        fs::create_dir(folder.path().join("buildx")).unwrap();
        fs::write(folder.path().join("buildx/.buildNodeID"), "0123456789abcdef").unwrap();
        assert_eq!(shared_key(&context, Some(folder.path())), "shop:0123456789abcdef");
    }

    #[test]
    fn without_docker_s_identity_two_contexts_of_one_name_have_two_keys() {
        let folder = TempDir::new().unwrap();
        let (one, two) = (folder.path().join("a/shop"), folder.path().join("b/shop"));
        fs::create_dir_all(&one).unwrap();
        fs::create_dir_all(&two).unwrap();
        assert_ne!(shared_key(&one, None), shared_key(&two, None));
        assert_eq!(shared_key(&one, None), shared_key(&one, None));
    }
}
