//! The errors of a connection to an engine, each with its own advice for people.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::version::ApiVersion;

/// The reason why an engine cannot be used.
///
/// No message contains the body of a response, because a proxy or a broken engine may echo what it received.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A file of the docker client's configuration cannot be read.
    #[error("failed to read {}", path.display())]
    ReadConfiguration {
        /// The file.
        path: PathBuf,
        /// The reason why the file cannot be read.
        source: io::Error,
    },
    /// A file of the docker client's configuration has a wrong format.
    #[error("{} is not valid: {problem}", path.display())]
    BrokenConfiguration {
        /// The file.
        path: PathBuf,
        /// The line, the column and the kind of the problem, never the text of the file.
        problem: String,
    },
    /// The named docker context does not exist.
    #[error("docker context `{name}` does not exist: {} is missing", path.display())]
    ContextMissing {
        /// The name, from a flag, `DOCKER_CONTEXT` or `currentContext`.
        name: String,
        /// The file that would describe the context.
        path: PathBuf,
    },
    /// An address that docker would not understand either.
    #[error("engine address `{address}` is not valid: {problem}")]
    Address {
        /// The address, without user name and password.
        address: String,
        /// The problem of the address.
        problem: &'static str,
    },
    /// A certificate or key cannot be used.
    #[error("failed to set up TLS with {}: {problem}", path.display())]
    Certificate {
        /// The file or folder.
        path: PathBuf,
        /// The problem of the certificate or key.
        problem: String,
    },
    /// The endpoint is set to use TLS without a check of the engine's certificate. We refuse that, because secrets
    /// travel over the connection.
    #[error(
        "{endpoint} is set to skip the TLS check of the engine's certificate, which would let anybody read the secrets"
    )]
    UncheckedTls {
        /// The endpoint.
        endpoint: String,
    },
    /// No engine answers: the socket does not exist, or the connection is refused.
    #[error("no engine answers at {endpoint}")]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// The refused connection.
        source: io::Error,
    },
    /// No BuildKit answers at the address of a builder.
    #[error("no BuildKit answers at {endpoint}")]
    NoBuilder {
        /// The endpoint.
        endpoint: String,
        /// The refused connection.
        source: io::Error,
    },
    /// Neither a builder nor a docker context has this name.
    #[error("builder `{name}` does not exist ({origin}); {}", known_builders(folder, known))]
    BuilderMissing {
        /// The name.
        name: String,
        /// The flag, the variable or the file that named the builder.
        origin: &'static str,
        /// The folder that describes the builders.
        folder: PathBuf,
        /// The names of the builders that exist.
        known: Vec<String>,
    },
    /// A program in a container could not be started.
    #[error("failed to start a program in container {container}")]
    Exec {
        /// The container.
        container: String,
        /// The engine's own error.
        source: Box<bollard::errors::Error>,
    },
    /// The builder is of a kind that is not supported.
    #[error("builder `{name}` cannot be used: {problem}")]
    BuilderUnsupported {
        /// The name.
        name: String,
        /// The builder's driver, or another reason.
        problem: String,
    },
    /// The node that `--builder-node` names is none of the builder's.
    #[error("the builder has no node `{name}` (--builder-node); it has {}", known.join(", "))]
    NodeMissing {
        /// The name.
        name: String,
        /// The builder's nodes.
        known: Vec<String>,
    },
    /// The container or the engine of a builder is missing or does not run.
    #[error("builder `{name}` does not run: {problem}")]
    BuilderStopped {
        /// The name.
        name: String,
        /// The thing that is missing.
        problem: String,
    },
    /// The socket exists, but this user may not open it.
    #[error("no permission to use the engine at {endpoint}")]
    Permission {
        /// The endpoint.
        endpoint: String,
        /// The refused connection.
        source: io::Error,
    },
    /// The other side accepted the connection and then sent nothing.
    #[error("the engine at {endpoint} accepted the connection and did not answer within {} s", waited.as_secs())]
    Silent {
        /// The endpoint.
        endpoint: String,
        /// The time that we waited.
        waited: Duration,
    },
    /// The user demands a private connection, and everybody on the network path could read this one.
    #[error("{endpoint} is reached over plain TCP, and --require-tls forbids that")]
    Plaintext {
        /// The endpoint.
        endpoint: String,
    },
    /// The TLS handshake failed.
    #[error("TLS with {endpoint} failed")]
    Tls {
        /// The endpoint.
        endpoint: String,
        /// The reason why the handshake failed.
        source: io::Error,
    },
    /// `ssh` could not be started, or ended before an engine answered through it.
    #[error("ssh to {endpoint} failed{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Ssh {
        /// The endpoint.
        endpoint: String,
        /// The last line that ssh wrote, cut to 200 bytes.
        said: String,
    },
    /// The other side does not speak the engine's protocol.
    #[error("what answers at {endpoint} is not a container engine: {problem}")]
    NotAnEngine {
        /// The endpoint.
        endpoint: String,
        /// What the other side answered instead.
        problem: String,
    },
    /// The engine's API is older than the oldest that we can use.
    #[error("the engine at {endpoint} speaks API {found}; {needed} or newer is needed (Docker 19.03)")]
    TooOld {
        /// The endpoint.
        endpoint: String,
        /// The version that the engine offers.
        found: ApiVersion,
        /// The oldest version that is accepted.
        needed: ApiVersion,
    },
    /// The engine refused to hand over a connection, for example because it has no BuildKit.
    #[error("the engine at {endpoint} refused {path} with HTTP {status}")]
    UpgradeRefused {
        /// The endpoint.
        endpoint: String,
        /// The path of the request.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// The connection ended in the middle of a request.
    #[error("the connection to the engine at {endpoint} ended during {during}")]
    Lost {
        /// The endpoint.
        endpoint: String,
        /// The request that was under way.
        during: String,
        /// The cause, as far as the transport knows it.
        source: hyper::Error,
    },
}

