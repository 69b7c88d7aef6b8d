//! The request for a build.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{env, fs};

use pengine::Registries;
use pgateway::CacheEntry;
use sha2::{Digest, Sha256};

use crate::filesync::Local;
use crate::policy::SourcePolicy;
use crate::session::content::ContentStores;
use crate::session::observer::ContextObserver;
use crate::session::receive::Receiver;
use crate::session::secrets::{NoSecrets, SecretProvider};
use crate::session::ssh::Agents;
use crate::session::upload::Archive;

/// A build. [`BuildRequest::dockerfile`] starts one that docker itself would send; the rest is set by field.
#[derive(Clone)]
pub struct BuildRequest {
    /// The frontend, such as `dockerfile.v0`.
    pub frontend: String,
    /// The frontend's attributes: `filename`, `target`, `build-arg:NAME`, `attest:provenance`, …
    pub attributes: BTreeMap<String, String>,
    /// Where the result goes. Several need
    /// [`Capabilities::SEVERAL_EXPORTERS`](pgateway::Capabilities::SEVERAL_EXPORTERS).
    pub exporters: Vec<Exporter>,
    /// Local directories by the name under which the frontend asks for them: `context`, `dockerfile`, …
    pub locals: BTreeMap<String, Local>,
    /// The key by which the engine finds the files of the locals that an earlier build sent; see [`shared_key`].
    pub shared_key: String,
    /// The source of the secrets' values.
    pub secrets: Arc<dyn SecretProvider>,
    /// Secret ids that may be asked for while the frontend runs, before its result is known, for example
    /// `GIT_AUTH_TOKEN` for a git context. Counts only with a transformation; without one every id is open.
    pub frontend_secrets: Vec<String>,
    /// The source of the registries' credentials.
    pub registries: Registries,
    /// The agents that steps may mount.
    pub agents: Agents,
    /// A context that is one archive; the attribute `context` is its [`url`](Archive::url).
    pub archive: Option<Archive>,
    /// Folders of this machine that the engine reads images and caches from, or writes caches to.
    pub content: ContentStores,
    /// The observer of the locals' bytes while they are sent.
    pub observer: Option<Arc<dyn ContextObserver>>,
    /// Permissions beyond the usual ones, such as `network.host`.
    pub entitlements: Vec<String>,
    /// The rules for the sources of the build. They need [`Capabilities::SOURCE_POLICY`](pgateway::Capabilities::SOURCE_POLICY):
    /// a builder without it would build as if there were none, so the build is refused there.
    pub source_policy: Option<SourcePolicy>,
    /// How much the engine keeps of the build's log.
    pub history: History,
    /// Other targets whose results this build has for named contexts. They count only with a transformation.
    pub targets: Vec<TargetContext>,
    /// Caches to read.
    pub cache_imports: Vec<CacheEntry>,
    /// Caches to write.
    pub cache_exports: Vec<CacheEntry>,
}

/// The result of another target as a named context of a build. It is solved within that build, and its files come from a
/// session of its own.
#[derive(Clone)]
pub struct TargetContext {
    /// The context's name, as the frontend asks for it.
    pub name: String,
    /// The target's key: no other target of the build has it.
    pub key: String,
    /// The frontend's attributes for the target.
    pub attributes: BTreeMap<String, String>,
    /// Its local directories by the name under which the frontend asks for them.
    pub locals: BTreeMap<String, Local>,
    /// The key by which the engine finds the files that an earlier build sent.
    pub shared_key: String,
    /// The targets that it builds on itself.
    pub targets: Vec<TargetContext>,
}

/// An exporter and its attributes.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// `moby` puts the image into the engine's store; it is the one that every engine has.
    pub kind: String,
    /// For example `name`, a list with commas; without it the image has no name.
    pub attributes: BTreeMap<String, String>,
    /// The receiver of the exporter's results: archives and trees are sent, images in a store are not.
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

/// How much the engine keeps of the build's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// A record with the raw log, as docker does. The log holds whatever steps print, secrets too.
    Keep,
    /// Nothing (`internal`), on engines that know how; older engines keep no history at all.
    Nothing,
}

impl BuildRequest {
    /// Requests a build of `dockerfile.v0` with the attribute that docker's own builder always sends: images that the
    /// engine has are used as they are.
    #[must_use]
    pub fn dockerfile() -> Self {
        let attributes = [("image-resolve-mode".to_owned(), "local".to_owned())];
        Self {
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

/// Makes the key under which docker's builder keeps a context: its folder's name and this machine's build identity.
///
/// The same key means that a context that docker sent is not sent again by us, and the other way round. The identity is
/// in `buildx/.buildNodeID` of the docker client's folder (or in `BUILDX_CONFIG`); where docker never built, the
/// context's whole path stands in for it.
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
