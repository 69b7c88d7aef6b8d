//! The connection to BuildKit: through an engine, or directly to a BuildKit without an engine.
//!
//! Both have a connection for gRPC and, for each build, a stream on which this client is the server. An engine hands
//! over a connection for each of them (`POST /grpc`, `POST /session`). A plain BuildKit speaks gRPC directly, and
//! carries the session in messages of `Control/Session`.

use std::io;

use bollard_buildkit_proto::moby::buildkit::v1::BytesMessage;
use pengine::{Connection, Engine, LastWords, PlainBuilder};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::metadata::{MetadataKey, MetadataMap};

use crate::control::Control;
use crate::error::BuildkitError;

/// The most bytes of a session that wait to be packed into messages, and that wait to be read after unpacking.
const ROOM: usize = 256 << 10;
/// The most bytes in one message.
const PIECE: usize = 32 << 10;
/// The most messages that wait to be sent.
const MESSAGES: usize = 4;

/// The kind of connection to BuildKit.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Through an engine.
    Engine(Engine),
    /// Directly to a builder.
    Plain(PlainBuilder),
}

impl From<&Engine> for Transport {
    fn from(engine: &Engine) -> Self {
        Self::Engine(engine.clone())
    }
}

impl From<&PlainBuilder> for Transport {
    fn from(builder: &PlainBuilder) -> Self {
        Self::Plain(builder.clone())
    }
}

impl Transport {
    /// Opens a connection for gRPC, and returns it with the last words of the program that carries it.
    pub(crate) async fn grpc(&self) -> Result<(Connection, LastWords), BuildkitError> {
        match self {
            Self::Engine(engine) => Ok((Box::new(engine.hijack("/grpc", &[]).await?), LastWords::default())),
            Self::Plain(builder) => Ok(builder.dial().await?),
        }
    }

    /// Opens a stream on which this client is the server and BuildKit the client.
    pub(crate) async fn session(
        &self,
        control: &Control,
        headers: &[(&str, &str)],
    ) -> Result<Connection, BuildkitError> {
        match self {
            Self::Engine(engine) => Ok(Box::new(engine.hijack("/session", headers).await?)),
            Self::Plain(_) => {
                let (to_builder, messages) = mpsc::channel(MESSAGES);
                let mut request = tonic::Request::new(ReceiverStream::new(messages));
                *request.metadata_mut() = metadata(headers);
                let from_builder = control.clone().session(request).await?;
                let (ours, theirs) = tokio::io::duplex(ROOM);
                let (output, input) = tokio::io::split(theirs);
                tokio::spawn(pack(output, to_builder));
                tokio::spawn(unpack(from_builder, input));
                Ok(Box::new(ours))
            }
        }
    }

    /// Describes the transport in one line for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Engine(engine) => engine.describe(),
            Self::Plain(builder) => builder.to_string(),
        }
    }
}

/// Makes the metadata of a call. A name may occur several times.
fn metadata(headers: &[(&str, &str)]) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for (name, value) in headers {
        let key = MetadataKey::from_bytes(name.to_ascii_lowercase().as_bytes());
        if let (Ok(key), Ok(value)) = (key, value.parse()) {
            metadata.append(key, value);
        }
    }
    metadata
}

/// Packs the written bytes into messages, until the session is dropped or the receiver is gone.
async fn pack(mut output: impl AsyncRead + Unpin, to_builder: mpsc::Sender<BytesMessage>) -> io::Result<()> {
    loop {
        let mut data = Vec::with_capacity(PIECE);
        if output.read_buf(&mut data).await? == 0 || to_builder.send(BytesMessage { data }).await.is_err() {
            return Ok(());
        }
    }
}

/// Unpacks the bytes of messages, until no more messages arrive.
async fn unpack(mut from_builder: Streaming<BytesMessage>, mut input: impl AsyncWrite + Unpin) -> io::Result<()> {
    while let Ok(Some(message)) = from_builder.message().await {
        input.write_all(&message.data).await?;
    }
    input.shutdown().await
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use pengine::mock::{MockEngine, Reply, well_behaved};
    use pengine::{Engine, EngineError};
    use pgateway::channel::{self, Probe};
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    #[test]
    fn every_method_of_a_session_is_announced() {
        let headers = [("X-Docker-Method", "/one"), ("X-Docker-Method", "/two"), ("X-Docker-Uuid", "1")];
        let metadata = metadata(&headers);
        let methods: Vec<_> = metadata.get_all("x-docker-method").iter().collect();
        assert_eq!((methods.len(), metadata.len()), (2, 3));
    }

    #[tokio::test]
    async fn what_is_written_comes_out_in_messages_and_the_end_is_an_end() {
        let bytes: Vec<u8> = (0..3 * PIECE + 7).map(|number| number as u8).collect();
        let (sender, mut messages) = mpsc::channel(MESSAGES);
        let packing = pack(bytes.as_slice(), sender);
        let reading = async {
            let mut all = Vec::new();
            while let Some(message) = messages.recv().await {
                all.extend(message.data);
            }
            all
        };
        let (packed, all) = futures::join!(packing, reading);
        packed.unwrap();
        assert_eq!(all, bytes);
    }

    const IMPATIENT: Probe = Probe { after: Duration::from_millis(100), patience: Duration::from_millis(200) };

    async fn workers_of(reply: fn() -> Reply) -> Result<usize, BuildkitError> {
        let folder = TempDir::new().unwrap();
        let mock = MockEngine::start(&folder.path().join("engine.sock"), well_behaved(move |_| reply())).unwrap();
        let endpoint = pengine::Endpoint::plain(&mock.address()).unwrap();
        let engine = Engine::connect_within(&endpoint, Duration::from_secs(1)).await.unwrap();
        let mut control = Control::new(channel::open(Transport::from(&engine).grpc().await?.0, Some(IMPATIENT)).await?);
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
