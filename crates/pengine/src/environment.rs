//! The settings of the process environment and the command line that choose the engine.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// The environment variables that choose the engine. They are read once, so that tests need not change the process.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `DOCKER_HOST`: an address, which wins over contexts.
    pub docker_host: Option<String>,
    /// `DOCKER_CONTEXT`: a context's name.
    pub docker_context: Option<String>,
    /// `DOCKER_CONFIG`: the docker client's folder instead of `~/.docker`.
    pub docker_config: Option<PathBuf>,
    /// `DOCKER_TLS_VERIFY`: any value turns TLS on for `DOCKER_HOST`.
    pub docker_tls_verify: bool,
    /// `DOCKER_CERT_PATH`: the folder of `ca.pem`, `cert.pem` and `key.pem` instead of `~/.docker`.
    pub docker_cert_path: Option<PathBuf>,
    /// `BUILDX_BUILDER`: a builder's name.
    pub buildx_builder: Option<String>,
    /// `BUILDX_CONFIG`: the folder of builders instead of `buildx` in the docker client's folder.
    pub buildx_config: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`: the folder in which a rootless engine has its socket.
    pub runtime_directory: Option<PathBuf>,
}

impl Environment {
    /// Reads the variables of this process. Like docker, it treats an empty variable as unset.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str| env::var_os(name).filter(|value: &OsString| !value.is_empty()).map(PathBuf::from);
        Self {
            docker_host: text("DOCKER_HOST"),
            docker_context: text("DOCKER_CONTEXT"),
            docker_config: path("DOCKER_CONFIG"),
            docker_tls_verify: path("DOCKER_TLS_VERIFY").is_some(),
            docker_cert_path: path("DOCKER_CERT_PATH"),
            buildx_builder: text("BUILDX_BUILDER"),
            buildx_config: path("BUILDX_CONFIG"),
            home: path("HOME"),
            runtime_directory: path("XDG_RUNTIME_DIR"),
        }
    }

    /// Returns the docker client's folder, or `None` if neither `DOCKER_CONFIG` nor `HOME` is set.
    #[must_use]
    pub fn docker_folder(&self) -> Option<PathBuf> {
        self.docker_config.clone().or_else(|| self.home.as_ref().map(|home| home.join(".docker")))
    }

    /// Returns the folder that describes the builders, or `None` if no variable says where it is.
    #[must_use]
    pub fn builders_folder(&self) -> Option<PathBuf> {
        self.buildx_config.clone().or_else(|| self.docker_folder().map(|folder| folder.join("buildx")))
    }
}

/// The flags of the command line, which win over the environment.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// An address, as in `docker --host`.
    pub host: Option<String>,
    /// A context's name, as in `docker --context`.
    pub context: Option<String>,
    /// A builder's name or address, as in `docker buildx build --builder`.
    pub builder: Option<String>,
    /// The name of one of the builder's nodes.
    pub node: Option<String>,
}
