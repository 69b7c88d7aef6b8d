//! One gRPC channel over one connection.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use pengine::Connection;
use tonic::transport::{Channel, Endpoint};

use crate::error::BuildkitError;

/// The largest message we take: definitions and results of large builds pass gRPC's usual 4 MiB.
pub(crate) const MESSAGE_LIMIT: usize = 64 << 20;

/// HTTP/2 windows, in bytes, for both directions of a connection.
///
/// The HTTP/2 library (h2) gives a connection up when too many small frames wait to be read, counting about 250 bytes
/// for each against half the connection's window; BuildKit sends a frame for every file it asks for and every line of a
/// log. A stream's window bounds how many can wait: 64 KiB hold at most some 9000 frames of seven bytes, which is far
/// from what a connection's window of 64 MiB allows for many streams. That window costs nothing until it is used.
pub(crate) const STREAM_WINDOW: u32 = 64 << 10;
/// See [`STREAM_WINDOW`].
pub(crate) const CONNECTION_WINDOW: u32 = 64 << 20;

/// The longest headers we take: what the Go client of gRPC takes. An error's details come as a header, and hold the whole
/// Dockerfile; the library's own limit of 16 KiB would make a broken connection of a mistake in a long one.
const HEADER_LIMIT: u32 = 16 << 20;

/// How a silent engine is told from a busy one (B5).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probe {
    /// An engine that is silent for this long is asked whether it lives,
    pub(crate) after: Duration,
    /// and given up when it says nothing for this long.
    pub(crate) patience: Duration,
}

impl Default for Probe {
    fn default() -> Self {
        Self { after: Duration::from_secs(20), patience: Duration::from_secs(20) }
    }
}

/// Opens a channel. It never reconnects: what was under way on a lost connection is lost.
pub(crate) async fn open(connection: Connection, probe: Probe) -> Result<Channel, BuildkitError> {
    let once = Arc::new(Mutex::new(Some(connection)));
    let connector = tower::service_fn(move |_: http::Uri| {
        let once = Arc::clone(&once);
        async move {
            let connection: Option<Connection> = once.lock().unwrap_or_else(PoisonError::into_inner).take();
            let spent = || io::Error::new(io::ErrorKind::ConnectionAborted, "the connection ended");
            connection.map(TokioIo::new).ok_or_else(spent)
        }
    });
    let endpoint = Endpoint::from_static("http://localhost")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(HEADER_LIMIT)
        .http2_keep_alive_interval(probe.after)
        .keep_alive_timeout(probe.patience)
        .keep_alive_while_idle(true);
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map_err(|error| BuildkitError::Lost { source: tonic::Status::from_error(Box::new(error)) })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use pengine::mock::{MockEngine, Reply, well_behaved};
    use pengine::{Engine, EngineError};
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;
    use crate::control::Control;
    use crate::transport::Transport;

    const IMPATIENT: Probe = Probe { after: Duration::from_millis(100), patience: Duration::from_millis(200) };

    async fn workers_of(reply: fn() -> Reply) -> Result<usize, BuildkitError> {
        let folder = TempDir::new().unwrap();
        let mock = MockEngine::start(&folder.path().join("engine.sock"), well_behaved(move |_| reply())).unwrap();
        let endpoint = pengine::Endpoint::plain(&mock.address()).unwrap();
        let engine = Engine::connect_within(&endpoint, Duration::from_secs(1)).await.unwrap();
        let mut control = Control::new(open(Transport::from(&engine).grpc().await?.0, IMPATIENT).await?);
        control.workers().await.map(|workers| workers.len())
    }

    async fn swallow(mut stream: UnixStream) {
        let mut bytes = [0; 1024];
        while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
    }

    #[tokio::test]
    async fn b5_an_engine_that_falls_silent_is_given_up_in_time() {
        let started = Instant::now();
        let error = workers_of(|| Reply::upgrade(swallow)).await.unwrap_err();
        assert!(matches!(error, BuildkitError::Lost { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn b4_an_engine_that_ends_at_once_or_speaks_something_else_is_lost_and_never_a_hang() {
        let replies: [fn() -> Reply; 3] = [
            || Reply::upgrade(|stream| async move { drop(stream) }),
            || {
                Reply::upgrade(|mut stream| async move {
                    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
                    swallow(stream).await;
                })
            },
            || {
                Reply::upgrade(|mut stream| async move {
                    // A frame of HTTP/2 that claims more bytes than follow.
                    let _ = stream.write_all(&[0, 0xff, 0, 4, 0, 0, 0, 0, 0, 1, 2]).await;
                })
            },
        ];
        for reply in replies {
            let error = workers_of(reply).await.unwrap_err();
            assert!(matches!(error, BuildkitError::Lost { .. }), "{error:?}");
        }
    }

    #[tokio::test]
    async fn b2_an_engine_without_buildkit_refuses_the_connection() {
        let error = workers_of(|| Reply::Answer { status: 404, headers: vec![], body: vec![] }).await.unwrap_err();
        let refused = matches!(error, BuildkitError::Engine(EngineError::UpgradeRefused { status: 404, .. }));
        assert!(refused, "{error}");
    }
}
