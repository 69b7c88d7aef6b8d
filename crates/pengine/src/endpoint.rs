//! The choice of the engine, and the way to reach it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::address::Address;
use crate::configuration::{Context, DockerConfiguration};
use crate::environment::{Environment, Flags};
use crate::error::EngineError;
use crate::tls;

/// The address of an engine, with the reason why this engine was chosen.
#[derive(Clone, Debug)]
pub struct Endpoint {
    address: Address,
    tls: Option<Tls>,
    origin: Origin,
}

/// The TLS settings of an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) client: Arc<ClientConfig>,
    /// The name that the certificate must have, if it differs from the host of the address.
    pub(crate) name: Option<String>,
}

impl From<Arc<ClientConfig>> for Tls {
    fn from(client: Arc<ClientConfig>) -> Self {
        Self { client, name: None }
    }
}

/// The setting that chose the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The flag `--host`.
    Flag,
    /// A builder of this name.
    Builder(String),
    /// The variable `DOCKER_HOST`.
    Environment,
    /// A docker context of this name, chosen by flag, `DOCKER_CONTEXT` or `docker context use`.
    Context(String),
    /// No setting: this is the socket that docker uses by default.
    Default,
    /// No setting: this is the socket of this user's rootless engine, because docker's default socket does not exist.
    Rootless,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => formatter.write_str("--host"),
            Self::Builder(name) => write!(formatter, "builder `{name}`"),
            Self::Environment => formatter.write_str("DOCKER_HOST"),
            Self::Context(name) => write!(formatter, "context `{name}`"),
            Self::Default => formatter.write_str("default context"),
            Self::Rootless => formatter.write_str("rootless"),
        }
    }
}

/// The parties that can read the bytes of a connection to an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Only the engine can read the bytes: the connection is a local socket, TLS with a checked certificate, or ssh.
    Private,
    /// Everybody on the network path can read the bytes, because the connection is plain TCP. Secrets deserve a loud
    /// warning (C16).
    Plaintext,
}

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

impl Endpoint {
    /// Finds the engine that docker itself would use.
    ///
    /// The first of these that is set wins: the host flag, the context flag, `DOCKER_HOST`, `DOCKER_CONTEXT`, and
    /// `currentContext` of `config.json`. If none is set, the default socket is used, or the rootless one if only
    /// that exists.
    ///
    /// # Errors
    ///
    /// Returns an error if an address or a file of the docker client is not valid, the context does not exist, or the
    /// certificates cannot be used.
    pub fn resolve(environment: &Environment, flags: &Flags) -> Result<Self, EngineError> {
        if let Some(host) = &flags.host {
            return Self::from_address(host, environment, Origin::Flag);
        }
        if flags.context.is_none()
            && let Some(host) = &environment.docker_host
        {
            return Self::from_address(host, environment, Origin::Environment);
        }
        let folder = environment.docker_folder();
        let name = match (flags.context.as_ref().or(environment.docker_context.as_ref()), &folder) {
            (Some(name), _) => Some(name.clone()),
            (None, Some(folder)) => DockerConfiguration::read(folder)?.current_context,
            (None, None) => None,
        };
        match (name.as_deref(), &folder) {
            (None | Some("" | "default"), _) => Ok(Self::local(environment)),
            (Some(name), Some(folder)) => Self::from_context(folder, name),
            (Some(name), None) => {
                Err(EngineError::ContextMissing { name: name.to_owned(), path: "~/.docker/contexts".into() })
            }
        }
    }

    /// Makes an endpoint without TLS from an address such as `unix:///run/docker.sock`.
    ///
    /// # Errors
    ///
    /// Returns [`EngineError::Address`] if the address is not valid.
    pub fn plain(address: &str) -> Result<Self, EngineError> {
        Ok(Self { address: Address::parse(address)?, tls: None, origin: Origin::Flag })
    }

    /// Makes an endpoint from an address at which BuildKit itself listens.
    pub(crate) fn of_builder(name: &str, address: Address, tls: Option<Tls>) -> Self {
        Self { address, tls, origin: Origin::Builder(name.to_owned()) }
    }

    fn from_address(host: &str, environment: &Environment, origin: Origin) -> Result<Self, EngineError> {
        let address = Address::parse(host)?;
        let is_tcp = matches!(address, Address::Tcp { .. });
        let tls = if is_tcp && (environment.docker_tls_verify || host.starts_with("https://")) {
            let folder = environment.docker_cert_path.clone().or_else(|| environment.docker_folder());
            Some(tls::client(folder.as_deref())?.into())
        } else {
            None
        };
        Ok(Self { address, tls, origin })
    }

    fn from_context(docker_folder: &Path, name: &str) -> Result<Self, EngineError> {
        let context = Context::read(docker_folder, name)?;
        let address = Address::parse(if context.host.is_empty() { "unix://" } else { &context.host })?;
        let is_tcp = matches!(address, Address::Tcp { .. });
        if is_tcp && context.skip_tls_verify {
            return Err(EngineError::UncheckedTls { endpoint: format!("docker context `{name}`") });
        }
        let wants_tls = is_tcp && (context.certificates.is_some() || context.host.starts_with("https://"));
        let tls = if wants_tls { Some(tls::client(context.certificates.as_deref())?.into()) } else { None };
        Ok(Self { address, tls, origin: Origin::Context(name.to_owned()) })
    }

    fn local(environment: &Environment) -> Self {
        let rootless = environment.runtime_directory.as_ref().map(|folder| folder.join("docker.sock"));
        match rootless {
            Some(socket) if !Path::new(DEFAULT_SOCKET).exists() && socket.exists() => {
                Self { address: Address::Unix(socket), tls: None, origin: Origin::Rootless }
            }
            _ => Self { address: Address::Unix(DEFAULT_SOCKET.into()), tls: None, origin: Origin::Default },
        }
    }

