//! Opening one connection to an engine over any transport.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::address::Address;
use crate::endpoint::{Endpoint, Origin};
use crate::error::EngineError;
use crate::refusal::Refusable;
use crate::ssh::SshStream;

/// A stream of bytes in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A connection to an engine, of any transport.
pub type Connection = Box<dyn ByteStream>;

const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

impl Endpoint {
    /// Opens a connection without sending a request on it.
    ///
    /// # Errors
    ///
    /// Returns [`EngineError::Unreachable`], [`EngineError::Permission`], [`EngineError::Tls`] or
    /// [`EngineError::Ssh`] if the connection cannot be opened, and [`EngineError::Silent`] if it is not open after
    /// `patience`.
    pub async fn dial(&self, patience: Duration) -> Result<Connection, EngineError> {
        match tokio::time::timeout(patience, self.dial_without_limit()).await {
            Ok(connection) => connection,
            Err(_) => Err(EngineError::Silent { endpoint: self.to_string(), waited: patience }),
        }
    }

    async fn dial_without_limit(&self) -> Result<Connection, EngineError> {
        match self.address() {
            Address::Unix(path) => self.dial_unix(path).await,
            Address::Tcp { host, port } => self.dial_tcp(host, *port).await,
            Address::Ssh { user, host, port, socket } => {
                let stream = SshStream::spawn(user.as_deref(), host, *port, socket.as_deref());
                stream.map(|stream| Box::new(stream) as Connection).map_err(|error| EngineError::Ssh {
                    endpoint: self.to_string(),
                    said: format!("ssh cannot be started: {error}"),
                })
            }
        }
    }

    async fn dial_unix(&self, path: &Path) -> Result<Connection, EngineError> {
        let stream = UnixStream::connect(path).await.map_err(|error| self.refused(error))?;
        Ok(Box::new(stream))
    }

    async fn dial_tcp(&self, host: &str, port: Option<u16>) -> Result<Connection, EngineError> {
        let default = if self.tls().is_some() { TLS_PORT } else { PLAIN_PORT };
        let stream = TcpStream::connect((host, port.unwrap_or(default))).await.map_err(|error| self.refused(error))?;
        // Without this option, small frames of a session wait for acknowledgements.
        stream.set_nodelay(true).map_err(|error| self.refused(error))?;
        match self.tls() {
            None => Ok(Box::new(stream)),
            Some(tls) => self.start_tls(tls.name.as_deref().unwrap_or(host), stream, &tls.client).await,
        }
    }

    async fn start_tls(
        &self,
        host: &str,
        stream: TcpStream,
        configuration: &Arc<ClientConfig>,
    ) -> Result<Connection, EngineError> {
        let failed = |source| EngineError::Tls { endpoint: self.to_string(), source };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(io::Error::other(error)))?;
        let stream = TlsConnector::from(Arc::clone(configuration)).connect(name, stream).await.map_err(failed)?;
        Ok(Box::new(Refusable(stream)))
    }

    fn refused(&self, source: io::Error) -> EngineError {
        let endpoint = self.to_string();
        match source.kind() {
            io::ErrorKind::PermissionDenied => EngineError::Permission { endpoint, source },
            _ if matches!(self.origin(), Origin::Builder(_)) => EngineError::NoBuilder { endpoint, source },
            _ => EngineError::Unreachable { endpoint, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b1_a_closed_door_is_a_matter_of_permission_and_all_else_of_reach() {
        let endpoint = Endpoint::plain("unix:///var/run/docker.sock").unwrap();
        let closed = endpoint.refused(io::Error::from(io::ErrorKind::PermissionDenied));
        assert!(matches!(closed, EngineError::Permission { .. }), "{closed}");
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused, io::ErrorKind::HostUnreachable] {
            let missing = endpoint.refused(io::Error::from(kind));
            assert!(matches!(missing, EngineError::Unreachable { .. }), "{missing}");
        }
    }

    #[tokio::test]
    async fn an_ssh_that_fails_is_told_apart_with_its_last_words() {
        // Where ssh is installed, port 1 of this machine refuses the connection at once; elsewhere ssh cannot be
        // started.
        let endpoint = Endpoint::plain("ssh://nobody@127.0.0.1:1").unwrap();
        let error = crate::Engine::connect_within(&endpoint, Duration::from_secs(20)).await.unwrap_err();
        assert!(matches!(&error, EngineError::Ssh { said, .. } if !said.is_empty()), "{error}");
    }
}
