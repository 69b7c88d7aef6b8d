//! Makes one gRPC channel over one connection: a hijacked connection of an engine, or a frontend's standard input and
//! output.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{Channel, Endpoint};

/// The largest accepted message. Definitions and results of large builds exceed gRPC's usual 4 MiB.
pub const MESSAGE_LIMIT: usize = 64 << 20;

/// The HTTP/2 window of a stream, in bytes, in both directions.
///
/// The HTTP/2 library (h2) ends a connection if too many small frames wait to be read: it counts about 250 bytes for
/// each, up to half the connection's window. BuildKit sends a frame for every file that it requests and every line of
/// a log. A stream's window limits how many frames can wait: in 64 KiB there are at most some 9000 frames of seven
/// bytes. A connection's window of 64 MiB ([`CONNECTION_WINDOW`]) allows far more than this, even for many streams,
/// and uses no memory until it is needed.
pub const STREAM_WINDOW: u32 = 64 << 10;
/// The HTTP/2 window of a connection, in bytes, in both directions; see [`STREAM_WINDOW`].
pub const CONNECTION_WINDOW: u32 = 64 << 20;

/// The longest accepted headers, which is the limit of gRPC's Go client. The details of an error are a header that
/// contains the whole Dockerfile. With the library's own limit of 16 KiB, an error in a long Dockerfile would look
/// like a broken connection.
const HEADER_LIMIT: u32 = 16 << 20;

/// The times that distinguish a dead engine from a busy one (B5).
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// After this time of silence, the engine is pinged.
    pub after: Duration,
    /// If the ping is not answered within this time, the connection is ended.
    pub patience: Duration,
}

impl Default for Probe {
    fn default() -> Self {
        Self { after: Duration::from_secs(20), patience: Duration::from_secs(20) }
    }
}

/// Opens a channel. It never reconnects: calls that were under way when the connection was lost fail.
///
/// A frontend needs no probe, because its standard input ends together with the builder that started it.
///
/// # Errors
///
/// Returns an error if the connection ends at once, or if the other side does not speak HTTP/2.
pub async fn open<C>(connection: C, probe: Option<Probe>) -> Result<Channel, tonic::Status>
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let once = Arc::new(Mutex::new(Some(connection)));
    let connector = tower::service_fn(move |_: http::Uri| {
        let once = Arc::clone(&once);
        async move {
            let connection = once.lock().unwrap_or_else(PoisonError::into_inner).take();
            let spent = || io::Error::new(io::ErrorKind::ConnectionAborted, "the connection ended");
            connection.map(TokioIo::new).ok_or_else(spent)
        }
    });
    let mut endpoint = Endpoint::from_static("http://localhost")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(HEADER_LIMIT);
    if let Some(Probe { after, patience }) = probe {
        endpoint = endpoint.http2_keep_alive_interval(after).keep_alive_timeout(patience).keep_alive_while_idle(true);
    }
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map_err(|error| tonic::Status::from_error(Box::new(error)))
}