    /// Returns the setting that chose this engine.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns whether anybody else can read the bytes of a connection.
    #[must_use]
    pub fn safety(&self) -> Safety {
        match (&self.address, &self.tls) {
            (Address::Tcp { .. }, None) => Safety::Plaintext,
            (Address::Tcp { .. } | Address::Unix(_) | Address::Ssh { .. }, _) => Safety::Private,
        }
    }

    /// Refuses an endpoint whose traffic everybody on the network path can read (C16).
    ///
    /// # Errors
    ///
    /// Returns [`EngineError::Plaintext`] if the endpoint is reached over plain TCP.
    pub fn require_private(&self) -> Result<(), EngineError> {
        match self.safety() {
            Safety::Private => Ok(()),
            Safety::Plaintext => Err(EngineError::Plaintext { endpoint: self.to_string() }),
        }
    }

    /// Returns whether the engine is reached through a socket of this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;

    struct Home(TempDir);

    impl Home {
        fn new() -> Self {
            Self(TempDir::new().unwrap())
        }

        fn write(&self, path: &str, text: &str) -> PathBuf {
            let path = self.0.path().join(".docker").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        }

        fn environment(&self) -> Environment {
            Environment { home: Some(self.0.path().into()), ..Environment::default() }
        }

        fn context(&self, name: &str, meta: &str) {
            use sha2::{Digest, Sha256};
            let id = base16ct::lower::encode_string(&Sha256::digest(name));
            self.write(&format!("contexts/meta/{id}/meta.json"), meta);
        }
    }

    fn host_of(environment: &Environment, flags: &Flags) -> String {
        Endpoint::resolve(environment, flags).unwrap().to_string()
    }

    #[test]
    fn the_first_that_is_set_wins_in_docker_s_order() {
        let home = Home::new();
        home.write("config.json", r#"{"currentContext": "current"}"#);
        for name in ["current", "named", "flagged"] {
            let meta = format!(r#"{{"Name":"{name}","Endpoints":{{"docker":{{"Host":"tcp://{name}:1"}}}}}}"#);
            home.context(name, &meta);
        }
        let mut environment = home.environment();
        let mut flags = Flags::default();
        assert_eq!(host_of(&environment, &flags), "tcp://current:1");
        environment.docker_context = Some("named".into());
        assert_eq!(host_of(&environment, &flags), "tcp://named:1");
        environment.docker_host = Some("tcp://variable:1".into());
        assert_eq!(host_of(&environment, &flags), "tcp://variable:1");
        flags.context = Some("flagged".into());
        assert_eq!(host_of(&environment, &flags), "tcp://flagged:1");
        flags.host = Some("tcp://host:1".into());
        assert_eq!(host_of(&environment, &flags), "tcp://host:1");
    }

    #[test]
    fn c17_broken_configuration_is_named_by_path_and_never_quoted() {
        let home = Home::new();
        let path = home.write("config.json", "{\"auths\": {\"r\": {\"auth\": hunter22\n");
        let message = Endpoint::resolve(&home.environment(), &Flags::default()).unwrap_err().to_string();
        assert!(message.contains(path.to_str().unwrap()), "{message}");
        assert!(message.contains("line 1"), "{message}");
        assert!(!message.contains("hunter22"), "{message}");
    }

    #[test]
    fn an_unknown_context_is_an_error_with_its_name() {
        let home = Home::new();
        let flags = Flags { context: Some("nowhere".into()), ..Flags::default() };
        let error = Endpoint::resolve(&home.environment(), &flags).unwrap_err();
        assert!(matches!(&error, EngineError::ContextMissing { name, .. } if name == "nowhere"), "{error}");
    }

    #[test]
    fn a_context_that_skips_the_tls_check_is_refused() {
        let home = Home::new();
        home.context("lax", r#"{"Endpoints":{"docker":{"Host":"tcp://h:2376","SkipTLSVerify":true}}}"#);
        let flags = Flags { context: Some("lax".into()), ..Flags::default() };
        let error = Endpoint::resolve(&home.environment(), &flags).unwrap_err();
        assert!(matches!(error, EngineError::UncheckedTls { .. }), "{error}");
    }

    #[test]
    fn c16_plain_tcp_is_known_to_be_readable_by_others() {
        assert_eq!(Endpoint::plain("tcp://10.0.0.1:2375").unwrap().safety(), Safety::Plaintext);
        assert_eq!(Endpoint::plain("unix:///run/docker.sock").unwrap().safety(), Safety::Private);
        assert_eq!(Endpoint::plain("ssh://build").unwrap().safety(), Safety::Private);
    }

    #[test]
    fn the_rootless_socket_is_used_only_when_the_default_one_is_missing() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("docker.sock"), "").unwrap();
        let environment = Environment { runtime_directory: Some(folder.path().into()), ..Environment::default() };
        let endpoint = Endpoint::resolve(&environment, &Flags::default()).unwrap();
        let expected = if Path::new(DEFAULT_SOCKET).exists() { Origin::Default } else { Origin::Rootless };
        assert_eq!(endpoint.origin(), &expected);
    }

    #[test]
    fn tls_without_certificates_is_an_error_that_names_the_folder() {
        let home = Home::new();
        let environment = Environment {
            docker_host: Some("tcp://h:2376".into()),
            docker_tls_verify: true,
            docker_cert_path: Some(home.0.path().join("certificates")),
            ..home.environment()
        };
        let message = Endpoint::resolve(&environment, &Flags::default()).unwrap_err().to_string();
        assert!(message.contains("certificates"), "{message}");
    }
}
