//! The docker client's own files: `config.json` and the context store.
//!
//! The formats are those of docker/cli `cli/config/configfile` and `cli/context/store`: `contexts/meta/<sha256 of
//! name>/meta.json` and `contexts/tls/<sha256 of name>/docker/{ca,cert,key}.pem`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::error::EngineError;

/// The part of `config.json` that names the engine, the registry credentials and the proxies.
#[derive(Default, Deserialize)]
pub struct DockerConfiguration {
    /// The context that `docker context use` chose.
    #[serde(default, rename = "currentContext")]
    pub current_context: Option<String>,
    /// The credentials that the file itself holds, by registry host.
    #[serde(default)]
    pub auths: BTreeMap<String, RegistryEntry>,
    /// The credential helper for all registries without an entry in `credential_helpers`: the part of the program's
    /// name after `docker-credential-`.
    #[serde(default, rename = "credsStore")]
    pub credentials_store: Option<String>,
    /// The credential helpers of single registries, by registry host.
    #[serde(default, rename = "credHelpers")]
    pub credential_helpers: BTreeMap<String, String>,
    /// The proxies for containers and builds, by engine address; the entry `default` serves all other engines.
    #[serde(default)]
    proxies: BTreeMap<String, Proxies>,
}

/// The proxies of containers and builds. The type has no `Debug`, because a proxy's address may hold credentials.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Proxies {
    http_proxy: String,
    https_proxy: String,
    no_proxy: String,
    ftp_proxy: String,
}

/// One entry of `auths`. The type has no `Debug`, because it holds credentials.
#[derive(Default, Deserialize)]
pub struct RegistryEntry {
    /// Base64 of `user:password`.
    #[serde(default)]
    pub auth: String,
    /// The user name, which only files written by hand contain.
    #[serde(default)]
    pub username: String,
    /// The password, which only files written by hand contain.
    #[serde(default)]
    pub password: String,
    /// A refresh token of the registry's token service.
    #[serde(default, rename = "identitytoken")]
    pub identity_token: String,
}

impl DockerConfiguration {
    /// Reads `config.json` of the docker client's folder. A missing file counts as an empty configuration.
    ///
    /// # Errors
    ///
    /// Returns [`EngineError::ReadConfiguration`] or [`EngineError::BrokenConfiguration`], both with the path.
    pub fn read(docker_folder: &Path) -> Result<Self, EngineError> {
        read_json(&docker_folder.join("config.json")).map(Option::unwrap_or_default)
    }

    /// Returns the proxies for builds on an engine, by the names of their build arguments. Like docker's buildx, this
    /// takes the entry for the engine's address, or the `default` entry if the address has none.
    #[must_use]
    pub fn proxies(&self, engine: &str) -> Vec<(&'static str, &str)> {
        let Some(proxies) = self.proxies.get(engine).or_else(|| self.proxies.get("default")) else { return Vec::new() };
        let named = [
            ("HTTP_PROXY", &proxies.http_proxy),
            ("HTTPS_PROXY", &proxies.https_proxy),
            ("NO_PROXY", &proxies.no_proxy),
            ("FTP_PROXY", &proxies.ftp_proxy),
        ];
        named.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.as_str())).collect()
    }
}

/// A docker context as the context store describes it.
pub(crate) struct Context {
    /// The engine's address; empty means the default socket.
    pub(crate) host: String,
    /// True if the context asks the client not to check the engine's certificate.
    pub(crate) skip_tls_verify: bool,
    /// The folder with `ca.pem`, `cert.pem`, `key.pem`, if the context has one.
    pub(crate) certificates: Option<PathBuf>,
}

#[derive(Deserialize)]
struct ContextMetadata {
    #[serde(default, rename = "Endpoints")]
    endpoints: BTreeMap<String, ContextEndpoint>,
}

#[derive(Default, Deserialize)]
struct ContextEndpoint {
    #[serde(default, rename = "Host")]
    host: String,
    #[serde(default, rename = "SkipTLSVerify")]
    skip_tls_verify: bool,
}

impl Context {
    /// Returns true if the context store has a context of this name.
    pub(crate) fn exists(docker_folder: &Path, name: &str) -> bool {
        let id = base16ct::lower::encode_string(&Sha256::digest(name.as_bytes()));
        docker_folder.join("contexts/meta").join(id).join("meta.json").is_file()
    }

    /// Reads a context by name.
    pub(crate) fn read(docker_folder: &Path, name: &str) -> Result<Self, EngineError> {
        let id = base16ct::lower::encode_string(&Sha256::digest(name.as_bytes()));
        let path = docker_folder.join("contexts/meta").join(&id).join("meta.json");
        let Some(mut metadata) = read_json::<ContextMetadata>(&path)? else {
            return Err(EngineError::ContextMissing { name: name.to_owned(), path });
        };
        let Some(endpoint) = metadata.endpoints.remove("docker") else {
            return Err(EngineError::BrokenConfiguration { path, problem: "it has no `docker` endpoint".to_owned() });
        };
        let certificates = docker_folder.join("contexts/tls").join(&id).join("docker");
        Ok(Self {
            host: endpoint.host,
            skip_tls_verify: endpoint.skip_tls_verify,
            certificates: certificates.is_dir().then_some(certificates),
        })
    }
}

/// The longest file of the docker client that [`read`] accepts, in bytes.
const LONGEST: u64 = 4 << 20;

/// Reads a file of the docker client. Devices and pipes are refused, because reading them might never end.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    if metadata.len() > LONGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 4 MiB"));
    }
    fs::read(path)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, EngineError> {
    let text = match read(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(source) => return Err(EngineError::ReadConfiguration { path: path.to_owned(), source }),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| EngineError::BrokenConfiguration {
        path: path.to_owned(),
        // The parser's own message may quote the text, and these files hold credentials.
        problem: format!("{} at line {}, column {}", kind(&error), error.line(), error.column()),
    })
}

fn kind(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Io => "it cannot be read",
        serde_json::error::Category::Syntax => "not JSON",
        serde_json::error::Category::Data => "a value of another type is needed",
        serde_json::error::Category::Eof => "the file ends too early",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_has_its_own_proxies_or_the_default_ones() {
        let text = r#"{"proxies": {
            "default": {"httpProxy": "http://all:1", "noProxy": "localhost"},
            "tcp://far:2376": {"httpsProxy": "http://far:2", "ftpProxy": "ftp://far:3"}}}"#;
        let configuration: DockerConfiguration = serde_json::from_str(text).expect("a configuration");
        let default = [("HTTP_PROXY", "http://all:1"), ("NO_PROXY", "localhost")];
        assert_eq!(configuration.proxies("unix:///var/run/docker.sock"), default);
        assert_eq!(
            configuration.proxies("tcp://far:2376"),
            [("HTTPS_PROXY", "http://far:2"), ("FTP_PROXY", "ftp://far:3")]
        );
        assert_eq!(DockerConfiguration::default().proxies("unix:///s"), []);
    }
}