impl EngineError {
    /// Returns true if the command line or the configuration is wrong, so that no engine was contacted.
    ///
    /// All other errors mean that no engine can be reached, or that the connection to it was lost.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::ReadConfiguration { .. }
            | Self::BrokenConfiguration { .. }
            | Self::ContextMissing { .. }
            | Self::Address { .. }
            | Self::Certificate { .. }
            | Self::UncheckedTls { .. }
            | Self::BuilderMissing { .. }
            | Self::BuilderUnsupported { .. }
            | Self::NodeMissing { .. }
            | Self::Plaintext { .. } => true,
            Self::Unreachable { .. }
            | Self::NoBuilder { .. }
            | Self::Exec { .. }
            | Self::BuilderStopped { .. }
            | Self::Permission { .. }
            | Self::Silent { .. }
            | Self::Tls { .. }
            | Self::Ssh { .. }
            | Self::NotAnEngine { .. }
            | Self::TooOld { .. }
            | Self::UpgradeRefused { .. }
            | Self::Lost { .. } => false,
        }
    }

    /// Returns advice for the user, or `None` if the message already contains it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::Unreachable { .. } => "start Docker, or name another engine with DOCKER_HOST or `docker context use`",
            Self::NoBuilder { .. } => "start the builder, or choose another with --builder or `docker buildx use`",
            Self::BuilderMissing { .. } | Self::NodeMissing { .. } => {
                "`docker buildx ls` lists the builders that exist, and their nodes"
            }
            Self::BuilderUnsupported { .. } => {
                "choose another with --builder: one of the drivers docker, docker-container or remote, or an address"
            }
            Self::BuilderStopped { name, .. } => {
                return Some(format!("`docker buildx inspect --bootstrap {name}` starts it"));
            }
            Self::Permission { .. } => {
                "add yourself to the group that owns the socket (usually `docker`) and log in again, or use sudo"
            }
            Self::Silent { .. } | Self::NotAnEngine { .. } => {
                "check DOCKER_HOST and the docker context, or restart the engine"
            }
            Self::Tls { .. } => {
                "the engine's certificate must be of the authority in `ca`, and the engine must trust that of `cert` \
                 (docker context, or DOCKER_CERT_PATH)"
            }
            Self::Ssh { .. } => "see what `ssh HOST docker version` says",
            Self::TooOld { .. } => "Docker 20.10 or newer has what pbuild and prun need",
            Self::Address { .. } => "write unix:///path, tcp://host:port or ssh://user@host",
            Self::ContextMissing { .. } => "`docker context ls` lists the contexts that exist",
            Self::ReadConfiguration { .. }
            | Self::BrokenConfiguration { .. }
            | Self::Certificate { .. }
            | Self::UncheckedTls { .. }
            | Self::Plaintext { .. }
            | Self::Exec { .. }
            | Self::UpgradeRefused { .. }
            | Self::Lost { .. } => return None,
        };
        Some(text.to_owned())
    }
}

fn known_builders(folder: &Path, known: &[String]) -> String {
    let folder = folder.display();
    match known {
        [] => format!("{folder} describes none"),
        known => format!("{folder} describes {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_names_is_usage_and_what_does_not_answer_is_not() {
        let missing = EngineError::ContextMissing { name: "nope".to_owned(), path: "/contexts/nope".into() };
        assert!(missing.is_usage() && missing.help().is_some_and(|help| help.contains("docker context ls")));
        let ssh = EngineError::Ssh { endpoint: "ssh://nobody@127.0.0.1:1".to_owned(), said: String::new() };
        assert!(!ssh.is_usage() && ssh.help().is_some_and(|help| help.contains("ssh HOST docker version")));
        let plain = EngineError::Plaintext { endpoint: "tcp://127.0.0.1:2375".to_owned() };
        assert!(plain.is_usage() && plain.help().is_none());
    }
}
