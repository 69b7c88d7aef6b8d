//! Which engine is meant, and how it is reached.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::address::Address;
use crate::configuration::{Context, DockerConfiguration};
use crate::environment::{Environment, Flags};
use crate::error::EngineError;
use crate::tls;

/// The engine's place, and why it is that one.
#[derive(Clone, Debug)]
pub struct Endpoint {
    address: Address,
    tls: Option<Tls>,
    origin: Origin,
}

/// How an endpoint over TLS is spoken with.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) client: Arc<ClientConfig>,
    /// The name that the certificate must have, where that is not the host of the address.
    pub(crate) name: Option<String>,
}

impl From<Arc<ClientConfig>> for Tls {
    fn from(client: Arc<ClientConfig>) -> Self {
        Self { client, name: None }
    }
}

/// The way in which the engine was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `--host`.
    Flag,
    /// A builder, by this name.
    Builder(String),
    /// `DOCKER_HOST`.
    Environment,
    /// A docker context, by flag, `DOCKER_CONTEXT` or `docker context use`.
    Context(String),
    /// Nobody: the socket that docker uses by default.
    Default,
    /// Nobody: the socket of this user's rootless engine, because the default one does not exist.
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

/// Who can read what travels to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Nobody else: a local socket, TLS with a checked certificate, or ssh.
    Private,
    /// Everybody on the way: plain TCP. Secrets deserve a loud warning (C16).
    Plaintext,
}

const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

impl Endpoint {
    /// Finds the engine that docker itself would use.
    ///
    /// The first that is set wins: the host flag, the context flag, `DOCKER_HOST`, `DOCKER_CONTEXT`, `currentContext`
    /// of `config.json`, the default socket, and last the rootless one if only that exists.
    ///
    /// # Errors
    ///
    /// An address or a file of the docker client that is not valid; an unknown context; unusable certificates.
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

    /// Makes an endpoint of an address like `unix:///run/docker.sock`, without TLS.
    ///
    /// # Errors
    ///
    /// [`EngineError::Address`].
    pub fn plain(address: &str) -> Result<Self, EngineError> {
        Ok(Self { address: Address::parse(address)?, tls: None, origin: Origin::Flag })
    }

    /// Makes an endpoint of an address where BuildKit itself listens.
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

    /// The flag, the variable or the context that named this engine.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Who on the way can read the bytes of a connection.
    #[must_use]
    pub fn safety(&self) -> Safety {
        match (&self.address, &self.tls) {
            (Address::Tcp { .. }, None) => Safety::Plaintext,
            (Address::Tcp { .. } | Address::Unix(_) | Address::Ssh { .. }, _) => Safety::Private,
        }
    }

    /// Refuses an endpoint that everybody on the way can listen to (C16).
    ///
    /// # Errors
    ///
    /// [`EngineError::Plaintext`].
    pub fn require_private(&self) -> Result<(), EngineError> {
        match self.safety() {
            Safety::Private => Ok(()),
            Safety::Plaintext => Err(EngineError::Plaintext { endpoint: self.to_string() }),
        }
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
