//! Opening one connection, whatever the transport.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, Command};
use tokio_rustls::TlsConnector;

use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::error::EngineError;

/// Bytes both ways.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A connection to an engine, of any transport.
pub type Connection = Box<dyn ByteStream>;

const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

impl Endpoint {
    /// Opens a connection. Nothing has been said on it yet.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unreachable`], [`EngineError::Permission`], [`EngineError::Tls`], [`EngineError::Ssh`], or
    /// [`EngineError::Silent`] after `patience`.
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
        // Without this, small frames of a session wait for acknowledgements.
        stream.set_nodelay(true).map_err(|error| self.refused(error))?;
        match self.tls() {
            None => Ok(Box::new(stream)),
            Some(configuration) => self.start_tls(host, stream, configuration).await,
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
        Ok(Box::new(stream))
    }

    fn refused(&self, source: io::Error) -> EngineError {
        let endpoint = self.to_string();
        match source.kind() {
            io::ErrorKind::PermissionDenied => EngineError::Permission { endpoint, source },
            _ => EngineError::Unreachable { endpoint, source },
        }
    }
}

/// The engine's socket on another machine, through `ssh … docker system dial-stdio`.
///
/// The same command as docker's own client (docker/cli `cli/connhelper`), so that whoever can use docker over ssh can
/// use this. ssh is killed when the stream is dropped.
struct SshStream {
    child: Child,
    input: tokio::process::ChildStdin,
    output: tokio::process::ChildStdout,
    said: Arc<Mutex<String>>,
}

const SAID_LIMIT: usize = 200;

impl SshStream {
    fn spawn(user: Option<&str>, host: &str, port: Option<u16>, socket: Option<&str>) -> io::Result<Self> {
        let mut command = Command::new("ssh");
        if let Some(user) = user {
            command.args(["-l", user]);
        }
        if let Some(port) = port {
            command.args(["-p", &port.to_string()]);
        }
        command.args(["-o", "ConnectTimeout=30", "-T", "--", host, "docker"]);
        if let Some(socket) = socket {
            command.arg(format!("--host=unix://{socket}"));
        }
        command.args(["system", "dial-stdio"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let missing = || io::Error::other("a pipe is missing");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = child.stdout.take().ok_or_else(missing)?;
        let error_output = child.stderr.take().ok_or_else(missing)?;
        let said = Arc::new(Mutex::new(String::new()));
        let writer = Arc::clone(&said);
        // Ends with ssh itself, which ends with the stream.
        tokio::spawn(async move {
            let mut lines = BufReader::new(error_output).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                let line = &line[..line.len().min(SAID_LIMIT)];
                let text: String = String::from_utf8_lossy(line).chars().filter(|c| !c.is_control()).collect();
                if !text.trim().is_empty() {
                    *writer.lock().unwrap_or_else(PoisonError::into_inner) = text.trim().to_owned();
                }
            }
        });
        Ok(Self { child, input, output, said })
    }

    /// ssh ended: an end of stream would hide what it said.
    fn explain(&mut self) -> Option<io::Error> {
        let status = self.child.try_wait().ok()??;
        if status.success() {
            return None;
        }
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(io::Error::new(io::ErrorKind::ConnectionAborted, SshEnded { said }))
    }
}

/// ssh ended with an error; carried through the HTTP layer to become [`EngineError::Ssh`].
#[derive(Debug, thiserror::Error)]
#[error("ssh ended: {said}")]
pub(crate) struct SshEnded {
    /// Its last line.
    pub(crate) said: String,
}

mod stream {
    //! The polling side of [`super::SshStream`].

    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    use super::SshStream;

    impl AsyncRead for SshStream {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let before = buffer.filled().len();
            let outcome = Pin::new(&mut self.output).poll_read(context, buffer);
            if matches!(outcome, Poll::Ready(Ok(()))) && buffer.filled().len() == before && buffer.remaining() > 0 {
                return Poll::Ready(self.explain().map_or(Ok(()), Err));
            }
            outcome
        }
    }

    impl AsyncWrite for SshStream {
        fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.input).poll_write(context, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.input).poll_flush(context)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.input).poll_shutdown(context)
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
        // Port 1 of this machine: refused at once where ssh is installed; where it is not, it cannot be started.
        let endpoint = Endpoint::plain("ssh://nobody@127.0.0.1:1").unwrap();
        let error = crate::Engine::connect_within(&endpoint, Duration::from_secs(20)).await.unwrap_err();
        assert!(matches!(&error, EngineError::Ssh { said, .. } if !said.is_empty()), "{error}");
    }
}
