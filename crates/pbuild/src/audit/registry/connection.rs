//! Connections to the hosts of registries and buckets: with TLS and the authorities that docker would trust, or with
//! plain HTTP to this machine or to a store whose address the user gave with `http://`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::authority;
use super::error::RegistryError;

/// The longest wait for a connection and the head of an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest time without progress in an upload. A server that has received a whole blob may need time to store it.
const UPLOAD_PATIENCE: Duration = Duration::from_mins(2);

/// A connection, with or without TLS.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The cases in which plain HTTP is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    /// Plain HTTP is never allowed.
    Never,
    /// As in docker, plain HTTP is allowed with a registry of this machine, even if its address does not say `http`.
    OfThisMachine,
    /// Plain HTTP is allowed if the address that the user wrote says `http`.
    Asked,
}

/// The body of a request that writes, with a counter of the pieces that were read from it.
pub(crate) struct Upload {
    pub(crate) body: UnsyncBoxBody<Bytes, io::Error>,
    pub(crate) taken: Arc<AtomicU64>,
}

impl Upload {
    /// Makes a body of bytes in memory.
    pub(crate) fn of_bytes(bytes: Bytes) -> Self {
        let body = Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
        Self { body, taken: Arc::default() }
    }
}

/// Makes connections to one host, and to the hosts that it redirects to.
pub(crate) struct Connections {
    tls: Arc<ClientConfig>,
    plain: Plain,
}

impl Connections {
    /// Reads the certificates that apply to a host.
    ///
    /// # Errors
    /// Returns an error if the certificates cannot be read.
    pub(crate) fn new(host: &str, plain: Plain) -> Result<Self, RegistryError> {
        Ok(Self { tls: authority::configuration(host, &authority::folders())?, plain })
    }

    /// Sends one small request.
    pub(super) async fn send(
        &self,
        uri: &Uri,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, RegistryError> {
        let answer = tokio::time::timeout(PATIENCE, self.transmit(uri, request)).await;
        answer.map_err(|_| RegistryError::Silent)?
    }

    /// Sends a request with a body of any length. The request is given up when nothing moves for [`UPLOAD_PATIENCE`].
    ///
    /// # Errors
    /// Returns an error if there is no answer.
    pub(crate) async fn send_upload(
        &self,
        uri: &Uri,
        request: Request<UnsyncBoxBody<Bytes, io::Error>>,
        taken: &AtomicU64,
    ) -> Result<Response<Incoming>, RegistryError> {
        tokio::select! {
            answer = self.transmit(uri, request) => answer,
            () = stalled(taken) => Err(RegistryError::Silent),
        }
    }

    /// Sends one request on a new connection.
    async fn transmit<B>(&self, uri: &Uri, mut request: Request<B>) -> Result<Response<Incoming>, RegistryError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let host = uri.authority().ok_or(RegistryError::Protocol("an address without a host"))?.clone();
        let path = uri.path_and_query().cloned().unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(path);
        let name = HeaderValue::from_str(host.as_str()).map_err(|_| RegistryError::Protocol("a host's name"))?;
        request.headers_mut().insert(HOST, name);
        let agent = HeaderValue::from_static(concat!("pbuild/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(USER_AGENT, agent);
        let stream = self.connect(uri, &host).await?;
        let lost = |_| RegistryError::Unreachable(io::ErrorKind::ConnectionAborted);
        let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        // The task ends with the connection. An error of the connection is also returned to the reader of the answer.
        tokio::spawn(async move { drop(driver.await) });
        sender.send_request(request).await.map_err(lost)
    }

    async fn connect(&self, uri: &Uri, authority: &http::uri::Authority) -> Result<Box<dyn Stream>, RegistryError> {
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_this_machine = self.plain == Plain::OfThisMachine && is_loopback(host);
        let plain = uri.scheme_str() == Some("http");
        if plain && !is_this_machine && self.plain != Plain::Asked {
            return Err(RegistryError::Protocol("an address without TLS"));
        }
        let port = authority.port_u16().unwrap_or(if plain { 80 } else { 443 });
        let dial = async || {
            let stream = TcpStream::connect((host, port)).await;
            stream.map_err(|error| RegistryError::Unreachable(error.kind()))
        };
        if plain {
            return Ok(Box::new(dial().await?));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| RegistryError::Tls(error.to_string()))?;
        match TlsConnector::from(Arc::clone(&self.tls)).connect(name, dial().await?).await {
            Ok(stream) => Ok(Box::new(stream)),
            // As in docker, plain HTTP is used with a registry of this machine that does not answer with TLS.
            Err(error) if is_this_machine && speaks_no_tls(&error) => Ok(Box::new(dial().await?)),
            Err(error) => Err(RegistryError::Tls(error.to_string())),
        }
    }
}

/// Returns when no piece of an upload was read for [`UPLOAD_PATIENCE`].
async fn stalled(taken: &AtomicU64) {
    loop {
        let before = taken.load(Ordering::Relaxed);
        tokio::time::sleep(UPLOAD_PATIENCE).await;
        if taken.load(Ordering::Relaxed) == before {
            return;
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn speaks_no_tls(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidMessage(_)))
}
