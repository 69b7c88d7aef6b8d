//! HTTP/1.1 requests to an engine, each on a connection of its own, and connections that the engine hands over.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::endpoint::Endpoint;
use crate::error::EngineError;
use crate::ssh::SshEnded;

/// A connection that the engine handed over. It no longer carries HTTP/1.1, but the protocol that the request named.
pub struct Hijacked(TokioIo<Upgraded>);

impl fmt::Debug for Hijacked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hijacked")
    }
}

impl AsyncRead for Hijacked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Hijacked {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Sends one request on a connection of its own.
///
/// The request's URI is reduced to path and query. `Host` is always `docker`, because engines ignore the name, and
/// some of them refuse a socket path as the name.
pub(crate) async fn request<B>(
    endpoint: &Endpoint,
    mut request: Request<B>,
    patience: Duration,
) -> Result<Response<Incoming>, EngineError>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let path = request.uri().path().to_owned();
    let origin_form =
        request.uri().path_and_query().cloned().unwrap_or_else(|| http::uri::PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(origin_form);
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("docker"));
    let lost = |source: hyper::Error| lost(endpoint, &path, source);
    let connection = endpoint.dial(patience).await?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(connection)).await.map_err(lost)?;
    // This task ends when the connection ends.
    let driver = tokio::spawn(async move { driver.with_upgrades().await.err() });
    match sender.send_request(request).await {
        // The request was not sent at all; the error of the connection says why.
        Err(error) if error.is_canceled() => {
            drop(sender);
            Err(lost(driver.await.ok().flatten().unwrap_or(error)))
        }
        answer => answer.map_err(lost),
    }
}

fn lost(endpoint: &Endpoint, path: &str, source: hyper::Error) -> EngineError {
    let endpoint = endpoint.to_string();
    if let Some(ended) = cause::<SshEnded>(&source) {
        return EngineError::Ssh { endpoint, said: ended.said.clone() };
    }
    // With TLS 1.3, the engine refuses a client's certificate only after the handshake, so the alert arrives as a
    // lost request.
    if let Some(rustls::Error::AlertReceived(alert)) = cause(&source) {
        return EngineError::Tls { endpoint, source: io::Error::other(rustls::Error::AlertReceived(*alert)) };
    }
    if source.is_parse() {
        return EngineError::NotAnEngine { endpoint, problem: "its answer is not HTTP".to_owned() };
    }
    EngineError::Lost { endpoint, during: path.to_owned(), source }
}

/// Finds a cause of type `E` among the causes of an error of the connection.
fn cause<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        let inner = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| inner.downcast_ref::<E>()) {
            return Some(found);
        }
        cause = current.source();
    }
    None
}

/// A request that turns a connection into a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upgrade<'a> {
    pub(crate) path: &'a str,
    /// The protocol of the connection after the upgrade.
    pub(crate) protocol: &'static str,
    /// The body of the request: JSON, or empty.
    pub(crate) body: &'static str,
}

/// Asks the engine to hand over the connection of a `POST`.
///
/// The request has the headers `Connection: Upgrade` and `Upgrade`, with `h2c` for gRPC and sessions, or `tcp` for
/// the streams of a container. The engine answers with 101. Sources: moby `api/server/router/build`, `session`,
/// `grpc` and `container` routes.
pub(crate) async fn hijack(
    endpoint: &Endpoint,
    asked: Upgrade<'_>,
    headers: &[(&str, &str)],
    patience: Duration,
) -> Result<Hijacked, EngineError> {
    let Upgrade { path, protocol, body } = asked;
    let invalid = |_| EngineError::Address { address: endpoint.to_string(), problem: "a header is not valid" };
    let mut request_head = Request::builder()
        .method(http::Method::POST)
        .uri(path)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, protocol);
    if !body.is_empty() {
        request_head = request_head.header(header::CONTENT_TYPE, "application/json");
    }
    for (name, value) in headers {
        request_head = request_head.header(*name, HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid(()))?);
    }
    let body = http_body_util::Full::new(bytes::Bytes::from_static(body.as_bytes()));
    let request_head = request_head.body(body).map_err(|_| invalid(()))?;
    let work = async {
        let response = request(endpoint, request_head, patience).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(EngineError::UpgradeRefused {
                endpoint: endpoint.to_string(),
                path: path.to_owned(),
                status: response.status().as_u16(),
            });
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|source| lost(endpoint, path, source))?;
        Ok(Hijacked(TokioIo::new(upgraded)))
    };
    match tokio::time::timeout(patience, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(EngineError::Silent { endpoint: endpoint.to_string(), waited: patience }),
    }
}
