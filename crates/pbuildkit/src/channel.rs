//! One gRPC channel over one connection that the engine handed over.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use pengine::{Engine, Hijacked};
use tonic::transport::{Channel, Endpoint};

use crate::error::BuildkitError;

/// The largest message we take: definitions and results of large builds pass gRPC's usual 4 MiB.
pub(crate) const MESSAGE_LIMIT: usize = 64 << 20;

/// An engine that is silent for this long is asked whether it lives,
const PROBE_AFTER: Duration = Duration::from_secs(20);
/// and given up when it says nothing for this long (B5).
const PROBE_PATIENCE: Duration = Duration::from_secs(20);

/// Opens `POST /grpc`. The channel never reconnects: what was under way on a lost connection is lost.
pub(crate) async fn open(engine: &Engine) -> Result<Channel, BuildkitError> {
    let connection = engine.hijack("/grpc", &[]).await?;
    let once = Arc::new(Mutex::new(Some(connection)));
    let connector = tower::service_fn(move |_: http::Uri| {
        let once = Arc::clone(&once);
        async move {
            let connection: Option<Hijacked> = once.lock().unwrap_or_else(PoisonError::into_inner).take();
            let spent = || io::Error::new(io::ErrorKind::ConnectionAborted, "the connection to the engine ended");
            connection.map(TokioIo::new).ok_or_else(spent)
        }
    });
    let endpoint = Endpoint::from_static("http://localhost")
        .http2_keep_alive_interval(PROBE_AFTER)
        .keep_alive_timeout(PROBE_PATIENCE)
        .keep_alive_while_idle(true);
    let channel = endpoint.connect_with_connector(connector).await;
    channel.map_err(|error| BuildkitError::Lost { source: tonic::Status::from_error(Box::new(error)) })
}
