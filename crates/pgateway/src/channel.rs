//! One gRPC channel over one connection: a hijacked connection of an engine, or a frontend's standard input and output.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{Channel, Endpoint};

/// The largest message we take: definitions and results of large builds pass gRPC's usual 4 MiB.
pub const MESSAGE_LIMIT: usize = 64 << 20;

/// HTTP/2 windows, in bytes, for both directions of a connection.
///
/// The HTTP/2 library (h2) gives a connection up when too many small frames wait to be read, counting about 250 bytes
/// for each against half the connection's window; BuildKit sends a frame for every file it asks for and every line of a
/// log. A stream's window bounds how many can wait: 64 KiB hold at most some 9000 frames of seven bytes, which is far
/// from what a connection's window of 64 MiB allows for many streams. That window costs nothing until it is used.
pub const STREAM_WINDOW: u32 = 64 << 10;
/// See [`STREAM_WINDOW`].
pub const CONNECTION_WINDOW: u32 = 64 << 20;

/// The longest headers we take: what the Go client of gRPC takes. An error's details come as a header and hold the
/// whole Dockerfile; with the library's own limit of 16 KiB, a mistake in a long Dockerfile would look like a broken
/// connection.
const HEADER_LIMIT: u32 = 16 << 20;

/// How a silent engine is told from a busy one (B5).
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// An engine that is silent for this long is asked whether it lives,
    pub after: Duration,
    /// and given up when it says nothing for this long.
    pub patience: Duration,
}

impl Default for Probe {
    fn default() -> Self {
        Self { after: Duration::from_secs(20), patience: Duration::from_secs(20) }
    }
}

/// Opens a channel. It never reconnects: what was under way on a lost connection is lost.
///
/// A frontend needs no probe: its standard input ends with the builder that started it.
///
/// # Errors
///
/// The connection ends at once, or what answers does not speak HTTP/2.
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
