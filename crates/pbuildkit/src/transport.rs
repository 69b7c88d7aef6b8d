//! How BuildKit is reached: through an engine, or by itself.
//!
//! Either way there is a connection for gRPC and, for each build, a stream on which we are the server: an engine hands
//! over a connection for each (`POST /grpc`, `POST /session`); a BuildKit by itself speaks gRPC at once, and carries the
//! session in messages of `Control/Session`.

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

/// Bytes of a session that wait to be put into messages, or came in them.
const ROOM: usize = 256 << 10;
/// How much goes into one message.
const PIECE: usize = 32 << 10;
/// Messages that wait to be sent.
const MESSAGES: usize = 4;

/// The way to BuildKit.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Through an engine.
    Engine(Engine),
    /// By itself.
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
    /// A connection for gRPC, and who may have last words when it ends.
    pub(crate) async fn grpc(&self) -> Result<(Connection, LastWords), BuildkitError> {
        match self {
            Self::Engine(engine) => Ok((Box::new(engine.hijack("/grpc", &[]).await?), LastWords::default())),
            Self::Plain(builder) => Ok(builder.dial().await?),
        }
    }

    /// A stream on which we serve BuildKit.
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

    /// One line for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Engine(engine) => engine.describe(),
            Self::Plain(builder) => builder.to_string(),
        }
    }
}

/// A name may come several times.
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

/// What we write goes out in messages, until the session is dropped or nobody takes them.
async fn pack(mut output: impl AsyncRead + Unpin, to_builder: mpsc::Sender<BytesMessage>) -> io::Result<()> {
    loop {
        let mut data = Vec::with_capacity(PIECE);
        if output.read_buf(&mut data).await? == 0 || to_builder.send(BytesMessage { data }).await.is_err() {
            return Ok(());
        }
    }
}

/// What comes in messages can be read, until no more come.
async fn unpack(mut from_builder: Streaming<BytesMessage>, mut input: impl AsyncWrite + Unpin) -> io::Result<()> {
    while let Ok(Some(message)) = from_builder.message().await {
        input.write_all(&message.data).await?;
    }
    input.shutdown().await
}

#[cfg(test)]
mod tests {
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
}
